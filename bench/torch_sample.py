"""Images from a checkpoint of vapo by RK45 in PyTorch: the U-Net of tests/golden/networks.py with the checkpoint's averaged
weights, Dormand and Prince's pair with SciPy's rules (error norm over the whole batch), as `vapo sample --method rk45`."""

import argparse
import json
import math
import pathlib
import sys
import time
import tomllib

import torch
from safetensors import safe_open

import one_device

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/golden"))
import networks  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model", help="checkpoint-STEP.safetensors of a raw U-Net")
parser.add_argument("-n", "--number", type=int, default=1000)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--tolerance", type=float, default=1e-3)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--mode", choices=["eager", "compiled"], default="eager")
parser.add_argument("--channels-last", action="store_true")
one_device.add_options(parser)

A = [[1 / 5], [3 / 40, 9 / 40], [44 / 45, -56 / 15, 32 / 9], [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
     [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656], [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84]]  # fmt: skip
C = [1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1]
E = [-71 / 57600, 0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40]


class Model:
    def __init__(self, args):
        with safe_open(args.model, framework="pt") as file:
            config = tomllib.loads(file.metadata()["config"])
            prefix = "ema." if any(k.startswith("ema.") for k in file.keys()) else "param."
            self.params = {k.removeprefix(prefix): file.get_tensor(k).to(args.device) for k in file.keys() if k.startswith(prefix)}
        if config["model"]["kind"] != "unet" or config["model"]["potential"] != "raw":
            sys.exit("torch_sample.py: only of a raw U-Net")
        self.attrs, self.args = config["unet"], args
        self.layout = torch.channels_last if args.channels_last else torch.contiguous_format
        self.params = {k: w.to(memory_format=self.layout) if w.dim() == 4 else w for k, w in self.params.items()}
        channels = self.params["input_blocks.0.0.weight"].shape[1]
        size = {"mnist": 28, "fashion_mnist": 28}.get(config["data"]["set"], 32)
        self.shape, self.times = (channels, size, size), config["sample"]
        potential = lambda x, t: networks.unet_potential(self.attrs, lambda name, *_: self.params[name], x, t * self.attrs["time_scale"], self.none(x)).sum()
        self.field = one_device.compiled(torch.func.grad(potential), args) if args.mode == "compiled" else self.eager(potential)
        self.nfe = 0

    def none(self, x):  # the label of no class
        return torch.full((x.shape[0],), self.attrs["classes"], device=x.device) if self.attrs["classes"] else None

    def eager(self, potential):
        def field(x, t):
            x = x.detach().requires_grad_()
            return torch.autograd.grad(potential(x, t), x)[0]

        return field

    def __call__(self, x, t):
        self.nfe += 1
        return self.field(x, torch.full((x.shape[0],), min(t, 1.0), device=x.device)).detach()

    def noise(self, n, seed):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(n, *self.shape, generator=generator).to(self.args.device, memory_format=self.layout)

    def sample(self, n, seed):
        x = self.noise(n, seed)
        t, end, tolerance = self.times["t_start"], self.times["t_end"], self.args.tolerance
        rms = lambda d, scale: (d / scale).square().mean().sqrt().item()
        k = [self(x, t)]
        scale = tolerance * (1 + x.abs())
        d0, d1 = rms(x, scale), rms(k[0], scale)
        h0 = 1e-6 if min(d0, d1) < 1e-5 else 0.01 * d0 / d1
        d2 = rms(self(x + h0 * k[0], t + h0) - k[0], scale) / h0
        h = min(100 * h0, max(1e-6, h0 * 1e-3) if max(d1, d2) <= 1e-15 else (0.01 / max(d1, d2)) ** 0.2)
        while t < end:
            h, rejected = min(h, end - t), False
            while True:
                ks = [k[0]]
                for row, c in zip(A, C):
                    y = x + h * sum(a * s for a, s in zip(row, ks) if a)
                    ks.append(self(y, t + c * h))
                error = rms(h * sum(e * s for e, s in zip(E, ks) if e), tolerance * (1 + torch.maximum(x.abs(), y.abs())))
                if error < 1:
                    factor = 10 if error == 0 else min(10, 0.9 * error**-0.2)
                    x, t, k = y, t + h, [ks[-1]]
                    h *= min(1, factor) if rejected else factor
                    break
                h *= max(0.2, 0.9 * error**-0.2)
                rejected = True
        return x


if __name__ == "__main__":
    args = parser.parse_args()
    one_device.prepare(args)
    model = Model(args)
    if args.check:
        one_device.check(args.device, lambda: lambda: model(model.noise(2, 0), 0.5).sum().item())
        sys.exit()
    model.sample(min(args.batch, args.number), 10**6)  # compiles, warms up
    if rest := args.number % args.batch:
        model.sample(rest, 10**6)
    model.nfe, worst, begin = 0, 0, time.perf_counter()
    for i in range(math.ceil(args.number / args.batch)):
        before = model.nfe
        x = model.sample(min(args.batch, args.number - i * args.batch), i)
        worst = max(worst, model.nfe - before)
    seconds = time.perf_counter() - begin
    print(json.dumps({"n": args.number, "nfe": worst, "evaluations": model.nfe, "seconds": seconds, "images_per_second": args.number / seconds}))
