"""More single ops: comparisons, `where`, variances, running sums; and what all ops give at NaN and ±∞."""

import torch

from ops import FORWARD, REDUCTIONS, case, dims_of, f32, forward, indices, normal, values

INF, NAN = float("inf"), float("nan")
COMPARE = {"eq": torch.eq, "ne": torch.ne, "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge}

FORWARD |= {k: lambda attrs, a, b, f=f: f(a, b).to(a.dtype) for k, f in COMPARE.items()}
FORWARD |= {
    "where": lambda attrs, condition, a, b: torch.where(condition != 0, a, b),
    "cumsum": lambda attrs, x: torch.cumsum(x, attrs["dim"]),
    "var": lambda attrs, x: torch.var(
        x, dims_of(x, attrs), correction=attrs["correction"], keepdim=attrs["keepdim"]
    ),
}


def compare_cases():  # constants: values alone
    a = [[0.5, -1.25, 0.0, 2.0, NAN, NAN, INF], [1.5, -0.75, -0.0, -INF, 1.0, -INF, 3.0]]
    b = [[0.5, -1.0, 0.0, 1.0, NAN, 1.0, INF], [1.25, -0.75, 0.0, INF, NAN, -INF, 3.0]]
    for op in COMPARE:
        for variant, other in (("same", b), ("broadcast", b[0]), ("scalar", 0.5)):
            made = case(op, variant, a=values(a), b=values(other))
            made.wrt, made.finite = [], False
            yield made


def where_cases():
    for variant, condition, a, b in (
        ("same", [[1, 0, 1], [0, 0, 2]], (2, 3), (2, 3)), ("condition_row", [1, 0, 0], (2, 3), (2, 1)),
        ("condition_column", [[0], [1]], (3,), ()), ("scalar_condition", 1, (2, 3), (3,)),
        ("batch_zero", [1, 0, 1], (0, 3), (3,)),
    ):  # fmt: skip
        yield case("where", variant, condition=indices(condition), a=normal(*a), b=normal(*b))
    yield f32("where", condition=indices([1, 0, 0, 1, 1]), a=normal(3, 5), b=normal(3, 1))


# NaN and ±∞ in: what comes out, and the slopes. silu and gelu are left out, where PyTorch has NaN at −∞ and not the
# limit, and so is abs, whose slope at NaN is 0 there.
ENDS = [NAN, INF, -INF, 0.0, -1.5, 2.5]


def ends_cases():
    for op, attrs in (
        ("relu", {}), ("leaky_relu", {"slope": 0.2}), ("tanh", {}), ("sigmoid", {}), ("exp", {}),
        ("expm1", {}), ("sqrt", {}), ("square", {}), ("clamp", {"min": -1.0, "max": 2.0}), ("clamp", {"min": 0.0}),
        ("clamp", {"max": 0.5}),
    ):  # fmt: skip
        variant = "_".join(["ends", *(k for k in attrs if op == "clamp")])
        yield not_finite(case(op, variant, attrs, x=values(ENDS)))
    yield not_finite(case("softplus", "ends", x=values([NAN, INF, -INF, -1.5, 2.5])))
    yield not_finite(case("log", "ends", x=values([NAN, INF, 0.5])))
    yield not_finite(case("log1p", "ends", x=values([NAN, INF, 0.0, -0.5, 1e-300])))
    pairs = {"a": values([[NAN, 1.0, NAN, INF, -INF, INF]]), "b": values([[1.0, NAN, NAN, INF, 2.0, -1.0]])}
    for op in ("maximum", "minimum"):
        yield not_finite(case(op, "ends", **pairs))
    rows = [[-INF, -INF, -INF], [INF, 1.0, 900.0], [INF, INF, -INF], [-INF, 0.5, -INF], [NAN, 1.0, -INF]]
    for op in ("logsumexp", "amax"):
        for dim, x in ((-1, rows), (0, [list(column) for column in zip(*rows)])):
            attrs = {"dims": [dim], "keepdim": False}
            yield not_finite(case(op, f"ends_{'last' if dim else 'first'}", attrs, x=values(x)))
    for variant, x, correction in (("one_element", [[2.5], [-1.0]], 1), ("two_elements", [[1.0, 3.5], [2.0, 2.0]], 2)):
        attrs = {"dims": [1], "keepdim": False, "correction": correction}
        yield not_finite(case("var", variant, attrs, x=values(x)))


def not_finite(made):
    made.finite = False
    return made


def var_cases():
    for variant, (shape, dims, keepdim) in REDUCTIONS.items():
        if variant != "size_one":
            yield case("var", variant, {"dims": dims, "keepdim": keepdim, "correction": 1}, x=normal(*shape))
    for variant, correction in (("population", 0), ("correction_two", 2), ("correction_half", 0.5)):
        yield case("var", variant, {"dims": [1], "keepdim": True, "correction": correction}, x=normal(2, 5, 3))
    yield f32("var", {"dims": [-1], "keepdim": False, "correction": 1}, x=normal(4, 9))
    offset = values([[1e6, 1e6 + 1, 1e6 + 2.5, 1e6 - 3]])
    yield case("var", "offset_f32", {"dims": [-1], "keepdim": False, "correction": 1}, torch.float32, x=offset)


def cumsum_cases():
    for variant, shape, dim in (
        ("vector", (17,), 0), ("first", (3, 4), 0), ("middle", (2, 5, 3), 1), ("last", (2, 3, 70), -1),
        ("size_one", (3, 1, 2), 1), ("batch_zero", (0, 3), 1),
    ):  # fmt: skip
        yield case("cumsum", variant, {"dim": dim}, x=normal(*shape))
    yield f32("cumsum", {"dim": 1}, x=normal(3, 300, 2))


FAMILIES = [compare_cases, where_cases, ends_cases, var_cases, cumsum_cases]
