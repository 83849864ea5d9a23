"""Single ops: FORWARD maps an op name to its definition in PyTorch, and each `*_cases` function is one family.

A new family is its rows in FORWARD, one generator of cases, and that generator in FAMILIES.
"""

import torch
import torch.nn.functional as F

from case import Case, rng


def softplus(x):  # F.softplus is the identity above 20, off by 2e-9; this is exact (and never evaluated at 0 here)
    return torch.clamp_min(x, 0) + torch.log1p(torch.exp(-x.abs()))


def dims_of(x, attrs):
    return tuple(attrs["dims"]) or tuple(range(x.dim()))


def slice_(x, dim, start, stop, step):
    index = [slice(None)] * x.dim()
    index[dim] = slice(start, stop, step)
    return x[tuple(index)]


BINARY = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div,
    "maximum": torch.maximum, "minimum": torch.minimum,
}  # fmt: skip
UNARY = {
    "neg": torch.neg, "exp": torch.exp, "expm1": torch.expm1, "log": torch.log, "log1p": torch.log1p, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt,
    "square": torch.square, "sin": torch.sin, "cos": torch.cos, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
    "silu": F.silu, "gelu": F.gelu, "relu": F.relu, "softplus": softplus, "abs": torch.abs,
}  # fmt: skip
REDUCE = {  # (x, dims, keepdim)
    "sum": torch.sum,
    "mean": torch.mean,
    "amax": torch.amax,
    "logsumexp": torch.logsumexp,
    "softmax": lambda x, dims, keepdim: torch.exp(x - torch.logsumexp(x, dims, keepdim=True)),
    "norm": lambda x, dims, keepdim: torch.linalg.vector_norm(x, dim=dims, keepdim=keepdim),
}

FORWARD = {}  # op -> f(attrs, in.a, in.b, ...) with the inputs as keyword arguments
FORWARD |= {k: lambda attrs, a, b, f=f: f(a, b) for k, f in BINARY.items()}
FORWARD |= {k: lambda attrs, x, f=f: f(x) for k, f in UNARY.items()}
FORWARD |= {k: lambda attrs, x, f=f: f(x, dims_of(x, attrs), attrs["keepdim"]) for k, f in REDUCE.items()}
FORWARD |= {
    "leaky_relu": lambda attrs, x: F.leaky_relu(x, attrs["slope"]),
    "pow": lambda attrs, x: torch.pow(x, attrs["exponent"]),
    "clamp": lambda attrs, x: torch.clamp(x, attrs.get("min"), attrs.get("max")),
    "matmul": lambda attrs, a, b: torch.matmul(a, b),
    "linear": lambda attrs, x, w, b=None: F.linear(x, w, b),
    "embedding": lambda attrs, w, idx: w[idx],  # F.embedding cannot differentiate twice with no index
    "concat": lambda attrs, **parts: torch.cat([parts[k] for k in sorted(parts)], attrs["dim"]),
    "slice": lambda attrs, x: slice_(x, attrs["dim"], attrs["start"], attrs["stop"], attrs["step"]),
    "permute": lambda attrs, x: x.permute(attrs["dims"]),
    "reshape": lambda attrs, x: x.reshape(attrs["shape"]),
    "pad2d": lambda attrs, x: F.pad(x, attrs["pads"]),  # [left, right, top, bottom], filled with 0
    "index_select": lambda attrs, x, idx: torch.index_select(x, attrs["dim"], idx),
}


def group_norm(x, w, b, groups, eps):
    return F.group_norm(x, groups, w, b, eps)


def group_norm_silu(attrs, x, w, b, scale=None, shift=None):
    y, rest = group_norm(x, w, b, attrs["groups"], attrs["eps"]), (1,) * (x.dim() - 2)
    if scale is not None:
        y = y * (1 + scale.reshape(*scale.shape, *rest))
    if shift is not None:
        y = y + shift.reshape(*shift.shape, *rest)
    return F.silu(y)


