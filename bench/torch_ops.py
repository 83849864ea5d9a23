"""The rows of `vapo bench ops` in PyTorch: one line of JSON each, with the same names. Layouts and compilation are tried
both ways; the quickest counts."""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

import one_device

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seconds", type=float, default=0.3)
one_device.add_options(parser)
parser.add_argument("--bf16", action="store_true")
args = parser.parse_args()
one_device.prepare(args)
dtype = torch.bfloat16 if args.bf16 else torch.float32


def wait():
    if args.device == "cuda":
        torch.cuda.synchronize()


def milliseconds(f):
    f(), f(), wait()
    if args.check:
        return 0
    times, start = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - start < args.seconds:
        begin = time.perf_counter()
        f(), wait()
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


def report(op, shape, name, variants):
    times = {v: milliseconds(f) for v, f in variants.items()}
    best = min(times, key=times.get)
    print(json.dumps({"op": op, "shape": shape, "pass": name, "ms": times[best], "variant": best}), flush=True)


def draw(*shape, layout=torch.contiguous_format):
    x = torch.randn(shape, device=args.device, dtype=dtype)
    return x.to(memory_format=layout) if len(shape) == 4 else x


LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
CONVS = [(64, 64, 14, 32), (128, 128, 32, 16), (256, 256, 16, 32), (512, 256, 16, 16), (3, 128, 32, 16), (128, 3, 32, 16)]


def convolutions():
    for c, o, size, n in CONVS:
        operands = {
            k: (draw(n, c, size, size, layout=l), draw(o, c, 3, 3, layout=l), draw(o), draw(n, o, size, size, layout=l))
            for k, l in LAYOUTS.items()
        }
        backward = lambda x, w, g, mask: torch.ops.aten.convolution_backward(
            g, x, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask
        )
        passes = {
            "forward": lambda x, w, b, g: F.conv2d(x, w, b, padding=1),
            "input grad": lambda x, w, b, g: backward(x, w, g, [True, False, False]),
            "weight grad": lambda x, w, b, g: backward(x, w, g, [False, True, False]),
        }
        for name, f in passes.items():
            report("conv2d 3x3", f"{c}->{o} @{size}x{size} n{n}", name, {k: (lambda v=v: f(*v)) for k, v in operands.items()})


def passes(op, shape, f, inputs, double=True):
    """Eager and compiled, for each set of inputs: forward, vjp, and the vjp of the first input's vjp."""
    first, second, forward = {}, {}, {}
    for layout, tensors in inputs.items():
        g = torch.randn_like(f(*tensors))
        u = torch.randn_like(tensors[0])

        def vjp(g, *xs):
            return torch.func.vjp(f, *xs)[1](g)

        def vjp2(u, g, *xs):
            return torch.func.vjp(lambda g, *xs: vjp(g, *xs)[0], g, *xs)[1](u)

        forward[f"compiled, {layout}"] = lambda c=one_device.compiled(f, args), xs=tensors: c(*xs)
        forward[f"eager, {layout}"] = lambda xs=tensors: f(*xs)
        leaves = [x.clone().requires_grad_() for x in tensors]
        gl = g.clone().requires_grad_()
        y = f(*leaves)
        first[f"eager, {layout}"] = lambda y=y, l=leaves, g=g: torch.autograd.grad(y, l, g, retain_graph=True)
        if not double:
            continue
        dx = torch.autograd.grad(y, leaves[0], gl, create_graph=True)[0]
        every = leaves + [gl]
        second[f"eager, {layout}"] = lambda dx=dx, l=every, u=u: torch.autograd.grad(dx, l, u, retain_graph=True, allow_unused=True)
    report(op, shape, "forward", forward)
    report(op, shape, "vjp", first)
    if double:
        report(op, shape, "double", second)


def images(*rest):
    return {k: (draw(16, 128, 32, 32, layout=l), *[draw(*r) for r in rest]) for k, l in LAYOUTS.items()}


def group_norm_silu(x, w, b, scale, shift):
    h = F.group_norm(x, 32, w, b) * (1 + scale[:, :, None, None]) + shift[:, :, None, None]
    return F.silu(h)


def attention(q, k, v):
    return torch.softmax(q @ k.transpose(1, 2) / q.shape[2] ** 0.5, -1) @ v


def rows():
    convolutions()
    image = "(16,32,32,128)"
    passes("silu", image, F.silu, images())
    passes("group_norm", image, lambda x, w, b: F.group_norm(x, 32, w, b), images((128,), (128,)))
    passes("group_norm_silu", image, group_norm_silu, images((128,), (128,), (16, 128), (16, 128)))
    passes("avg_pool2d", image, lambda x: F.avg_pool2d(x, 2), images(), double=False)
    passes("upsample", image, lambda x: F.interpolate(x, scale_factor=2), images(), double=False)
    tokens = tuple(draw(16, 256, 128) for _ in range(3))
    passes("attention", "(16,256,128)", attention, {"rows": tokens})


if args.check:
    with one_device.OneDevice(args.device):
        rows()
else:
    rows()
