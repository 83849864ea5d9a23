"""Images of one checkpoint by RK45, vapo beside PyTorch: PyTorch's variants once each with one batch, the quickest then in turn
with vapo; ratios of images a second within a round."""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

import contest

VARIANTS = {
    "PyTorch eager": [],
    "PyTorch eager, channels last": ["--channels-last"],
    "PyTorch compiled": ["--mode", "compiled"],
    "PyTorch compiled, channels last": ["--mode", "compiled", "--channels-last"],
}
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model", type=pathlib.Path, help="a checkpoint of a raw U-Net, .safetensors")
parser.add_argument("--python", default=sys.executable, help="of an environment with torch and safetensors")
parser.add_argument("--binary", type=pathlib.Path, default=contest.ROOT / "build/release/bin/vapo")
parser.add_argument("-n", "--number", type=int, default=1000)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--out", type=pathlib.Path, help="JSON with every round")
args = parser.parse_args()


def answer(command):
    out = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=contest.environment(args.threads))
    if out.returncode:
        sys.exit(f"{command[0]}: {out.stderr.strip().splitlines()[-1]}")
    found = json.loads(out.stdout.splitlines()[-1])
    return {"nfe": found["nfe"], "seconds": found["seconds"], "images_per_second": found["n"] / found["seconds"]}


def torch(options, n):
    return answer([args.python, contest.HERE / "torch_sample.py", args.model, "-n", n, "--batch", args.batch, "--threads", args.threads, *options])


def vapo(precision):
    return answer([args.binary, "sample", args.model, "-n", args.number, "--method", "rk45", "--rtol", 1e-3, "--atol", 1e-3,
                   "--batch-size", args.batch, "--threads", args.threads, "--precision", precision, "--json"])  # fmt: skip


heats = {name: torch(options, args.batch) for name, options in VARIANTS.items()}
best = max(heats, key=lambda name: heats[name]["images_per_second"])
rounds = []
for _ in range(args.rounds):
    rounds.append({best: torch(VARIANTS[best], args.number), "vapo strict": vapo("strict"), "vapo fast": vapo("fast")})
result = contest.circumstances(args.python, args.threads) | {"n": args.number, "batch": args.batch, "heats": heats, "rounds": rounds, "ratios": {}}
print(f"{result['cpu']}, {args.threads} threads, torch {result['torch']}, commit {result['commit']}")
for name, a in heats.items():
    print(f"  {name:34s} {a['images_per_second']:7.2f} images/s (one batch), NFE {a['nfe']}")
for name in rounds[0]:
    rates = [r[name]["images_per_second"] for r in rounds]
    print(f"  {name:34s} {statistics.median(rates):7.2f} images/s, NFE {rounds[0][name]['nfe']}")
for name in ("vapo strict", "vapo fast"):
    ratios = [r[name]["images_per_second"] / r[best]["images_per_second"] for r in rounds]
    result["ratios"][name] = {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
    print(f"  {name} / {best}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
if args.out:
    args.out.write_text(json.dumps(result, indent=1) + "\n")