def attention(attrs, q, k, v):  # (N,C,T): head i is channels [i·d, (i+1)·d)
    n, c, _ = q.shape
    q, k, v = (t.reshape(n, attrs["heads"], c // attrs["heads"], t.shape[2]) for t in (q, k, v))
    scores = torch.einsum("nhdt,nhds->nhts", q, k) / (c // attrs["heads"]) ** 0.5
    return torch.einsum("nhts,nhds->nhdt", torch.softmax(scores, -1), v).reshape(n, c, -1)


FORWARD |= {
    "conv2d": lambda attrs, x, w, b=None: F.conv2d(
        x, w, b, attrs["stride"], attrs["padding"], attrs["dilation"], attrs["groups"]
    ),
    "avg_pool2d": lambda attrs, x: F.avg_pool2d(x, attrs["kernel"]),
    "upsample_nearest2d": lambda attrs, x: F.interpolate(x, scale_factor=attrs["scale"], mode="nearest"),
    "group_norm": lambda attrs, x, w, b: group_norm(x, w, b, attrs["groups"], attrs["eps"]),
    "group_norm_silu": group_norm_silu,
    "attention": attention,
}


def forward(op, attrs, inputs):
    return {"out.y": FORWARD[op](attrs, **{k.removeprefix("in."): v for k, v in inputs.items()})}


def normal(*shape, scale=1.0):
    return lambda draw: torch.tensor(draw.standard_normal(shape) * scale)


def uniform(low, high, *shape):
    return lambda draw: torch.tensor(draw.uniform(low, high, shape))


def away_from_zero(*shape):
    return lambda draw: torch.tensor(draw.uniform(0.3, 2.0, shape) * draw.choice([-1.0, 1.0], shape))


def values(rows, dtype=torch.float64):
    return lambda draw: torch.tensor(rows, dtype=dtype)


def indices(rows):
    return values(rows, torch.int64)


def case(op, variant, attrs=None, dtype=torch.float64, **inputs):
    draw = rng(f"{op}__{variant}")
    return Case(op, variant, attrs or {}, {f"in.{k}": make(draw) for k, make in inputs.items()}, dtype=dtype)


def f32(op, attrs=None, **inputs):
    return case(op, "f32", attrs, torch.float32, **inputs)


BROADCASTS = {  # variant -> shapes of a, b
    "same": ((3, 4), (3, 4)),
    "broadcast_right": ((2, 3, 4), (4,)),
    "broadcast_left": ((3, 1), (2, 3, 4)),
    "broadcast_both": ((3, 1, 5), (2, 1)),
    "scalar_right": ((2, 3), ()),
    "scalar_left": ((), (2, 3)),
    "size_one": ((1, 1), (1,)),
    "batch_zero": ((0, 3), (3,)),
}


def binary_cases():
    for op in BINARY:
        divisor = away_from_zero if op == "div" else normal
        for variant, (a, b) in BROADCASTS.items():
            yield case(op, variant, a=normal(*a), b=divisor(*b))
        yield f32(op, a=normal(3, 1, 5), b=divisor(2, 5))
    for op in ("maximum", "minimum"):  # at a tie each side gets half of the gradient
        a = [[0.5, -1.25, 0.0, 2.0], [1.5, -0.75, 3.0, -2.0]]
        yield case(op, "ties", a=values(a), b=values([[0.5, -1.0, 0.0, 1.0], [1.5, -0.75, 2.5, 4.0]]))
        yield case(op, "ties_broadcast", a=values(a), b=values([0.5, -0.75, 0.0, 2.0]))


LARGE = [-745.0, -500.0, -100.0, -40.0, -30.0, -20.5, -5.0, -1e-3, 1e-3, 5.0, 19.5, 20.5, 30.0, 40.0, 100.0, 500.0, 1000.0]


def unary_cases():
    positive = ("log", "log1p", "sqrt", "rsqrt")
    for op in (*UNARY, "leaky_relu"):
        attrs = {"slope": 0.2} if op == "leaky_relu" else {}
        make = (lambda *s: uniform(0.2, 3.0, *s)) if op in positive else (lambda *s: normal(*s, scale=1.5))
        yield case(op, "vector", attrs, x=make(19))
        yield case(op, "image", attrs, x=make(2, 3, 2, 3))
        yield case(op, "size_one", attrs, x=make(1, 1))
        yield case(op, "batch_zero", attrs, x=make(0, 3))
        yield f32(op, attrs, x=make(3, 7))
    for op in ("sigmoid", "softplus", "silu", "gelu", "tanh"):
        yield case(op, "large", x=values(LARGE))
    yield case("softplus", "large_f32", dtype=torch.float32, x=values(LARGE))
    yield case("silu", "large_f32", dtype=torch.float32, x=values(LARGE))
    yield case("leaky_relu", "slope_small", {"slope": 0.01}, x=normal(4, 5))
    for op in ("expm1", "log1p"):
        for name, dtype in (("small", torch.float64), ("small_f32", torch.float32)):
            yield case(op, name, dtype=dtype, x=values([1e-30, -1e-20, 1e-10, -1e-7, 3e-5, -1e-3, 0.02, -0.4, 0.0]))
    for attrs in ({"min": -0.5, "max": 0.75}, {"min": 0.25}, {"max": -0.25}, {"min": 1.0, "max": -1.0}):
        yield case("clamp", "_".join(f"{k}_{v:g}" for k, v in attrs.items()), attrs, x=normal(3, 7))
    yield f32("clamp", {"min": -0.5, "max": 0.75}, x=normal(3, 7))
    yield case("clamp", "batch_zero", {"min": 0.0}, x=normal(0, 3))
    clamped = {"min": -1.5, "max": 0.75}  # slope 0 at the bounds
    for op, attrs in (("relu", {}), ("abs", {}), ("leaky_relu", {"slope": 0.2}), ("square", {}), ("clamp", clamped)):
        yield case(op, "at_zero", attrs, x=values([[-1.5, 0.0, 2.5], [0.0, 0.75, -0.25]]))


def pow_cases():
    for variant, exponent, make in (
        ("square", 2, normal(3, 5)), ("cube", 3, normal(3, 5)), ("root", 0.5, uniform(0.2, 3.0, 3, 5)),
        ("minus_three_halves", -1.5, uniform(0.4, 3.0, 3, 5)), ("batch_zero", 3, normal(0, 3)),
        ("square_at_zero", 2, values([[-1.5, 0.0, 2.5]])), ("cube_at_zero", 3, values([[-1.5, 0.0, 2.5]])),
    ):  # fmt: skip
        yield case("pow", variant, {"exponent": exponent}, x=make)
    yield f32("pow", {"exponent": -1.5}, x=uniform(0.5, 3.0, 3, 5))


REDUCTIONS = {  # variant -> shape, dims, keepdim
    "all": ((3, 4), [], False),
    "all_keepdim": ((2, 3, 2), [], True),
    "last": ((3, 5), [-1], False),
    "first_keepdim": ((3, 5), [0], True),
    "middle": ((2, 5, 3), [1], False),
    "several": ((2, 3, 4), [0, 2], False),
    "several_negative_keepdim": ((2, 3, 4), [-1, -2], True),
    "size_one": ((3, 1, 2), [1], False),
    "vector": ((17,), [0], False),
    "batch_zero": ((0, 3), [1], False),
}


def reduce_cases():
    for op in REDUCE:
        for variant, (shape, dims, keepdim) in REDUCTIONS.items():
            attrs = {"dims": dims, "keepdim": keepdim and op != "softmax"}
            yield case(op, variant, attrs, x=normal(*shape))
        yield f32(op, {"dims": [-1], "keepdim": False}, x=normal(4, 9))
    for op in ("sum", "mean", "norm", "logsumexp"):
        yield case(op, "several_outer_inner_keepdim", {"dims": [0, -1], "keepdim": True}, x=normal(2, 3, 2, 3))
    yield case("sum", "over_empty", {"dims": [0], "keepdim": False}, x=normal(0, 3))
    rows = [[1000.0, 999.0, 998.5], [-1000.0, -1000.5, -1001.0], [700.0, 0.25, -700.0], [-0.5, 0.25, 1.5]]
    for op in ("logsumexp", "softmax"):
        yield case(op, "large", {"dims": [-1], "keepdim": False}, x=values(rows))
        yield case(op, "large_f32", {"dims": [-1], "keepdim": False}, torch.float32, x=values(rows))
    ties = [[1.5, -2.0, 1.5, 0.0], [3.0, 3.0, 3.0, -1.0], [0.5, 2.0, 1.0, -4.0]]  # shared evenly among the largest
    yield case("amax", "ties", {"dims": [1], "keepdim": False}, x=values(ties))


def matmul_cases():
    for variant, a, b in (
        ("plain", (3, 4), (4, 5)), ("one_row", (1, 6), (6, 3)), ("one_column", (4, 6), (6, 1)),
        ("inner_one", (3, 1), (1, 4)), ("batched", (2, 3, 4), (2, 4, 5)), ("left_matrix", (3, 4), (2, 4, 5)),
        ("right_matrix", (2, 3, 4), (4, 5)), ("broadcast_batch", (2, 1, 3, 4), (3, 4, 2)),
        ("broadcast_batch_both", (2, 1, 1, 3), (1, 3, 3, 2)), ("batch_zero", (0, 3, 4), (4, 2)),
        ("rows_zero", (0, 4), (4, 2)), ("larger", (9, 17), (17, 5)),
    ):  # fmt: skip
        yield case("matmul", variant, a=normal(*a), b=normal(*b))
    yield f32("matmul", a=normal(2, 5, 7), b=normal(7, 3))


def linear_cases():
    for variant, x in (("rank2", (5, 3)), ("rank3", (2, 4, 3)), ("one_row", (1, 3)), ("batch_zero", (0, 3))):
        yield case("linear", variant, x=normal(*x), w=normal(4, 3), b=normal(4))
    yield case("linear", "rank2_no_bias", x=normal(5, 3), w=normal(4, 3))
    yield case("linear", "rank3_no_bias", x=normal(2, 4, 3), w=normal(5, 3))
    yield case("linear", "one_feature", x=normal(4, 6), w=normal(1, 6), b=normal(1))
    yield f32("linear", x=normal(5, 7), w=normal(4, 7), b=normal(4))


def index_cases():
    yield case("embedding", "repeated", w=normal(5, 3), idx=indices([4, 0, 4, 2, 4, 0]))
    yield case("embedding", "rank2", w=normal(4, 2), idx=indices([[3, 1, 1], [0, 3, 1]]))
    yield case("embedding", "batch_zero", w=normal(4, 2), idx=indices([]))
    yield f32("embedding", w=normal(5, 3), idx=indices([1, 1, 4, 0]))
    for variant, dim, idx in (("first_repeated", 0, [3, 0, 3, 1, 3]), ("middle", 1, [2, 0]), ("negative_dim", -1, [4, 4, 0]),
                              ("empty", 0, [])):  # fmt: skip
        yield case("index_select", variant, {"dim": dim}, x=normal(4, 3, 5), idx=indices(idx))
    yield f32("index_select", {"dim": 1}, x=normal(3, 4), idx=indices([0, 3, 3]))


def move_cases():
    yield case("concat", "two_first", {"dim": 0}, a=normal(2, 3), b=normal(4, 3))
    yield case("concat", "three_middle", {"dim": 1}, a=normal(2, 3, 2), b=normal(2, 1, 2), c=normal(2, 4, 2))
    yield case("concat", "three_negative", {"dim": -1}, a=normal(2, 3), b=normal(2, 2), c=normal(2, 1))
    yield case("concat", "one_part_empty", {"dim": 0}, a=normal(0, 3), b=normal(2, 3))
    yield case("concat", "batch_zero", {"dim": 1}, a=normal(0, 3), b=normal(0, 2))
    yield f32("concat", {"dim": 1}, a=normal(2, 3), b=normal(2, 2))

    for variant, shape, dim, start, stop, step in (
        ("plain", (5, 3), 0, 1, 4, 1), ("step_two", (2, 7), 1, 1, 7, 2), ("step_two_short", (2, 7), 1, 0, 6, 2),
        ("negative_start", (3, 6), -1, -4, 6, 1), ("negative_both_step_three", (2, 8, 2), 1, -7, -1, 3),
        ("stop_past_end", (4, 3), 0, 2, 100, 1), ("empty", (4, 3), 0, 3, 1, 1), ("batch_zero", (0, 5), 1, 1, 3, 1),
    ):  # fmt: skip
        attrs = {"dim": dim, "start": start, "stop": stop, "step": step}
        yield case("slice", variant, attrs, x=normal(*shape))
    yield f32("slice", {"dim": 1, "start": 1, "stop": 6, "step": 2}, x=normal(3, 6))

    for variant, shape, dims in (
        ("transpose", (3, 4), [1, 0]), ("cycle", (2, 3, 4), [2, 0, 1]), ("identity", (2, 3), [0, 1]),
        ("to_channels_last", (2, 3, 4, 5), [0, 2, 3, 1]), ("negative", (2, 3, 4), [0, -1, 1]),
        ("size_one", (1, 3, 1), [2, 1, 0]), ("batch_zero", (0, 3, 2), [0, 2, 1]),
    ):  # fmt: skip
        yield case("permute", variant, {"dims": dims}, x=normal(*shape))
    yield f32("permute", {"dims": [1, 2, 0]}, x=normal(2, 3, 4))

    for variant, shape, target in (
        ("plain", (2, 6), [3, 4]), ("infer", (2, 3, 4), [2, -1]), ("infer_flat", (2, 3, 2), [-1]),
        ("size_one", (6,), [1, 6, 1]), ("to_scalar", (1, 1), []), ("batch_zero", (0, 4), [0, 2, 2]),
    ):  # fmt: skip
        yield case("reshape", variant, {"shape": target}, x=normal(*shape))
    yield f32("reshape", {"shape": [4, -1]}, x=normal(2, 6))

    for variant, shape, pads in (
        ("asymmetric", (2, 3, 3, 4), [1, 2, 3, 0]), ("symmetric", (1, 2, 3, 3), [1, 1, 1, 1]),
        ("one_side", (2, 1, 2, 3), [0, 1, 0, 1]), ("none", (1, 2, 2, 2), [0, 0, 0, 0]), ("batch_zero", (0, 2, 2, 3), [1, 0, 0, 2]),
    ):  # fmt: skip
        yield case("pad2d", variant, {"pads": pads}, x=normal(*shape))
    yield f32("pad2d", {"pads": [2, 0, 1, 1]}, x=normal(1, 2, 3, 2))


CONVS = {  # variant -> x, w, bias, (stride, padding, dilation, groups)
    "three_by_three": ((2, 3, 5, 6), (4, 3, 3, 3), True, (1, 1, 1, 1)),
    "no_bias": ((2, 3, 5, 4), (2, 3, 3, 3), False, (1, 1, 1, 1)),
    "one_by_one": ((2, 5, 3, 4), (3, 5, 1, 1), True, (1, 0, 1, 1)),
    "one_by_one_strided": ((2, 4, 5, 4), (3, 4, 1, 1), True, (2, 0, 1, 1)),
    "stride_leftover": ((2, 3, 8, 7), (4, 3, 3, 3), True, (2, 0, 1, 1)),
    "stride_pairs": ((1, 2, 9, 8), (3, 2, 3, 2), True, ([2, 3], [1, 0], 1, 1)),
    "dilation": ((2, 2, 8, 9), (3, 2, 3, 3), False, (1, 2, 2, 1)),
    "dilation_pairs": ((1, 2, 9, 7), (2, 2, 3, 3), True, ([2, 1], [0, 2], [2, 1], 1)),
    "groups": ((2, 6, 4, 5), (4, 3, 3, 3), True, (1, 1, 1, 2)),
    "depthwise": ((2, 4, 5, 4), (4, 1, 3, 3), True, (1, 1, 1, 4)),
    "depthwise_two": ((1, 3, 5, 5), (6, 1, 3, 3), False, (2, 1, 1, 3)),
    "five_by_three": ((2, 2, 6, 5), (3, 2, 5, 3), True, (1, [2, 1], 1, 1)),
    "one_pixel": ((3, 4, 1, 1), (2, 4, 3, 3), True, (1, 1, 1, 1)),
    "one_row": ((2, 3, 1, 6), (2, 3, 1, 3), True, (1, [0, 1], 1, 1)),
    "whole_image": ((2, 3, 4, 4), (5, 3, 4, 4), True, (1, 0, 1, 1)),
    "wide_padding": ((1, 2, 3, 3), (2, 2, 3, 3), True, (1, 3, 1, 1)),
}
F32_CONVS = {  # ordinary sizes of a network: what a library's fast algorithms are made for
    "channels_48": ((1, 48, 14, 14), (48, 48, 3, 3), True, (1, 1, 1, 1)),
    "channels_32_40": ((3, 32, 13, 11), (40, 32, 3, 3), True, (1, 1, 1, 1)),
    "from_rgb": ((2, 3, 16, 16), (32, 3, 3, 3), True, (1, 1, 1, 1)),
    "to_rgb": ((2, 32, 16, 16), (3, 32, 3, 3), True, (1, 1, 1, 1)),
    "strided": ((2, 32, 15, 15), (32, 32, 3, 3), True, (2, 1, 1, 1)),
    "groups": ((2, 32, 9, 9), (32, 16, 3, 3), True, (1, 1, 1, 2)),
    "one_by_one": ((2, 32, 9, 9), (48, 32, 1, 1), True, (1, 0, 1, 1)),
    "narrow": ((2, 5, 9, 9), (7, 5, 3, 3), True, (1, 1, 1, 1)),
}


def conv_cases():
    for table, dtype in ((CONVS, torch.float64), (F32_CONVS, torch.float32)):
        for variant, (x, w, bias, numbers) in table.items():
            attrs = dict(zip(("stride", "padding", "dilation", "groups"), numbers))
            fan_in = w[1] * w[2] * w[3]
            inputs = {"x": normal(*x), "w": normal(*w, scale=fan_in**-0.5)}
            if bias:
                inputs["b"] = normal(w[0])
            yield case("conv2d", variant + ("_f32" if dtype == torch.float32 else ""), attrs, dtype, **inputs)


def image_cases():
    for variant, shape, kernel in (
        ("two", (2, 3, 4, 6), 2), ("leftover", (2, 3, 5, 7), 2), ("pair", (1, 2, 6, 4), [3, 2]), ("one", (2, 2, 3, 3), 1),
        ("whole", (2, 3, 4, 4), 4), ("batch_zero", (0, 3, 4, 4), 2),
    ):  # fmt: skip
        yield case("avg_pool2d", variant, {"kernel": kernel}, x=normal(*shape))
    yield f32("avg_pool2d", {"kernel": 2}, x=normal(2, 20, 4, 4))
    for variant, shape, scale in (("two", (2, 3, 3, 4), 2), ("three", (1, 2, 2, 3), 3), ("one_pixel", (2, 3, 1, 1), 4)):
        yield case("upsample_nearest2d", variant, {"scale": scale}, x=normal(*shape))
    yield f32("upsample_nearest2d", {"scale": 2}, x=normal(2, 20, 4, 4))


NORMS = {  # variant -> x, groups
    "image": ((2, 6, 3, 4), 3),
    "one_group": ((2, 4, 3, 3), 1),
    "groups_are_channels": ((2, 5, 3, 4), 5),
    "wide": ((2, 40, 3, 3), 4),
    "one_pixel": ((3, 6, 1, 1), 2),
    "sequence": ((2, 6, 7), 2),
    "vector": ((3, 8), 2),
    "many_pixels": ((1, 18, 9, 7), 3),
}


def norm_cases():
    for variant, (x, groups) in NORMS.items():
        attrs, c = {"groups": groups, "eps": 1e-5}, x[1]
        affine = {"w": normal(c), "b": normal(c)}
        yield case("group_norm", variant, attrs, x=normal(*x), **affine)
        yield case("group_norm_silu", variant, attrs, x=normal(*x), **affine)
        shifts = {"scale": normal(x[0], c, scale=0.5), "shift": normal(x[0], c)}
        yield case("group_norm_silu", f"{variant}_scale_shift", attrs, x=normal(*x), **affine, **shifts)
    attrs, sizes = {"groups": 8, "eps": 1e-5}, (2, 32, 8, 8)
    affine = {"w": normal(32), "b": normal(32)}
    yield f32("group_norm", attrs, x=normal(*sizes), **affine)
    yield f32("group_norm_silu", attrs, x=normal(*sizes), scale=normal(2, 32), shift=normal(2, 32), **affine)
    yield case("group_norm", "large_eps", {"groups": 2, "eps": 0.5}, x=normal(2, 4, 3, 3), w=normal(4), b=normal(4))


def attention_cases():
    for variant, n, c, t, heads in (
        ("one_head", 2, 4, 5, 1), ("two_heads", 2, 6, 4, 2), ("heads_are_channels", 1, 3, 4, 3), ("one_token", 2, 4, 1, 2),
    ):  # fmt: skip
        shape = (n, c, t)
        yield case("attention", variant, {"heads": heads}, q=normal(*shape), k=normal(*shape), v=normal(*shape))
    yield f32("attention", {"heads": 2}, q=normal(2, 32, 16), k=normal(2, 32, 16), v=normal(2, 32, 16))


FAMILIES = [
    binary_cases, unary_cases, pow_cases, reduce_cases, matmul_cases, linear_cases, index_cases, move_cases,
    conv_cases, image_cases, norm_cases, attention_cases,
]  # fmt: skip
