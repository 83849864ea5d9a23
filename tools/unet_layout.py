"""The published U-Net by its parameters: what names and shapes there are for given options (vapo/networks/unet.cpp lays it out the same), and
which options given names and shapes tell of."""

import math
import re

UNET = {  # [unet] of vapo/networks/unet.h
    "base_width": 128, "multipliers": [2, 2, 2], "blocks_per_level": 4, "attention_downsamplings": [2], "heads": 1, "head_width": -1,
    "dropout": 0.3, "conv_resample": False, "resblock_updown": False, "new_attention_order": False, "scale_shift": True, "groups": 32,
    "classes": 0, "time": True,
}  # fmt: skip
UNTOLD = ("heads", "head_width", "dropout", "new_attention_order", "groups")  # by names and shapes


class Refused(Exception):
    """A file that cannot be used: one line, and the file where it is not the input."""

    def __init__(self, message, file=None):
        super().__init__(message)
        self.file = file


def layout(u, channels):
    """Parameter name -> shape, as PyTorch has them, in the order of the module tree."""
    shapes = {}
    embedding = 4 * u["base_width"] if u["time"] or u["classes"] else 0

    def affine(name, *weight, bias=None):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = weight, (bias or weight[0],)

    def residual(name, i, o):
        affine(f"{name}.in_layers.0", i)
        affine(f"{name}.in_layers.2", o, i, 3, 3)
        if embedding:
            affine(f"{name}.emb_layers.1", 2 * o if u["scale_shift"] else o, embedding)
        affine(f"{name}.out_layers.0", o)
        affine(f"{name}.out_layers.3", o, o, 3, 3)
        if i != o:
            affine(f"{name}.skip_connection", o, i, 1, 1)

    def attention(name, c):
        affine(f"{name}.norm", c)
        affine(f"{name}.qkv", 3 * c, c, 1)
        affine(f"{name}.proj_out", c, c, 1)

    def resampling(name, c, conv):
        if u["resblock_updown"]:
            residual(name, c, c)
        elif u["conv_resample"]:
            affine(f"{name}.{conv}", c, c, 3, 3)

    if u["time"]:
        affine("time_embed.0", embedding, u["base_width"])
        affine("time_embed.2", embedding, embedding)
    if u["classes"]:
        shapes["label_emb.weight"] = (u["classes"] + 1, embedding)
    widths = [u["base_width"] * m for m in u["multipliers"]]
    attends = [2**level in u["attention_downsamplings"] for level in range(len(widths))]
    width, kept, index = widths[0], [widths[0]], 1
    affine("input_blocks.0.0", width, channels, 3, 3)
    for level, out in enumerate(widths):
        for _ in range(u["blocks_per_level"]):
            residual(f"input_blocks.{index}.0", width, out)
            if attends[level]:
                attention(f"input_blocks.{index}.1", out)
            width, index = out, index + 1
            kept.append(width)
        if level + 1 < len(widths):
            resampling(f"input_blocks.{index}.0", width, "op")
            kept.append(width)
            index += 1
    residual("middle_block.0", width, width)
    attention("middle_block.1", width)
    residual("middle_block.2", width, width)
    index = 0
    for level, out in reversed(list(enumerate(widths))):
        for i in range(u["blocks_per_level"] + 1):
            name = f"output_blocks.{index}"
            residual(f"{name}.0", width + kept.pop(), out)
            if attends[level]:
                attention(f"{name}.1", out)
            if level > 0 and i == u["blocks_per_level"]:
                resampling(f"{name}.{2 if attends[level] else 1}", out, "conv")
            width, index = out, index + 1
    affine("out.0", width)
    affine("out.2", channels, width, 3, 3)
    return shapes


def infer_unet(shapes):
    """What names and shapes tell of [unet]. Inconsistencies are left to `check_layout`."""

    def shape(name, rank):
        if name not in shapes:
            raise Refused(f"tensor '{name}' is missing: not the published U-Net")
        if len(shapes[name]) != rank:
            raise Refused(f"tensor '{name}' has shape {tuple(shapes[name])}, expected {rank} dimensions")
        return shapes[name]

    def indices(pattern):
        return sorted({int(m[1]) for m in map(re.compile(pattern).match, shapes) if m})

    shape("input_blocks.0.0.weight", 4)
    u = dict(UNET)
    inputs = indices(r"input_blocks\.(\d+)\.")
    count = max(inputs, default=0) + 1
    up = indices(r"output_blocks\.(\d+)\.[12]\.in_layers\.")
    down = indices(r"input_blocks\.(\d+)\.0\.op\.")
    u["resblock_updown"], u["conv_resample"] = bool(up), bool(down) and not up
    # The first change of size ends the first level on the way down and the last one on the way up; plain resampling has no parameters.
    without = [i for i in range(count) if i not in inputs]
    first = up[0] + 1 if up else down[0] if down else without[0] if without else count
    if first < 2 or count % first:
        raise Refused(f"{count} input blocks with the first change of size at {first}: no U-Net with equally many blocks a level")
    u["blocks_per_level"] = first - 1
    starts = range(1, count, first)
    widths = [shape(f"input_blocks.{i}.0.out_layers.3.weight", 4)[0] for i in starts]
    u["time"] = "time_embed.0.weight" in shapes
    u["classes"] = shape("label_emb.weight", 2)[0] - 1 if "label_emb.weight" in shapes else 0
    if u["time"]:
        base = shape("time_embed.0.weight", 2)[1]
    else:  # without time and classes only the products base·multiplier count
        base = shape("label_emb.weight", 2)[1] // 4 if u["classes"] else math.gcd(*widths)
    if base < 1 or any(w % base for w in widths):
        raise Refused(f"widths {widths} of the levels are no multiples of the base width {base}")
    u["base_width"], u["multipliers"] = base, [w // base for w in widths]
    u["attention_downsamplings"] = [2**i for i, start in enumerate(starts) if f"input_blocks.{start}.1.qkv.weight" in shapes]
    if u["time"] or u["classes"]:
        u["scale_shift"] = shape("input_blocks.1.0.emb_layers.1.weight", 2)[0] == 2 * widths[0]
    return u


def layout_of(u, tensors):
    """The layout with as many channels as the first convolution of `tensors` has."""
    first = tensors["input_blocks.0.0.weight"].shape if "input_blocks.0.0.weight" in tensors else ()
    return layout(u, first[1] if len(first) == 4 else 3)


def check_layout(tensors, expected, source):
    """Throws where `tensors` (name -> tensor) are not exactly those."""
    for name, shape in expected.items():
        if name not in tensors:
            raise Refused(f"{source} lacks the tensor '{name}' {tuple(shape)}")
        if tuple(tensors[name].shape) != tuple(shape):
            raise Refused(f"{source}: tensor '{name}' has shape {tuple(tensors[name].shape)}, expected {tuple(shape)}")
        if not tensors[name].is_floating_point():
            raise Refused(f"{source}: tensor '{name}' is {tensors[name].dtype}, expected floating point")
    for name in tensors:
        if name not in expected:
            raise Refused(f"{source}: tensor '{name}' {tuple(tensors[name].shape)} belongs to no part of the U-Net")
