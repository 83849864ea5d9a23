"""What every contestant of compare_mlp.py shares: the problem's sizes, and the way it is asked to run."""

import argparse
import json
import math
import resource
import sys
import time

IN, FEATURES, HIDDEN, LAYERS, POINTS = 2, 16, 192, 3, 100_000
SIZES = [IN + FEATURES] + [HIDDEN] * LAYERS + [1]
FREQUENCIES = [math.exp(-math.log(10000) * i / (FEATURES // 2)) for i in range(FEATURES // 2)]
LEARNING_RATE, BETA1, BETA2, EPS, CLIP, EMA = 1e-3, 0.9, 0.999, 1e-8, 1.0, 0.999


def resident():  # most memory this process has held, in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


BEFORE = resident()  # with the library loaded and nothing computed


def parser():
    p = argparse.ArgumentParser()
    p.add_argument("--batch", type=int, default=512)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--serve", action="store_true", help='read lines "run SECONDS", answer each with a line of JSON')
    return p


def grown():
    return resident() - BEFORE


def run(step, seconds, peak=grown):
    """step() takes one training step, waits until it is done, and returns the loss; peak() is the most memory held."""
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        loss = step()
        times.append(time.perf_counter() - begin)
    median = sorted(times)[len(times) // 2]
    return {
        "median_ms": 1e3 * median,
        "steps": len(times),
        "loss": float(loss),
        "steps_per_second": 1 / median,
        "peak_bytes": peak(),
    }


def main(args, step, peak=grown):
    run(step, 2)  # warm up: compilation, caches
    if not args.serve:
        print(json.dumps(run(step, args.seconds, peak)))
        return
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(run(step, float(line.split()[1]), peak)), flush=True)
