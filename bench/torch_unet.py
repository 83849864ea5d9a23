"""One training step of the published loss, or one ∇Φ, with the U-Net of `vapo bench step --network unet` (base width 64,
multipliers 1, 2, 2, two blocks a level, attention at 16×16, 32×32 images), or with the published one (55.7 million
parameters), in PyTorch: eager or compiled over torch.func.grad, launched or, on a GPU, recorded once as a CUDA graph,
channels first or last, f32 or bf16 autocast. The network is that of tests/golden/networks.py."""

import argparse
import pathlib
import sys

import torch

import one_device

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/golden"))
import networks  # noqa: E402

UNET = {"image_size": 32, "in_channels": 3, "base_width": 64, "multipliers": [1, 2, 2], "blocks_per_level": 2,
        "attention_downsamplings": [2], "heads": 1, "head_width": -1, "conv_resample": False, "resblock_updown": False,
        "new_attention_order": False, "scale_shift": True, "groups": 32, "classes": 0, "time": True}  # fmt: skip
PUBLISHED = UNET | {"base_width": 128, "multipliers": [2, 2, 2], "blocks_per_level": 4}
WIDE_RESNET = {"image_size": 32, "in_channels": 3, "base_width": 16, "depth": 16, "widen": 4, "norm": "none", "groups": 16,
               "activation": "silu", "head": "linear", "time": False, "classes": 0}  # fmt: skip
NETWORK = {"unet": ("unet_potential", UNET), "published": ("unet_potential", PUBLISHED), "wide_resnet": ("wide_resnet_potential", WIDE_RESNET)}

parser = argparse.ArgumentParser()
parser.add_argument("--network", choices=list(NETWORK), default="unet")
parser.add_argument("--sampling", action="store_true", help="∇Φ alone")
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seconds", type=float, default=10)
parser.add_argument("--serve", action="store_true")
one_device.add_options(parser)
parser.add_argument("--mode", choices=["eager", "compiled"], default="eager")
parser.add_argument("--recorded", action="store_true", help="the step as a CUDA graph")
parser.add_argument("--channels-last", action="store_true")
parser.add_argument("--bf16", action="store_true", help="bf16 autocast")


def published_loss(phi, dphi, dphi_dt, t, data, eps):
    v = (data - eps).flatten(1)
    dphi = dphi.flatten(1)
    gamma = (1 - t) * (eps**2 - data * eps).flatten(1).mean(-1)
    gamma = gamma - gamma.mean()
    norms = dphi.norm(dim=-1) * v.norm(dim=-1) + 1e-8
    loss = (gamma * phi).mean() / (gamma.std() * phi.detach().std() + 1e-8)
    loss = loss + (-dphi * v / (norms**t)[:, None]).mean() + 0.5 * (dphi**2).mean()
    return loss if dphi_dt is None else loss + 0.1 * (dphi_dt**2).mean()


class Step:
    def __init__(self, args):
        self.args, (self.op, self.attrs) = args, NETWORK[args.network]
        generator = torch.Generator().manual_seed(1)
        layout = torch.channels_last if args.channels_last else torch.contiguous_format
        shape = (args.batch, 3, 32, 32)
        draw = lambda *s: torch.randn(s, generator=generator)
        self.data, self.eps = (draw(*shape).to(args.device, memory_format=layout) for _ in range(2))
        self.t = torch.rand(args.batch, generator=generator).to(args.device)
        self.params = {}
        for name, s in networks.image_shapes(self.op, self.attrs).items():
            w = draw(*s) / max(1, torch.Size(s[1:]).numel()) ** 0.5 if len(s) > 1 else torch.ones(s) * ("norm" in name)
            self.params[name] = w.to(args.device, memory_format=layout) if len(s) == 4 else w.to(args.device)
        if not args.sampling:
            self.params = {k: torch.nn.Parameter(w) for k, w in self.params.items()}
            self.optimizer = one_device.adam(self.params.values(), 1e-4, args.device, capturable=args.recorded and not args.check)
            self.ema = [w.detach().clone() for w in self.params.values()]
        self.autonomous = not self.attrs["time"]
        if args.mode == "compiled":
            self.gradients = one_device.compiled(self.functional_sampling if args.sampling else self.functional_gradients, args)
        else:
            self.gradients = self.eager_sampling if args.sampling else self.eager_gradients
        self.run = one_device.recorded(self.compute, args) if args.recorded else self.compute

    def potential(self, p, x, t):
        with one_device.autocast(self.args):
            return networks.IMAGE_NETWORK[self.op](self.attrs, lambda name, *s: p[name], x, t).float()

    def batch(self):
        t = self.t[:, None, None, None]
        return t * self.data + (1 - t) * self.eps

    def functional_gradients(self, p, x, t):
        def total(p, x, t):
            phi_of = lambda x, t: (lambda phi: (phi.sum(), phi))(self.potential(p, x, t))
            (dphi, dphi_dt), phi = torch.func.grad(phi_of, (0, 1), has_aux=True)(x, t)
            return published_loss(phi, dphi, None if self.autonomous else dphi_dt, t, self.data, self.eps)

        return torch.func.grad_and_value(total)(p, x, t)

    def functional_sampling(self, p, x, t):
        return torch.func.grad(lambda x: self.potential(p, x, t).sum())(x)

    def eager_gradients(self, p, x, t):
        x, t = x.detach().requires_grad_(), t.detach().requires_grad_()
        phi = self.potential(p, x, t)
        wanted = [x] if self.autonomous else [x, t]
        derivatives = torch.autograd.grad(phi.sum(), wanted, create_graph=True)
        loss = published_loss(phi, derivatives[0], None if self.autonomous else derivatives[1], t, self.data, self.eps)
        return dict(zip(p, torch.autograd.grad(loss, list(p.values()), materialize_grads=True))), loss

    def eager_sampling(self, p, x, t):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(self.potential(p, x, t).sum(), x)[0]

    def compute(self):
        if self.args.sampling:
            return self.gradients(self.params, self.data, self.t).flatten()[0]
        grads, loss = self.gradients(self.params, self.batch(), self.t)
        for k, w in self.params.items():
            state = self.optimizer.state.get(w)
            if state:
                bound = 3 * (state["exp_avg_sq"] / (1 - 0.999 ** state["step"])).sqrt() + 0.1
                grads[k] = torch.clamp(grads[k], -bound, bound)
        one_device.set_gradients(self.params.values(), (grads[k] for k in self.params))
        self.optimizer.step()
        torch._foreach_lerp_(self.ema, [w.detach() for w in self.params.values()], 1e-4)
        return loss

    def __call__(self):
        return self.run().item()


if __name__ == "__main__":
    arguments = parser.parse_args()
    one_device.main(arguments, lambda: Step(arguments))
