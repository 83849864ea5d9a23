#!/usr/bin/env python3
"""The weights of the Inception network that FID is measured with, from the file of its PyTorch port to vapo's. Needs `torch` and
`safetensors`.

    convert_inception.py pt_inception-2015-12-05-6726825d.pth inception.safetensors

then: vapo fid --inception inception.safetensors, or the file in $VAPO_DATA. Batch norms (eps 1e-3) are folded into the weights and
biases of the convolutions before them, in f64; the bias of the last layer, which no score takes, is left out.
Exit codes: 0 done, 2 command line, 3 a file that cannot be used, 5 the system refused to read or write.
"""

import argparse
import sys

try:
    import torch
    from safetensors.torch import save_file
except ImportError as e:
    print(f"convert_inception.py: {e}. Hint: pip install torch safetensors", file=sys.stderr)
    sys.exit(5)

from convert_checkpoint import FORMAT, load_pth, placed
from unet_layout import Refused

EPS = 1e-3
NORM = ("weight", "bias", "running_mean", "running_var")


def at_35(pooled, width):
    return [("branch1x1", width, 64, 1, 1), ("branch5x5_1", width, 48, 1, 1), ("branch5x5_2", 48, 64, 5, 5),
            ("branch3x3dbl_1", width, 64, 1, 1), ("branch3x3dbl_2", 64, 96, 3, 3), ("branch3x3dbl_3", 96, 96, 3, 3),
            ("branch_pool", width, pooled, 1, 1)]  # fmt: skip


def at_17(c):
    return [("branch1x1", 768, 192, 1, 1), ("branch7x7_1", 768, c, 1, 1), ("branch7x7_2", c, c, 1, 7), ("branch7x7_3", c, 192, 7, 1),
            ("branch7x7dbl_1", 768, c, 1, 1), ("branch7x7dbl_2", c, c, 7, 1), ("branch7x7dbl_3", c, c, 1, 7),
            ("branch7x7dbl_4", c, c, 7, 1), ("branch7x7dbl_5", c, 192, 1, 7), ("branch_pool", 768, 192, 1, 1)]  # fmt: skip


def at_8(width):
    return [("branch1x1", width, 320, 1, 1), ("branch3x3_1", width, 384, 1, 1), ("branch3x3_2a", 384, 384, 1, 3),
            ("branch3x3_2b", 384, 384, 3, 1), ("branch3x3dbl_1", width, 448, 1, 1), ("branch3x3dbl_2", 448, 384, 3, 3),
            ("branch3x3dbl_3a", 384, 384, 1, 3), ("branch3x3dbl_3b", 384, 384, 3, 1), ("branch_pool", width, 192, 1, 1)]  # fmt: skip


# Convolutions, (name, in, out, kH, kW), by the part of the network that they are in.
LAYOUT = {
    "": [("Conv2d_1a_3x3", 3, 32, 3, 3), ("Conv2d_2a_3x3", 32, 32, 3, 3), ("Conv2d_2b_3x3", 32, 64, 3, 3),
         ("Conv2d_3b_1x1", 64, 80, 1, 1), ("Conv2d_4a_3x3", 80, 192, 3, 3)],
    "Mixed_5b.": at_35(32, 192), "Mixed_5c.": at_35(64, 256), "Mixed_5d.": at_35(64, 288),
    "Mixed_6a.": [("branch3x3", 288, 384, 3, 3), ("branch3x3dbl_1", 288, 64, 1, 1), ("branch3x3dbl_2", 64, 96, 3, 3),
                  ("branch3x3dbl_3", 96, 96, 3, 3)],
    "Mixed_6b.": at_17(128), "Mixed_6c.": at_17(160), "Mixed_6d.": at_17(160), "Mixed_6e.": at_17(192),
    "Mixed_7a.": [("branch3x3_1", 768, 192, 1, 1), ("branch3x3_2", 192, 320, 3, 3), ("branch7x7x3_1", 768, 192, 1, 1),
                  ("branch7x7x3_2", 192, 192, 1, 7), ("branch7x7x3_3", 192, 192, 7, 1), ("branch7x7x3_4", 192, 192, 3, 3)],
    "Mixed_7b.": at_8(1280), "Mixed_7c.": at_8(2048),
}  # fmt: skip
HEAD = (1008, 2048)


def fold(state):
    """State dict -> name -> f32 tensor. Takes what it uses out of `state`."""

    def take(name, *shape):
        if name not in state:
            raise Refused(f"lacks the tensor '{name}' {shape}: not the Inception network of 2015-12-05")
        x = state.pop(name)
        if not isinstance(x, torch.Tensor) or tuple(x.shape) != shape:
            raise Refused(f"'{name}' has shape {tuple(getattr(x, 'shape', ()))}, expected {shape}")
        if not x.is_floating_point() or not bool(torch.isfinite(x).all()):
            raise Refused(f"'{name}' is not all finite floating numbers")
        return x.double()

    out = {}
    for prefix, convolutions in LAYOUT.items():
        for name, i, o, h, w in convolutions:
            name = prefix + name
            weight = take(f"{name}.conv.weight", o, i, h, w)
            gamma, beta, mean, variance = (take(f"{name}.bn.{part}", o) for part in NORM)
            state.pop(f"{name}.bn.num_batches_tracked", None)
            if bool((variance < 0).any()):
                raise Refused(f"'{name}.bn.running_var' is negative somewhere")
            scale = gamma / (variance + EPS).sqrt()
            out[f"param.{name}.conv.weight"] = (weight * scale[:, None, None, None]).float().contiguous()
            out[f"param.{name}.conv.bias"] = (beta - mean * scale).float().contiguous()
    out["param.fc.weight"] = take("fc.weight", *HEAD).float().contiguous()
    state.pop("fc.bias", None)
    if state:
        raise Refused(f"'{min(state, key=str)}' belongs to no part of the network")
    return out


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", metavar="pt_inception-2015-12-05-6726825d.pth")
    parser.add_argument("output", metavar="OUT.safetensors")
    args = parser.parse_args(arguments)
    try:
        tensors = fold(dict(load_pth(args.input)["model"]))
        with placed(args.output) as path:
            save_file(tensors, path, {"format": FORMAT, "step": "0", "seed": "0", "config": '{"kind": "inception"}'})
    except Refused as e:
        print(f"{args.input}: {e}", file=sys.stderr)
        return 3
    except OSError as e:
        print(f"{e.filename or args.output}: {e.strerror or e}", file=sys.stderr)
        return 5
    print(f"{args.output}: {sum(x.numel() for x in tensors.values())} parameters in {len(tensors)} tensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
