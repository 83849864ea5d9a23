"""Contestants that run in turn: each is a process that answers lines "run SECONDS" with a line of JSON."""

import datetime
import json
import os
import pathlib
import platform
import select
import statistics
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent


class Contestant:
    def __init__(self, name, command, env):
        self.name = name
        self.process = subprocess.Popen(
            [str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )

    def ready(self, patience=None):
        """Whether it has warmed up, within so many seconds; else it is ended and the reason printed."""
        if not select.select([self.process.stdout], [], [], patience)[0]:
            self.process.kill()
            self.process.wait()
            print(f"{self.name}: left out: not ready after {patience:.0f} s", flush=True)
            return False
        if self.process.stdout.readline().strip() == "ready":
            return True
        print(f"{self.name}: left out: {(self.process.stderr.read().strip() or 'no answer').splitlines()[-1]}", flush=True)
        return False

    def run(self, seconds):
        self.process.stdin.write(f"run {seconds}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def environment(threads):
    return os.environ | {"OMP_NUM_THREADS": str(threads)}


def rounds(commands, threads, count, seconds):
    """One dictionary a round: contestant -> its answer. They are started one after the other (each warms up alone) and
    then run one at a time; a waiting one sleeps."""
    env = environment(threads)
    players = [p for p in (Contestant(name, command, env) for name, command in commands.items()) if p.ready()]
    played = [{p.name: p.run(seconds) for p in players} for _ in range(count)]
    for p in players:
        p.close()
    return played


def medians(played):
    return {name: statistics.median(r[name]["median_ms"] for r in played) for name in played[0]}


def ratio(played, ours, theirs):
    """Best of theirs ÷ ours, within each round: median, lowest, highest."""
    values = [min(r[n]["median_ms"] for n in theirs if n in r) / r[ours]["median_ms"] for r in played]
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def text_of(command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd=ROOT).stdout.strip()


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def circumstances(python, threads):
    versions = text_of([python, "-c", "import torch; print(torch.__version__)"])
    return {
        "date": datetime.date.today().isoformat(),
        "commit": text_of(["git", "rev-parse", "--short", "HEAD"]),
        "cpu": cpu_name(),
        "threads": threads,
        "torch": versions or None,
    }
