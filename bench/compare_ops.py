"""`vapo bench ops` beside oneDNN's bare convolutions and PyTorch's operations, in turn; medians over the rounds."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

import contest

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--python", default=sys.executable, help="of an environment with torch")
parser.add_argument("--bin", type=pathlib.Path, default=contest.ROOT / "build/release/bin")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--seconds", type=float, default=0.3)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--out", type=pathlib.Path, help="JSON with every row")
args = parser.parse_args()

env = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
vapo = [args.bin / "vapo", "bench", "ops", "--json", "--threads", args.threads, "--seconds", args.seconds]
contestants = {
    "strict": [*vapo, "--precision", "strict"],
    "fast": [*vapo, "--precision", "fast"],
    "oneDNN": [args.bin / "onednn-conv", args.seconds],
    "PyTorch": [args.python, contest.HERE / "torch_ops.py", "--threads", args.threads, "--seconds", args.seconds],
}
rows = {}  # (op, shape, pass) -> contestant -> one entry a round
for _ in range(args.rounds):
    for name, command in contestants.items():
        out = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env)
        if out.returncode:
            sys.exit(f"{name}: {out.stderr.strip().splitlines()[-1]}")
        for line in out.stdout.splitlines():
            row = json.loads(line)
            rows.setdefault((row["op"], row["shape"], row["pass"]), {}).setdefault(name, []).append(row)

result = contest.circumstances(args.python, args.threads) | {"rows": []}
print(f"{result['cpu']}, {args.threads} threads, torch {result['torch']}, commit {result['commit']}; ms, ratios to ours")
print(f"{'operation':18} {'shape':26} {'pass':12} {'strict':>8} {'floor':>6} {'fast':>8} {'oneDNN':>8} {'strict':>7} {'PyTorch':>8} {'strict':>7} {'fast':>6}")
for (op, shape, name), found in rows.items():
    ms = {n: statistics.median(r["ms"] for r in entries) for n, entries in found.items()}
    if "strict" not in ms:
        continue
    floor = statistics.median(r["share_of_floor"] for r in found["strict"])
    result["rows"].append({"op": op, "shape": shape, "pass": name, "ms": ms, "strict_share_of_floor": floor})
    text = lambda key, width: f"{ms[key]:{width}.3f}" if key in ms else " " * width
    over = lambda key, ours, width: f"{ms[key] / ms[ours]:{width}.2f}" if key in ms else " " * width
    print(
        f"{op:18} {shape:26} {name:12} {text('strict', 8)} {floor:6.0%} {text('fast', 8)} {text('oneDNN', 8)}"
        f" {over('oneDNN', 'strict', 7)} {text('PyTorch', 8)} {over('PyTorch', 'strict', 7)} {over('PyTorch', 'fast', 6)}"
    )
if args.out:
    args.out.write_text(json.dumps(result, indent=1) + "\n")
