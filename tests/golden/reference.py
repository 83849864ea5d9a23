"""Networks, paths, losses and flows as golden-cases.md and mathematics.md define them, written plainly in PyTorch."""

import math

import numpy as np
import torch
import scipy.fft
import torch.nn.functional as F
from scipy.integrate import solve_ivp

from networks import IMAGE_NETWORK, from_table, image_shapes
from ops import softplus

ACTIVATION = {"silu": F.silu, "tanh": torch.tanh, "softplus": softplus, "gelu": F.gelu}


def time_embedding(t, width, time_scale):
    half = width // 2
    freqs = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=t.dtype) / half)
    angle = (time_scale * t)[:, None] * freqs
    return torch.cat([torch.cos(angle), torch.sin(angle)], dim=-1)


def mlp_potential(attrs, params, x, t, y=None):
    """phi (N) of x (N,D), t (N) and optional labels y (N), where y = classes is the row for "no class"."""
    h = x
    if attrs["time_embedding"] > 0:
        e = time_embedding(t, attrs["time_embedding"], attrs.get("time_scale", 1.0))
        if attrs["classes"] > 0:
            e = e + params["label_emb.weight"][y]
        h = torch.cat([x, e], dim=-1)
    layers = len(attrs["hidden"]) + 1
    for i in range(layers):
        h = F.linear(h, params[f"layers.{i}.weight"], params[f"layers.{i}.bias"])
        if i + 1 < layers:
            h = ACTIVATION[attrs["activation"]](h)
    return h[:, 0]


def mlp_shapes(attrs):
    widths = [attrs["in_features"] + attrs["time_embedding"], *attrs["hidden"], 1]
    shapes = {}
    for i, (fan_in, fan_out) in enumerate(zip(widths, widths[1:])):
        shapes |= {f"layers.{i}.weight": (fan_out, fan_in), f"layers.{i}.bias": (fan_out,)}
    if attrs["classes"] > 0:
        shapes["label_emb.weight"] = (attrs["classes"] + 1, attrs["time_embedding"])
    return shapes


NETWORK = {"mlp_potential": mlp_potential} | {op: from_table(f) for op, f in IMAGE_NETWORK.items()}
SHAPES = {"mlp_potential": mlp_shapes} | {op: lambda attrs, op=op: image_shapes(op, attrs) for op in IMAGE_NETWORK}


def path(attrs, t):
    """mu, sigma and their derivatives at t (mathematics.md, 1); the derivatives by autograd, so not by hand."""
    t = t.detach().requires_grad_()
    name = attrs["path"]
    if name in ("linear", "blurring"):  # blurring: of the frequency 0
        mu, sigma = t * 1, 1 - t
    elif name == "cosine":
        mu, sigma = torch.sin(0.5 * math.pi * t), torch.cos(0.5 * math.pi * t)
    else:  # tempered, alpha = 1 - t, beta = t
        omega, nu = attrs.get("omega", 1.0), attrs.get("nu", 0.1)
        alpha, beta = 1 - t, t
        mu = torch.sigmoid(torch.log(beta * omega**2 / (alpha * nu**2)))
        sigma = torch.rsqrt(alpha / omega**2 + beta / nu**2)
    (dmu,) = torch.autograd.grad(mu.sum(), t, retain_graph=True)
    (dsigma,) = torch.autograd.grad(sigma.sum(), t)
    return tuple(v.detach()[:, None] for v in (mu, sigma, dmu, dsigma))


def dct(x, inverse=False):
    """The orthonormal DCT-II over the last two dimensions."""
    for dim in (-1, -2):
        basis = torch.tensor(scipy.fft.dct(np.eye(x.shape[dim]), axis=0, norm="ortho"), dtype=x.dtype)
        x = torch.movedim(torch.movedim(x, dim, -1) @ (basis if inverse else basis.T), -1, dim)
    return x


def data_part(attrs, t, data, shape):
    """mu·data and its derivative in t (N,D): with blurring, of every frequency at its own mu (mathematics.md, 12)."""
    mu, _, dmu, _ = path(attrs, t)
    if attrs["path"] != "blurring":
        return mu * data, dmu * data
    n, _, height, width = shape
    i, j = torch.arange(height, dtype=t.dtype)[:, None], torch.arange(width, dtype=t.dtype)[None, :]
    rate = math.pi**2 * ((i / height) ** 2 + (j / width) ** 2)
    each = t.detach()[:, None, None].expand(n, height, width).clone().requires_grad_()
    factor = each * torch.exp(-rate * 0.5 * attrs["blur"] ** 2 * (1 - each) ** 2)
    (dfactor,) = torch.autograd.grad(factor.sum(), each)
    spectrum = dct(data.reshape(shape))
    return tuple(dct(f.detach()[:, None] * spectrum, inverse=True).flatten(1) for f in (factor, dfactor))


