#!/usr/bin/env python3
"""Makes the golden cases with PyTorch:  python make_golden.py [folder]  (default: the folder this script is in).

Writes folder/cases/*.safetensors and folder/rk_gaussian_flow.json. The format is described in README.md. To add a
family: its forward definition and a generator of cases, listed in FAMILIES of ops.py, choices.py or models.py.
"""

import json
import pathlib
import sys

import torch

import choices
import models
import ops
from case import differentiate, write


def all_cases():
    """(case, forward) for every golden case, not yet computed."""
    for module in (ops, choices, models):
        for family in module.FAMILIES:
            for case in family():
                yield case, module.forward


def main(folder):
    torch.set_num_threads(1)
    cases = folder / "cases"
    cases.mkdir(parents=True, exist_ok=True)
    names = set()
    for case, forward in all_cases():
        assert case.name not in names, f"two cases are called {case.name}"
        names.add(case.name)
        write(differentiate(case, forward), cases)
    for stale in {p.stem for p in cases.glob("*.safetensors")} - names:
        print(f"not made by this script: {stale}")
    table = json.dumps(models.gaussian_flow_table(), indent=1)
    (folder / "rk_gaussian_flow.json").write_text(table + "\n")
    size = sum(p.stat().st_size for p in cases.glob("*.safetensors"))
    print(f"{len(names)} cases, {size / 1024:.0f} KiB, torch {torch.__version__}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent)
