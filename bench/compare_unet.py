"""A training step of the published loss and an evaluation of ∇Φ, of a U-Net and of a WideResNet on 32×32 images, beside
PyTorch. For each, PyTorch's variants run once, one at a time; the quickest in f32 and the quickest in bf16 stay, and play
rounds against vapo: ratios within a round."""

import argparse
import json
import pathlib
import sys
import time

import contest

# what: (network, ∇Φ alone, share of the time)
WORKLOADS = {
    "U-Net, training step": ("unet", False, 5),
    "U-Net, gradient of the energy": ("unet", True, 2),
    "WRN-16-4, training step": ("wide_resnet", False, 2),
    "WRN-16-4, gradient of the energy": ("wide_resnet", True, 1),
}
VARIANTS = {
    "PyTorch eager": [],
    "PyTorch eager, channels last": ["--channels-last"],
    "PyTorch compiled, channels last": ["--mode", "compiled", "--channels-last"],
    "PyTorch compiled": ["--mode", "compiled"],
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="of an environment with torch")
    parser.add_argument("--binary", type=pathlib.Path, default=contest.ROOT / "build/release/bin/vapo")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of each contestant in a round: one step at least")
    parser.add_argument("--minutes", type=float, default=15, help="for everything: variants that come too late are left out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="only workloads whose name holds this")
    parser.add_argument("--quick", action="store_true", help="nothing compiled, one round, one step each")
    parser.add_argument("--no-bf16", action="store_true", help="leave bf16 out: this CPU has no instructions for it")
    parser.add_argument("--out", type=pathlib.Path, help="JSON with every round")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 1, 0
    return args


def variants(args, network, sampling):
    """Precision -> variant -> command. Those that are ready soon first, for the time may not last for all."""
    common = [args.python, contest.HERE / "torch_unet.py", "--serve", "--network", network, "--batch", args.batch]
    common += ["--threads", args.threads, *(["--sampling"] if sampling else [])]
    wanted = {n: o for n, o in VARIANTS.items() if not (args.quick and "compiled" in n)}
    found = {"f32": {n: [*common, *o] for n, o in wanted.items()}}
    if not args.no_bf16:
        found["bf16"] = {f"{n}, bf16 autocast": [*common, *o, "--bf16"] for n, o in wanted.items()}
    return found


def heat(commands, env, seconds, deadline):
    """Each runs once; the quickest stays alive. -> (it or None, name -> answer)"""
    best, answers = None, {}
    for name, command in commands.items():
        left = deadline - time.monotonic()
        if left <= 0:
            print(f"{name}: left out: no time left. Hint: --minutes", flush=True)
            continue
        player = contest.Contestant(name, command, env)
        if not player.ready(left):
            continue
        answers[name] = player.run(seconds)
        if best and answers[best.name]["median_ms"] <= answers[name]["median_ms"]:
            player.close()
        else:
            if best:
                best.close()
            best = player
    return best, answers


def contend(args, network, sampling, minutes):
    env = contest.environment(args.threads)
    begin, heats, finalists = time.monotonic(), {}, []
    kinds = variants(args, network, sampling)
    for i, (precision, commands) in enumerate(kinds.items()):
        best, answers = heat(commands, env, args.seconds, begin + 60 * minutes * (i + 1) / len(kinds))
        heats |= answers
        finalists += [(precision, best)] if best else []
    for precision in ("strict", "fast", *(() if args.no_bf16 else ("bf16",))):
        command = [args.binary, "bench", "step", "--serve", "--network", network, "--precision", precision]
        command += ["--batch", args.batch, "--threads", args.threads, *(["--only", "energy gradient"] if sampling else [])]
        player = contest.Contestant(f"vapo {precision}", command, env)
        finalists += [("vapo", player)] if player.ready() else []
    played = [{p.name: p.run(args.seconds) for _, p in finalists} for _ in range(args.rounds)]
    for _, p in finalists:
        p.close()
    ratios = {}
    for precision, theirs in (f for f in finalists if f[0] != "vapo"):
        for _, ours in (f for f in finalists if f[0] == "vapo"):
            ratios[f"best {precision} of PyTorch / {ours.name}"] = contest.ratio(played, ours.name, [theirs.name])
    last = heats | played[-1]
    return {
        "heats_ms": {n: a["median_ms"] for n, a in heats.items()},
        "milliseconds": contest.medians(played),
        "peak_mib": {n: a["peak_bytes"] / 2**20 for n, a in last.items()},
        "ratios": ratios,
        "rounds": played,
    }


def show(name, r):
    print(name)
    for n, ms in (r["heats_ms"] | r["milliseconds"]).items():
        print(f"  {n:48s}{ms:10.1f} ms {r['peak_mib'][n]:9.0f} MiB{'' if n in r['milliseconds'] else '   (one heat)'}")
    for n, x in r["ratios"].items():
        print(f"  {n:48s}{x['median']:10.2f} ({x['low']:.2f} to {x['high']:.2f})", flush=True)


def main():
    args = arguments()
    chosen = {n: w for n, w in WORKLOADS.items() if args.only in n}
    result = contest.circumstances(args.python, args.threads) | {"batch": args.batch, "workloads": {}}
    print(f"{result['cpu']}, {args.threads} threads, torch {result['torch']}, commit {result['commit']}", flush=True)
    end = time.monotonic() + 60 * args.minutes
    shares = sum(share for _, _, share in chosen.values())
    for name, (network, sampling, share) in chosen.items():
        minutes = (end - time.monotonic()) / 60 * share / shares
        shares -= share
        # a third of it for the rounds
        result["workloads"][name] = contend(args, network, sampling, minutes * 2 / 3)
        show(name, result["workloads"][name])
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


main()