def vapo_loss(attrs, params, data, t, eps, y=None):
    """Every term of a training loss with its weight applied, and their total (mathematics.md, 3). Images are rows here,
    and have their shape only inside the network."""
    shape = data.shape
    data, eps = data.flatten(1), eps.flatten(1)
    _, sigma, dmu, dsigma = path(attrs, t)
    mu_data, dmu_data = data_part(attrs, t, data, shape)
    x = (mu_data + sigma * eps).requires_grad_()
    v = dmu_data + dsigma * eps
    time = t.detach().requires_grad_()
    labels = {} if y is None else {"y": y}
    phi = NETWORK[attrs["network"]](attrs["network_attrs"], params, x.reshape(shape), time, **labels)
    dphi_dx, dphi_dt = torch.autograd.grad(phi.sum(), [x, time], create_graph=True, materialize_grads=True)

    if attrs["loss"] == "published":
        terms = published_terms(t, dmu_data, eps, phi, dphi_dx, dphi_dt, v)
    elif attrs["loss"] == "covariance":
        factor, moved = (1, dmu_data) if attrs["path"] == "blurring" else (dmu, data)
        innovation = -2 * (dsigma / sigma * (eps**2 - 1) + factor / sigma * eps * moved).sum(-1)  # gamma - mean of gamma
        terms = {"covariance": (phi * innovation).mean(), "dirichlet": (dphi_dx**2).sum(-1).mean()}
    else:  # inner_product: mean |grad phi - v|^2 - mean |v|^2
        terms = {"inner_product": -2 * (dphi_dx * v).sum(-1).mean(), "dirichlet": (dphi_dx**2).sum(-1).mean()}
    return terms | {"total": sum(terms.values())}


def published_terms(t, dmu_data, eps, phi, dphi_dx, dphi_dt, v):
    gamma = (1 - t) * (eps**2 - dmu_data * eps).mean(-1)  # on the linear path dmu_data is the data
    gamma = (gamma - gamma.mean()).detach()
    norms = dphi_dx.norm(dim=-1) * v.norm(dim=-1) + 1e-8
    return {
        "correlation": (gamma * phi).mean() / (gamma.std() * phi.detach().std() + 1e-8),
        "cosine": (-dphi_dx * v / (norms**t)[:, None]).mean(),
        "dirichlet": 0.5 * (dphi_dx**2).mean(),
        "time": 0.1 * (dphi_dt**2).mean(),
    }


def vapo_training(attrs, params, data, t, eps):
    """Step s of attrs["steps"] on data[s], t[s], eps[s]: Adam on the loss's gradient g, each entry first clamped to
    ±(3·sqrt(v̂)+0.1) with the v̂ of before the step (the first step has none and clamps nothing), and a running average with the early ramp
    min(decay, (1+s)/(10+s)). Returns the losses, and every parameter and average at the end."""
    beta1, beta2 = 0.9, 0.999
    p = {k: w.detach().clone() for k, w in params.items()}
    average, losses = {k: w.clone() for k, w in p.items()}, []
    m, v = ({k: torch.zeros_like(w) for k, w in p.items()} for _ in range(2))
    for s in range(attrs["steps"]):
        leaves = {k: w.requires_grad_() for k, w in p.items()}
        total = vapo_loss(attrs, leaves, data[s], t[s], eps[s])["total"]
        grads = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
        decay = min(attrs["ema_decay"], (1 + s) / (10 + s))
        with torch.no_grad():
            for k, g in zip(leaves, grads):
                if s > 0:
                    bound = 3 * (v[k] / (1 - beta2**s)).sqrt() + 0.1
                    g = torch.minimum(torch.maximum(g, -bound), bound)
                m[k], v[k] = beta1 * m[k] + (1 - beta1) * g, beta2 * v[k] + (1 - beta2) * g * g
                step = m[k] / (1 - beta1 ** (s + 1)) / ((v[k] / (1 - beta2 ** (s + 1))).sqrt() + attrs["eps"])
                p[k] = p[k].detach() - attrs["learning_rate"] * step
                average[k] = decay * average[k] + (1 - decay) * p[k]
        losses.append(total.detach())
    ends = {f"param.{k}": w for k, w in p.items()} | {f"ema.{k}": w for k, w in average.items()}
    return {"loss": torch.stack(losses)} | ends


def solve(field, x0, attrs):
    """dx/dt = field(t, x) on the flattened batch; x at t1 and the number of field evaluations."""
    t0, t1, steps = attrs["t0"], attrs["t1"], attrs["steps"]
    if attrs["method"] in ("rk23", "rk45"):
        done = solve_ivp(field, (t0, t1), x0, attrs["method"].upper(), rtol=attrs["rtol"], atol=attrs["atol"])
        assert done.success, done.message
        return done.y[:, -1], done.nfev
    x, h = x0, (t1 - t0) / steps
    for n in range(steps):
        k = field(t0 + n * h, x)
        if attrs["method"] == "heun":
            k = 0.5 * (k + field(t0 + (n + 1) * h, x + h * k))
        x = x + h * k
    return x, steps * (2 if attrs["method"] == "heun" else 1)


def ode_solve(attrs, params, x0):
    shape = tuple(x0.shape)

    def field(t, flat):
        x = torch.tensor(flat.reshape(shape)).requires_grad_()
        phi = NETWORK[attrs["network"]](attrs["network_attrs"], params, x, torch.full(shape[:1], float(t), dtype=x.dtype))
        return torch.autograd.grad(phi.sum(), x)[0].numpy().ravel()

    y, nfe = solve(field, x0.detach().numpy().ravel(), attrs)
    return {"y": torch.tensor(y.reshape(shape)), "nfe": torch.tensor(float(nfe), dtype=torch.float64)}


def gaussian_flow(path_name, m, s):
    """The marginal velocity for data N(m, s^2 I) (mathematics.md, 4), on the flattened batch."""

    def field(t, flat):
        x = flat.reshape(-1, len(m))
        if path_name == "linear":
            mu, sigma, dmu, dsigma = t, 1 - t, 1.0, -1.0
        else:
            a = 0.5 * np.pi
            mu, sigma, dmu, dsigma = np.sin(a * t), np.cos(a * t), a * np.cos(a * t), -a * np.sin(a * t)
        c = (mu * dmu * s**2 + sigma * dsigma) / (mu**2 * s**2 + sigma**2)
        return (dmu * m + c * (x - mu * m)).ravel()

    return field
