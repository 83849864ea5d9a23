"""Where the time of a training step on a GPU goes: kernel_table.py TRACE [STEPS] of what kernel_trace.cpp wrote, over the
last STEPS (2) steps. First by family, then kernel by kernel, and the time in which nothing ran. A step ends with the
optimizer's kernel.

Without a GPU the emulated runtime writes a trace without times, of a program that computes nothing:
  VAPO_KERNEL_TRACE=TRACE vapo-emulated bench step --network published --only "recorded step" --device cuda --precision bf16
Then the table has launches and bytes (of all memory that a kernel is handed, so at most what it reads and writes)."""

import collections
import re
import subprocess
import sys

FAMILIES = [
    ("convolutions", r"cudnn|conv(?!ert)|wgrad|dgrad|fprop|xmma|nchwToNhwc|nhwcToNchw|implicit"),
    ("products", r"gemm|cublas|cutlass|nvjet|splitK|^product"),
    ("group norm", r"group_norm|forward_kernel|vjp2?_kernel|NormMap|channel_sums|Statistics|norm"),
    ("sums of two tensors", r"Combine<\(vapo::kernel::Binary\)0|Combine<.*Binary.*0,"),
    ("other binary operations", r"Combine"),
    ("softmax", r"softmax"),
    ("bias", r"[Bb]ias"),
    ("column and row sums", r"columns_kernel|rows_kernel|reduce|squares"),
    ("upsampling, pooling", r"Upsample|Pool|upsample|pool"),
    ("copies and fills", r"^copy$|^fill$|[Cc]oncat|[Ss]lice|copy_strided|CopyStrided|Fill|permute|[Pp]ieces"),
    ("conversions", r"[Cc]onvert"),
    ("optimizer", r"slots_kernel|constants_kernel|adam_update"),
    ("random numbers", r"philox|random|bernoulli|normal|uniform"),
]


def short(name):
    name = re.sub(r"^void ", "", name)
    for noise in ("vapo::cuda::", "(anonymous namespace)::", "vapo::kernel::", "vapo::"):
        name = name.replace(noise, "")
    return name[:110]


def main():
    rows = [line.rstrip("\n").split("\t") for line in open(sys.argv[1])]
    rows = sorted((int(r[0]), int(r[1]), r[7], int(r[2] or 0)) for r in rows if len(r) == 8)
    names = sorted({row[2] for row in rows})
    plain = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout.split("\n")
    named = dict(zip(names, plain))
    ends = [i for i, row in enumerate(rows) if re.search(r"slots_kernel|^adam_update", named[row[2]])]
    ends = [i for i, after in zip(ends, ends[1:] + [len(rows) + 100]) if after - i > 50]  # the last of each step's
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    if len(ends) <= count:
        sys.exit(f"kernel_table.py: {len(ends)} steps in {sys.argv[1]}, {count + 1} are needed")
    first, last = ends[-1 - count] + 1, ends[-1]
    steps = rows[first : last + 1]
    span = steps[-1][0] + steps[-1][1] - (rows[first - 1][0] + rows[first - 1][1])
    busy = sum(row[1] for row in steps)
    per_step = 1e-6 / count
    if busy:
        print(f"{len(steps) / count:.0f} kernels a step, {span * per_step:.2f} ms a step, {busy * per_step:.2f} ms of them busy\n")
    else:
        gigabytes = sum(row[3] for row in steps) * 1e-9 / count
        print(f"{len(steps) / count:.0f} kernels a step, that are handed {gigabytes:.1f} GB\n")

    def table(key, most):
        sums = collections.defaultdict(lambda: [0, 0, 0])
        for _, duration, name, size in steps:
            for i, value in enumerate((duration, size, 1)):
                sums[key(named[name])][i] += value
        for name, (duration, size, n) in sorted(sums.items(), key=lambda item: [-x for x in item[1]])[:most]:
            if busy:
                print(f"{duration * per_step:8.3f} ms {100 * duration / busy:5.1f} % {n / count:7.1f} × {duration / n / 1e3:8.1f} µs  {name}")
            else:
                print(f"{size * 1e-9 / count:8.3f} GB {n / count:7.1f} × {size / n * 1e-6:8.2f} MB  {name}")
        print()

    table(lambda name: next((family for family, pattern in FAMILIES if re.search(pattern, name)), "other"), 30)
    table(short, 80)


main()
