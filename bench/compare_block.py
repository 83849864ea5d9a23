"""One VAPO step of a residual block (128 channels, 32×32, batch 16) beside PyTorch's and JAX's best: interleaved rounds."""

import argparse
import json
import pathlib
import sys

import contest

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--python", default=sys.executable, help="of an environment with torch and jax")
parser.add_argument("--binary", type=pathlib.Path, default=contest.ROOT / "build/release/bin/vapo")
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--seconds", type=float, default=2)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--no-bf16", action="store_true", help="leave bf16 out: this CPU has no instructions for it")
parser.add_argument("--out", type=pathlib.Path, help="JSON with every round")
args = parser.parse_args()

block_of = {
    "PyTorch": [args.python, contest.HERE / "torch_block.py", "--serve", "--threads", args.threads],
    "JAX": [args.python, contest.HERE / "jax_block.py", "--serve", "--threads", args.threads],
}
theirs = {
    "PyTorch eager": [],
    "PyTorch eager, channels last": ["--channels-last"],
    "PyTorch compiled": ["--mode", "compiled"],
    "PyTorch compiled, channels last": ["--mode", "compiled", "--channels-last"],
    "JAX jit": [],
    "JAX jit, channels last": ["--channels-last"],
}
in_bf16 = {} if args.no_bf16 else {f"{name}, bf16": [*options, "--bf16"] for name, options in theirs.items()}
ours = {f"vapo {p}": p for p in ("strict", "fast", *(() if args.no_bf16 else ("bf16",)))}
commands = {name: [*block_of[name.split()[0]], *options] for name, options in (theirs | in_bf16).items()}
for name, precision in ours.items():
    commands[name] = [args.binary, "bench", "block", "--serve", "--precision", precision, "--threads", args.threads]

played = contest.rounds(commands, args.threads, args.rounds, args.seconds)
library = lambda names, which: [n for n in names if n.startswith(which) and n in played[0]]
versus = {
    f"best {kind} of {which} / {n}": contest.ratio(played, n, library(names, which))
    for which in block_of
    for kind, names in (("f32", theirs), ("bf16", in_bf16))
    for n in ours
    if library(names, which)
}
result = contest.circumstances(args.python, args.threads) | {
    "jax": contest.text_of([args.python, "-c", "import jax; print(jax.__version__)"]) or None,
    "shape": "128 channels, 32x32, batch 16",
    "gflop": 12 * 2 * 16 * 32 * 32 * 128 * 128 * 9 / 1e9,
    "milliseconds": contest.medians(played),
    "peak_mib": {n: played[-1][n]["peak_bytes"] / 2**20 for n in played[-1]},
    "ratios": versus,
    "rounds": played,
}
print(f"{result['cpu']}, {args.threads} threads, torch {result['torch']}, jax {result['jax']}, commit {result['commit']}")
for name, ms in result["milliseconds"].items():
    print(f"  {name:48s}{ms:9.2f} ms {result['peak_mib'][name]:9.0f} MiB")
for name, r in result["ratios"].items():
    print(f"  {name:48s}{r['median']:9.2f} ({r['low']:.2f} to {r['high']:.2f})")
if args.out:
    args.out.write_text(json.dumps(result, indent=1) + "\n")
