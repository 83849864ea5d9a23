"""vapo's training step beside PyTorch's and JAX's: interleaved rounds on one machine, ratios, and the floor.

All contestants are started, warmed up, and then run one at a time in turn; a waiting one sleeps. A ratio is taken within
a round (the best of theirs ÷ ours), the median over rounds is reported, so that a noisy moment hits all alike.
"""

import argparse
import json
import pathlib
import sys

import contest
import serve


def flops(batch):
    """Products of one step: forward and ∇x, each twice again in the outer gradient: 6 of 2·N·(weights) each."""
    h = serve.HIDDEN
    return 6 * 2 * batch * ((serve.IN + serve.FEATURES) * h + (serve.LAYERS - 1) * h * h + h)


def contestants(args, batch):
    common = ["--batch", str(batch), "--serve"]
    theirs = [args.python, str(contest.HERE / "torch_mlp_step.py"), *common, "--threads", str(args.threads), "--mode"]
    commands = {f"PyTorch {m.replace('_', ' ')}": [*theirs, m] for m in ("eager", "compiled_gradients", "compiled_step")}
    commands["JAX jit"] = [args.python, str(contest.HERE / "jax_mlp_step.py"), *common]
    commands["vapo"] = [args.binary, "bench", "step", *common, "--threads", str(args.threads)]
    return commands


def compare(args, batch):
    rounds = contest.rounds(contestants(args, batch), args.threads, args.rounds, args.seconds)
    milliseconds = contest.medians(rounds)
    floor = 1e3 * flops(batch) / (args.peak_gflops * 1e9)
    return {
        "batch": batch,
        "milliseconds": milliseconds,
        "ratio_to_best": contest.ratio(rounds, "vapo", [n for n in milliseconds if n != "vapo"]),
        "vapo_steps_per_second": 1e3 / milliseconds["vapo"],
        "vapo_peak_bytes": rounds[-1]["vapo"]["peak_bytes"],
        "gflop": flops(batch) / 1e9,
        "floor_ms": floor,
        "vapo_share_of_floor": floor / milliseconds["vapo"],
        "rounds": rounds,
    }


VERSIONS = "import jax, torch; print(torch.__version__, jax.__version__)"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="of an environment with torch and jax")
    parser.add_argument("--binary", type=pathlib.Path, default=contest.ROOT / "build/release/bin/vapo")
    parser.add_argument("--batches", default="64,512,4096")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peak-gflops", type=float, help="default: vapo's best 2048³ product here")
    parser.add_argument("--out", type=pathlib.Path, help="JSON with every round")
    args = parser.parse_args()

    found = contest.text_of([args.python, "-c", VERSIONS]).split()
    if len(found) != 2:
        sys.exit(f"{args.python} has no torch and jax: name another with --python")
    if not args.binary.exists():
        sys.exit(f"{args.binary} is missing: build the release preset first")
    if not args.peak_gflops:
        row = json.loads(contest.text_of([args.binary, "bench", "step", "--json", "--batch", 512, "--seconds", 0.1]))
        args.peak_gflops = flops(512) / row["floor_ms"] / 1e6
    result = contest.circumstances(args.python, args.threads)
    result |= {"jax": found[1], "peak_gflops": args.peak_gflops, "batches": []}
    print(f"{result['cpu']}, {args.threads} threads, peak {args.peak_gflops:.0f} GFLOP/s (a 2048³ product), torch {found[0]}, jax {found[1]}")
    for batch in map(int, args.batches.split(",")):
        b = compare(args, batch)
        result["batches"].append(b)
        r = b["ratio_to_best"]
        print(f"batch {batch}: floor {b['floor_ms']:.3f} ms ({b['gflop']:.3f} GFLOP)")
        for name, ms in b["milliseconds"].items():
            print(f"  {name:27s}{ms:9.3f} ms")
        print(
            f"  best of theirs / vapo: {r['median']:.2f} ({r['low']:.2f} to {r['high']:.2f}); vapo {b['vapo_steps_per_second']:.0f}"
            f" steps/s, {b['vapo_share_of_floor']:.0%} of the floor's rate, {b['vapo_peak_bytes'] / 2**20:.1f} MiB peak"
        )
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
