"""The VAPO step of a residual block (apps/bench/bench_networks.cpp) in PyTorch: eager or compiled over torch.func.grad,
channels first or last, f32 or bf16 autocast."""

import argparse

import torch
import torch.nn.functional as F

import one_device

parser = argparse.ArgumentParser()
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--channels", type=int, default=128)
parser.add_argument("--size", type=int, default=32)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seconds", type=float, default=3)
parser.add_argument("--serve", action="store_true")
one_device.add_options(parser)
parser.add_argument("--mode", choices=["eager", "compiled"], default="eager")
parser.add_argument("--channels-last", action="store_true")
parser.add_argument("--bf16", action="store_true", help="bf16 autocast")
EMBEDDING = 512


def init(c, device):
    generator = torch.Generator().manual_seed(1)
    uniform = lambda fan_in, *shape: (torch.rand(shape, generator=generator) * 2 - 1) / fan_in**0.5
    shapes = {
        "n1w": torch.ones(c), "n1b": torch.zeros(c), "c1w": uniform(9 * c, c, c, 3, 3), "c1b": uniform(9 * c, c),
        "lw": uniform(EMBEDDING, 2 * c, EMBEDDING), "lb": uniform(EMBEDDING, 2 * c),
        "n2w": torch.ones(c), "n2b": torch.zeros(c), "c2w": uniform(9 * c, c, c, 3, 3), "c2b": uniform(9 * c, c),
    }  # fmt: skip
    return {k: v.to(device) for k, v in shapes.items()}


def block(p, x, e):
    scale, shift = F.linear(F.silu(e), p["lw"], p["lb"])[:, :, None, None].chunk(2, 1)
    h = F.conv2d(F.silu(F.group_norm(x, 32, p["n1w"], p["n1b"])), p["c1w"], p["c1b"], padding=1)
    h = F.group_norm(h, 32, p["n2w"], p["n2b"]) * (1 + scale) + shift
    return x + F.conv2d(F.silu(h), p["c2w"], p["c2b"], padding=1)


def potential(p, x, e):
    return 0.5 * (x - block(p, x, e)).float().square().sum()


class Step:
    def __init__(self, args):
        self.args = args
        generator = torch.Generator().manual_seed(4)
        shape = (args.batch, args.channels, args.size, args.size)
        layout = torch.channels_last if args.channels_last else torch.contiguous_format
        images = [torch.randn(shape, generator=generator).to(args.device, memory_format=layout) for _ in range(2)]
        self.x, self.v = images
        self.e = torch.randn((args.batch, EMBEDDING), generator=generator).to(args.device)
        self.params = init(args.channels, args.device)
        for k in ("c1w", "c2w"):
            self.params[k] = self.params[k].to(memory_format=layout)
        if args.mode == "compiled":
            self.gradients = one_device.compiled(torch.func.grad_and_value(self.loss_functional), args)
        else:
            self.params = {k: w.requires_grad_() for k, w in self.params.items()}

    def loss_functional(self, p, x, e, v):
        with one_device.autocast(self.args):
            dphi = torch.func.grad(potential, 1)(p, x, e)
        return (dphi - v).square().mean()

    def eager(self):
        x = self.x.detach().requires_grad_()
        with one_device.autocast(self.args):
            phi = potential(self.params, x, self.e)
        dphi = torch.autograd.grad(phi, x, create_graph=True)[0]
        loss = (dphi - self.v).square().mean()
        torch.autograd.grad(loss, list(self.params.values()))
        return loss

    def __call__(self):
        if self.args.mode == "eager":
            return self.eager().item()
        return self.gradients(self.params, self.x, self.e, self.v)[1].item()


if __name__ == "__main__":
    arguments = parser.parse_args()
    one_device.main(arguments, lambda: Step(arguments))
