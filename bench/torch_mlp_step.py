"""The training step of `vapo bench step` in PyTorch: eager, with compiled gradients, or with the whole step compiled."""

import torch

import one_device
import serve

parser = one_device.add_options(serve.parser())
parser.add_argument("--mode", choices=["eager", "compiled_gradients", "compiled_step"], default="eager")


def init(generator):
    params = []
    for fan_in, fan_out in zip(serve.SIZES, serve.SIZES[1:]):
        for shape in ((fan_out, fan_in), (fan_out,)):
            params.append((torch.rand(shape, generator=generator) * 2 - 1) / fan_in**0.5)
    return params


def potential(params, x, t):
    angle = t[:, None] * torch.tensor(serve.FREQUENCIES, device=t.device)
    h = torch.cat([x, angle.cos(), angle.sin()], 1)
    for w, b in zip(params[0:-2:2], params[1:-2:2]):
        h = torch.nn.functional.silu(torch.nn.functional.linear(h, w, b))
    return torch.nn.functional.linear(h, params[-2], params[-1])[:, 0]


def loss_of_gradient(dphi, v):
    return (dphi * (dphi - 2 * v)).sum() / v.shape[0]


def particles(data, t, eps):
    s = t[:, None]
    return s * data + (1 - s) * eps, data - eps


def gradients_eager(params, data, t, eps):
    x, v = particles(data, t, eps)
    x.requires_grad_()
    dphi = torch.autograd.grad(potential(params, x, t).sum(), x, create_graph=True)[0]
    loss = loss_of_gradient(dphi, v)
    return loss.detach(), torch.autograd.grad(loss, params[:-1])  # the last bias does not change the gradient


def functional_loss(params, data, t, eps):
    x, v = particles(data, t, eps)
    dphi = torch.func.grad(lambda z: potential(params, z, t).sum())(x)
    return loss_of_gradient(dphi, v)


def gradients_functional(params, data, t, eps):
    grads, loss = torch.func.grad_and_value(functional_loss)(params, data, t, eps)
    return loss, grads[:-1]


def clipped(grads):
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(grads))))
    return torch._foreach_mul(list(grads), torch.clamp(serve.CLIP / (norm + 1e-6), max=1))


class Training:
    def __init__(self, args):
        generator = torch.Generator().manual_seed(1)
        self.batch, self.mode, self.device, mode = args.batch, args.mode, args.device, args.mode
        self.points = torch.randn((serve.POINTS, serve.IN), generator=generator).to(self.device)
        self.params = [p.to(self.device).requires_grad_(mode == "eager") for p in init(generator)]
        self.ema = [p.detach().clone() for p in self.params]
        if mode == "compiled_step":
            self.moments = [[torch.zeros_like(p) for p in self.params[:-1]] for _ in range(2)]
            self.count = torch.zeros((), device=self.device)
            self.update = one_device.compiled(self.whole_step, args)
        else:
            self.adam = one_device.adam(self.params[:-1], serve.LEARNING_RATE, self.device)
            gradients = gradients_eager if mode == "eager" else gradients_functional
            both = lambda *args: (lambda loss, grads: (loss, clipped(grads)))(*gradients(*args))
            self.gradients = both if mode == "eager" else one_device.compiled(both, args)

    def whole_step(self, data, t, eps):
        loss, grads = gradients_functional(self.params, data, t, eps)
        m, v = self.moments
        self.count += 1
        for p, g, m_i, v_i, e in zip(self.params, clipped(grads), m, v, self.ema):
            m_i.lerp_(g, 1 - serve.BETA1)
            v_i.lerp_(g * g, 1 - serve.BETA2)
            step = serve.LEARNING_RATE / (1 - serve.BETA1**self.count)
            p.sub_(step * m_i / ((v_i / (1 - serve.BETA2**self.count)).sqrt() + serve.EPS))
            e.lerp_(p, 1 - serve.EMA)
        return loss

    def __call__(self):
        on = {"device": self.device}
        index = torch.randint(serve.POINTS, (self.batch,), **on)
        batch = self.points[index], torch.rand(self.batch, **on), torch.randn((self.batch, serve.IN), **on)
        if self.mode == "compiled_step":
            with torch.no_grad():
                return self.update(*batch).item()
        loss, grads = self.gradients(self.params, *batch)
        one_device.set_gradients(self.params, grads)
        self.adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.ema, [p.detach() for p in self.params], 1 - serve.EMA)
        return loss.item()


if __name__ == "__main__":
    arguments = parser.parse_args()
    one_device.main(arguments, lambda: Training(arguments))
