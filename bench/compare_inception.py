"""Images a second of the Inception network of FID, 299×299 in f32, beside PyTorch: all contestants in every round, ratios within a
round."""

import argparse
import json
import pathlib
import sys

import contest

VARIANTS = {
    "PyTorch, as the port": [],
    "PyTorch, as the port, channels last": ["--channels-last"],
    "PyTorch, norms folded": ["--folded"],
    "PyTorch, norms folded, channels last": ["--folded", "--channels-last"],
    "PyTorch, norms folded, compiled": ["--folded", "--mode", "compiled"],
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="of an environment with torch and safetensors")
    parser.add_argument("--binary", type=pathlib.Path, default=contest.ROOT / "build/release/bin/vapo")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each contestant in a round: one batch at least")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-compiled", action="store_true", help="compiling takes minutes")
    parser.add_argument("--out", type=pathlib.Path, help="JSON with every round")
    return parser.parse_args()


def main():
    args = arguments()
    sizes = ["--batch", args.batch, "--threads", args.threads, "--serve"]
    commands = {
        name: [args.python, contest.HERE / "torch_inception.py", *sizes, *options]
        for name, options in VARIANTS.items()
        if not (args.no_compiled and "compiled" in options)
    }
    theirs = list(commands)
    for precision in ("strict", "fast"):
        commands[f"vapo {precision}"] = [args.binary, "bench", "inception", "--precision", precision, *sizes]
    played = contest.rounds(commands, args.threads, args.rounds, args.seconds)
    result = contest.circumstances(args.python, args.threads) | {"batch": args.batch, "milliseconds": contest.medians(played)}
    as_port = [name for name in theirs if "folded" not in name]
    result["ratios"] = {
        f"{label} / vapo {p}": contest.ratio(played, f"vapo {p}", names)
        for p in ("strict", "fast")
        for label, names in (("best of PyTorch", theirs), ("best of PyTorch as the port", as_port))
    }
    print(f"{result['cpu']}, {args.threads} threads, torch {result['torch']}, commit {result['commit']}")
    for name, ms in result["milliseconds"].items():
        print(f"  {name:44s}{ms:9.1f} ms {1e3 * args.batch / ms:8.2f} images/s")
    for name, x in result["ratios"].items():
        print(f"  {name:44s}{x['median']:9.2f} ({x['low']:.2f} to {x['high']:.2f})")
    if args.out:
        args.out.write_text(json.dumps(result | {"rounds": played}, indent=1) + "\n")


main()
