"""What the compiler made of the kernels: kernel_resources.py BUILD [PATTERN], of a build with CUDA, by cuobjdump (of the
toolkit; or name it in CUOBJDUMP). Of each kernel whose name matches: registers of a thread, bytes of its stack (what did not
fit into registers), instructions, and how many loads and stores of device memory are 16, 8 and 4 bytes or less wide."""

import collections
import os
import pathlib
import re
import subprocess
import sys

WIDTHS = {"128": 0, "64": 1}


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def short(name):
    for noise in ("vapo::cuda::", "(anonymous namespace)::", "vapo::kernel::", "vapo::", "void "):
        name = name.replace(noise, "")
    return re.sub(r"\(.*", "", name.replace("(Binary)", "Binary "))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    cuobjdump = os.environ.get("CUOBJDUMP", "cuobjdump")
    objects = sorted(pathlib.Path(sys.argv[1]).glob("tensor/CMakeFiles/vapo_cuda.dir/cuda/*.o"))
    if not objects:
        sys.exit(f"kernel_resources.py: no objects of CUDA in {sys.argv[1]}. Hint: build it with -DVAPO_CUDA=ON")
    pattern = re.compile(sys.argv[2] if len(sys.argv) > 2 else ".")
    rows, kernels, spilled = [], 0, 0
    for path in objects:
        resources, accesses, instructions = {}, collections.defaultdict(lambda: [0, 0, 0]), collections.Counter()
        name = None
        for line in output(cuobjdump, "-res-usage", "-sass", str(path)).split("\n"):
            if found := re.search(r"Function\s*:?\s+(\S+?):?$", line.strip()):
                name = found.group(1)
            elif found := re.search(r"REG:(\d+) STACK:(\d+)", line):
                resources[name] = int(found.group(1)), int(found.group(2))
            elif name and re.match(r"\s+/\*[0-9a-f]{4,}\*/\s", line):
                instructions[name] += 1
                if found := re.search(r"\b(LDG|STG|LDGSTS)\.E(\S*)", line):
                    accesses[name][WIDTHS.get(next(iter(re.findall(r"128|64", found.group(2))), ""), 2)] += 1
        names = list(resources)
        plain = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout.split("\n")
        for mangled, readable in zip(names, plain):
            kernels += 1
            registers, stack = resources[mangled]
            spilled += stack > 0
            if pattern.search(readable):
                rows.append((path.name.removesuffix(".o"), short(readable), registers, stack, instructions[mangled], *accesses[mangled]))
    print(f"{kernels} kernels, {spilled} of them with a stack\n")
    print("registers  stack  instructions  accesses of 16, 8, ≤4 bytes  kernel")
    for file, name, registers, stack, count, *widths in rows:
        print(f"{registers:9} {stack:6} {count:13}  {widths[0]:12} {widths[1]:5} {widths[2]:5}       {file}: {name[:120]}")


main()
