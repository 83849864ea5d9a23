#!/usr/bin/env python3
"""The Inception network of 2015-12-05 in PyTorch, from its description, with the parameter names of its port; and what it
makes of two images with weights that a formula gives, here and in tests/vapo/inception_weights.h:

    python inception.py [file]      # default: inception.safetensors beside this script

In f64; convolutions without a norm here, for the norms are folded into weights and biases. With identities for norms, pytorch-fid 0.3.0
finds these features, too.
"""

import math
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

SEED = 20151205


def blocks():
    """name -> branches; a branch: list of steps, a step: (name, in, out, (kH, kW), stride, padding), "mean", "max", "halve", or
    a tuple of steps beside each other."""
    one = lambda name, i, o: (name, i, o, (1, 1), 1, (0, 0))
    conv = lambda name, i, o, h, w: (name, i, o, (h, w), 1, (h // 2, w // 2))
    down = lambda name, i, o: (name, i, o, (3, 3), 2, (0, 0))

    def a(i, pool):
        return [[one("branch1x1", i, 64)],
                [one("branch5x5_1", i, 48), conv("branch5x5_2", 48, 64, 5, 5)],
                [one("branch3x3dbl_1", i, 64), conv("branch3x3dbl_2", 64, 96, 3, 3), conv("branch3x3dbl_3", 96, 96, 3, 3)],
                ["mean", one("branch_pool", i, pool)]]  # fmt: skip

    def c(w):
        return [[one("branch1x1", 768, 192)],
                [one("branch7x7_1", 768, w), conv("branch7x7_2", w, w, 1, 7), conv("branch7x7_3", w, 192, 7, 1)],
                [one("branch7x7dbl_1", 768, w), conv("branch7x7dbl_2", w, w, 7, 1), conv("branch7x7dbl_3", w, w, 1, 7),
                 conv("branch7x7dbl_4", w, w, 7, 1), conv("branch7x7dbl_5", w, 192, 1, 7)],
                ["mean", one("branch_pool", 768, 192)]]  # fmt: skip

    def e(i, pool):
        fork = lambda name: (conv(name + "a", 384, 384, 1, 3), conv(name + "b", 384, 384, 3, 1))
        return [[one("branch1x1", i, 320)],
                [one("branch3x3_1", i, 384), fork("branch3x3_2")],
                [one("branch3x3dbl_1", i, 448), conv("branch3x3dbl_2", 448, 384, 3, 3), fork("branch3x3dbl_3")],
                [pool, one("branch_pool", i, 192)]]  # fmt: skip

    stem = [down("Conv2d_1a_3x3", 3, 32), ("Conv2d_2a_3x3", 32, 32, (3, 3), 1, (0, 0)), conv("Conv2d_2b_3x3", 32, 64, 3, 3), "halve",
            one("Conv2d_3b_1x1", 64, 80), ("Conv2d_4a_3x3", 80, 192, (3, 3), 1, (0, 0)), "halve"]  # fmt: skip
    return {
        "": [stem],
        "Mixed_5b.": a(192, 32), "Mixed_5c.": a(256, 64), "Mixed_5d.": a(288, 64),
        "Mixed_6a.": [[down("branch3x3", 288, 384)],
                      [one("branch3x3dbl_1", 288, 64), conv("branch3x3dbl_2", 64, 96, 3, 3), down("branch3x3dbl_3", 96, 96)], ["halve"]],
        "Mixed_6b.": c(128), "Mixed_6c.": c(160), "Mixed_6d.": c(160), "Mixed_6e.": c(192),
        "Mixed_7a.": [[one("branch3x3_1", 768, 192), down("branch3x3_2", 192, 320)],
                      [one("branch7x7x3_1", 768, 192), conv("branch7x7x3_2", 192, 192, 1, 7), conv("branch7x7x3_3", 192, 192, 7, 1),
                       down("branch7x7x3_4", 192, 192)], ["halve"]],
        "Mixed_7b.": e(1280, "mean"), "Mixed_7c.": e(2048, "max"),
    }  # fmt: skip


def convolutions():
    """(name, in, out, (kH, kW)) in the network's order."""
    for prefix, branches in blocks().items():
        for branch in branches:
            for step in branch:
                for unit in step if isinstance(step[0], tuple) else () if isinstance(step, str) else (step,):
                    yield prefix + unit[0], *unit[1:4]


POOLS = {
    "mean": lambda x: F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False),
    "max": lambda x: F.max_pool2d(x, 3, stride=1, padding=1),
    "halve": lambda x: F.max_pool2d(x, 3, stride=2),
}


def forward(x, convolve, head):
    """x (N,3,H,W) in [-1,1]; convolve(name, x, stride, padding), with all that comes before the relu -> features, logits."""

    def take(x, prefix, step):
        if isinstance(step, str):
            return POOLS[step](x)
        if isinstance(step[0], tuple):
            return torch.cat([take(x, prefix, unit) for unit in step], 1)
        return F.relu(convolve(prefix + step[0], x, step[4], step[5]))

    for prefix, branches in blocks().items():
        parts = []
        for branch in branches:
            y = x
            for step in branch:
                y = take(y, prefix, step)
            parts.append(y)
        x = torch.cat(parts, 1)
    features = x.mean((2, 3))
    return features, features @ head.T


def folded(weights):
    return lambda name, x, stride, padding: F.conv2d(x, weights[name + ".conv.weight"], weights[name + ".conv.bias"], stride, padding)


def uniform(shape, seed, stream, step, low, high):
    """rand() of tensor/random.h in f32: Philox4x32-10, element i from word i mod 4 of block i div 4."""
    n = math.prod(shape)
    block = np.arange((n + 3) // 4, dtype=np.uint64)
    c = [block & 0xFFFFFFFF, np.full_like(block, step >> 32 << 16), np.full_like(block, step & 0xFFFFFFFF), np.full_like(block, stream)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
        c = [(p1 >> half) ^ c[1] ^ np.uint64(k0), p1 & mask, (p0 >> half) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    bits = np.stack(c, 1).reshape(-1)[:n]
    u = (bits >> np.uint64(8)).astype(np.float64) * 2.0**-24
    return (low + (high - low) * u).astype(np.float32).reshape(shape)


def formula_weights():
    """Name -> f64 tensor: uniform, weights with variance 2/fan_in. Drawn as (O,kH,kW,I), which is how they lie in memory there."""
    out = {}
    for name, i, o, (h, w) in convolutions():
        a = math.sqrt(6.0 / (i * h * w))
        draw = uniform((o, h, w, i), SEED, 0, len(out), -a, a)
        out[name + ".conv.weight"] = torch.from_numpy(draw.transpose(0, 3, 1, 2).copy()).double()
        out[name + ".conv.bias"] = torch.from_numpy(uniform((o,), SEED, 0, len(out), -0.1, 0.1)).double()
    a = math.sqrt(6.0 / 2048)
    out["fc.weight"] = torch.from_numpy(uniform((1008, 2048), SEED, 0, len(out), -a, a)).double()
    return out


def formula_images():
    """(2,3,299,299): squares of 13 pixels."""
    squares = uniform((2, 23, 23, 3), SEED, 1, 0, -1, 1)
    return torch.from_numpy(squares.repeat(13, 1).repeat(13, 2).transpose(0, 3, 1, 2).copy()).double()


def main(path):
    weights = formula_weights()
    with torch.no_grad():
        features, logits = forward(formula_images(), folded(weights), weights["fc.weight"])
    save_file({"features": features.float().contiguous(), "logits": logits.float().contiguous()}, path,
              {"torch": torch.__version__, "parameters": str(sum(w.numel() for w in weights.values()))})  # fmt: skip
    print(f"{path}: {len(weights)} tensors, features {features.mean():.4g} +- {features.std():.4g}, logits {logits.std():.4g}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent / "inception.safetensors")
