"""Cases of whole models: networks, training losses and flows. Parameters are random everywhere, never at a zero init."""

import numpy as np
import torch

import reference
from case import Case, rng

MLP = {"in_features": 2, "hidden": [16, 16, 16], "activation": "silu", "time_embedding": 8, "classes": 0, "time_scale": 1.0}
SMALL = MLP | {"hidden": [6, 5]}


def tensor(array):
    return torch.tensor(array)


def draw_parameters(draw, attrs, gain=1.5, op="mlp_potential"):
    """Weights of standard deviation gain/sqrt(fan in), biases and embeddings of order one half."""
    params = {}
    for name, shape in reference.SHAPES[op](attrs).items():
        fan_in = np.prod(shape[1:]) if len(shape) > 1 and not name.startswith("label_emb") else 0
        scale = gain / np.sqrt(fan_in) if fan_in else 0.5
        params[f"param.{name}"] = tensor(draw.standard_normal(shape) * scale)
    return params


LOSS_OR_FLOW = {"vapo_loss": reference.vapo_loss, "vapo_training": reference.vapo_training, "ode_solve": reference.ode_solve}


def forward(op, attrs, inputs):
    params = {k.removeprefix("param."): v for k, v in inputs.items() if k.startswith("param.")}
    named = {k.removeprefix("in."): v for k, v in inputs.items() if k.startswith("in.")}
    if op in reference.NETWORK:
        return {"out.phi": reference.NETWORK[op](attrs, params, **named)}
    outputs = LOSS_OR_FLOW[op](attrs, params, **named)
    return {f"out.{k}": v for k, v in outputs.items()}


def potential_cases():
    def one(variant, attrs, batch=4, y=None, second_order_parameters=False, **options):
        draw = rng(f"mlp_potential__{variant}")
        inputs = {"in.x": tensor(draw.standard_normal((batch, attrs["in_features"]))), "in.t": tensor(draw.uniform(0, 1, batch))}
        if y is not None:
            inputs["in.y"] = tensor(np.array(y, dtype=np.int64))
        inputs |= draw_parameters(draw, attrs)
        ggcot = None if second_order_parameters else ["in.x", "in.t"]
        options = {"rtol": 1e-9} | options
        return Case("mlp_potential", variant, attrs, inputs, ggcot=ggcot, **options)

    yield one("silu", MLP)
    for activation in ("tanh", "softplus", "gelu"):
        yield one(activation, SMALL | {"activation": activation})
    yield one("autonomous", SMALL | {"time_embedding": 0})  # t is read by nobody: its gradients are zeros
    yield one("classes", SMALL | {"classes": 3}, batch=5, y=[0, 3, 2, 3, 0])  # 3 is "no class", row 1 is unused
    yield one("time_scale", SMALL | {"time_scale": 1000.0})
    yield one("one_hidden_five_features", SMALL | {"in_features": 5, "hidden": [7], "time_embedding": 2})
    yield one("batch_one", SMALL, batch=1)
    yield one("second_order_parameters", SMALL | {"hidden": [5, 4], "time_embedding": 4}, second_order_parameters=True)
    yield one("second_order_parameters_classes", SMALL | {"hidden": [5], "time_embedding": 4, "classes": 2}, y=[2, 0, 2, 1],
              second_order_parameters=True)  # fmt: skip
    yield one("f32", SMALL | {"classes": 2}, y=[1, 2, 0, 1], dtype=torch.float32, rtol=2e-5)


def loss_cases():
    def one(variant, attrs, batch=6, low=0.05, high=0.95, network_attrs=SMALL, **options):
        draw = rng(f"vapo_loss__{variant}")
        shape = (batch, network_attrs["in_features"])
        inputs = {"in.data": tensor(draw.standard_normal(shape)), "in.t": tensor(draw.uniform(low, high, batch)),
                  "in.eps": tensor(draw.standard_normal(shape))}  # fmt: skip
        params = draw_parameters(draw, network_attrs)
        attrs = attrs | {"network": "mlp_potential", "network_attrs": network_attrs}
        options = {"rtol": 1e-9} | options
        return Case("vapo_loss", variant, attrs, inputs | params, wrt=list(params), scalar="out.total", **options)

    single = {"dtype": torch.float32, "rtol": 2e-5}
    published = {"path": "linear", "loss": "published"}
    yield one("published", published, low=1e-5, high=1.0, network_attrs=MLP)
    yield one("published_five_features", published, batch=7, low=1e-5, high=1.0, network_attrs=SMALL | {"in_features": 5})
    yield one("published_autonomous", published, low=1e-5, high=1.0, network_attrs=SMALL | {"time_embedding": 0})
    yield one("published_f32", published, **single)
    for loss in ("covariance", "inner_product"):
        for path in ("linear", "cosine", "tempered"):
            yield one(f"{loss}_{path}", {"path": path, "loss": loss})
        yield one(f"{loss}_tempered_given", {"path": "tempered", "loss": loss, "omega": 1.3, "nu": 0.4})
        yield one(f"{loss}_f32", {"path": "cosine", "loss": loss}, **single)


UNET = {"image_size": 8, "in_channels": 2, "base_width": 8, "multipliers": [1, 2], "blocks_per_level": 1,
        "attention_downsamplings": [2], "heads": 1, "head_width": -1, "conv_resample": False, "resblock_updown": False,
        "new_attention_order": False, "scale_shift": True, "groups": 4, "classes": 0, "dropout": 0.0, "time": True}  # fmt: skip
TINY_UNET = UNET | {"image_size": 4, "in_channels": 1, "base_width": 4, "multipliers": [1, 1], "groups": 2}
WIDE_RESNET = {"image_size": 8, "in_channels": 2, "depth": 10, "widen": 1, "base_width": 4, "norm": "group", "groups": 2, "activation": "silu",
               "head": "linear", "time": False, "classes": 0, "dropout": 0.0}  # fmt: skip
UNETS = {
    "published": UNET | {"multipliers": [1, 1]},
    "conv_resample": TINY_UNET | {"conv_resample": True, "scale_shift": False},
    "resblock_updown": TINY_UNET | {"resblock_updown": True},
    "two_heads_new_order": TINY_UNET | {"heads": 2, "new_attention_order": True, "multipliers": [1, 2]},
    "two_heads_old_order": TINY_UNET | {"head_width": 2, "attention_downsamplings": [1, 2]},
    "classes": TINY_UNET | {"classes": 3},
    "autonomous": TINY_UNET | {"time": False},
    "inner_product_head": TINY_UNET | {"in_channels": 2, "head": "inner_product", "output_scale": 1.5},
    "linear_head": TINY_UNET | {"in_channels": 2, "head": "linear", "output_scale": 0.5},
}
WIDE_RESNETS = {
    "published": WIDE_RESNET | {"norm": "none"},
    "group_norm_time_residual": WIDE_RESNET | {"head": "residual", "time": True, "image_size": 4, "classes": 2},
    "inner_product_head": WIDE_RESNET | {"head": "inner_product", "image_size": 4, "output_scale": 2.0},
    "scaled_linear_head": WIDE_RESNET | {"norm": "none", "image_size": 4, "output_scale": 0.25},
}


def image_cases():
    def images(draw, attrs, *batch):
        return tensor(draw.standard_normal((*batch, attrs["in_channels"], attrs["image_size"], attrs["image_size"])))

    def potential(op, variant, attrs, y=None, **options):
        draw = rng(f"{op}__{variant}")
        inputs = {"in.x": images(draw, attrs, 2), "in.t": tensor(draw.uniform(0, 1, 2))}
        if y is not None:
            inputs["in.y"] = tensor(np.array(y, dtype=np.int64))
        inputs |= draw_parameters(draw, attrs, 1.0, op)
        return Case(op, variant, attrs, inputs, ggcot=["in.x", "in.t"], **({"rtol": 1e-9} | options))

    def loss(variant, op, attrs, given={}, **options):
        draw = rng(f"vapo_loss__{variant}")
        inputs = {"in.data": images(draw, attrs, 3), "in.t": tensor(draw.uniform(1e-5, 1, 3)), "in.eps": images(draw, attrs, 3)}
        params = draw_parameters(draw, attrs, 1.0, op)
        named = {"path": "linear", "loss": "published", "network": op, "network_attrs": attrs} | given
        return Case("vapo_loss", variant, named, inputs | params, wrt=list(params), scalar="out.total", **({"rtol": 1e-9} | options))

    def training(variant, op, attrs, steps=10, **options):
        draw = rng(f"vapo_training__{variant}")
        inputs = {"in.data": images(draw, attrs, steps, 3), "in.t": tensor(draw.uniform(1e-5, 1, (steps, 3))),
                  "in.eps": images(draw, attrs, steps, 3)}  # fmt: skip
        named = {"path": "linear", "loss": "published", "network": op, "network_attrs": attrs, "steps": steps,
                 "learning_rate": 1e-3, "eps": 1e-8, "ema_decay": 0.9999}  # fmt: skip
        return Case("vapo_training", variant, named, inputs | draw_parameters(draw, attrs, 1.0, op), wrt=[], **({"rtol": 1e-9} | options))

    single = {"dtype": torch.float32, "rtol": 2e-5, "atol": 2e-5}
    labels = {"unet_potential": {"classes": [1, 3]}, "wide_resnet_potential": {"group_norm_time_residual": [2, 0]}}
    for op, table in (("unet_potential", UNETS), ("wide_resnet_potential", WIDE_RESNETS)):
        for variant, attrs in table.items():
            y = labels[op].get(variant)
            yield potential(op, variant, attrs, y)
            if y is not None or variant == "published":
                yield potential(op, f"{variant}_f32", attrs, y, **single)
    for kind in ("inner_product", "covariance", "published"):
        given = {"path": "blurring", "blur": 1.5, "loss": kind}
        yield loss(f"blurring_{kind}_unet", "unet_potential", TINY_UNET | {"in_channels": 2}, given)
    for variant in ("inner_product_head", "linear_head"):
        yield loss(f"published_unet_{variant}", "unet_potential", UNETS[variant])
    for network, op, attrs in (("unet", "unet_potential", TINY_UNET), ("wide_resnet", "wide_resnet_potential", WIDE_RESNETS["published"])):
        yield loss(f"published_{network}", op, attrs)
        yield loss(f"published_{network}_f32", op, attrs, **single)
        yield training(f"published_{network}", op, attrs, atol=1e-9)  # a gradient of rounding alone moves a bias by 1e-10


def flow_cases():
    def one(variant, method, network_attrs=SMALL, batch=3, gain=1.5, span=(0.0, 1.0), steps=0, tolerances=(1e-3, 1e-3), **options):
        draw = rng(f"ode_solve__{variant}")
        attrs = {"method": method, "rtol": tolerances[0], "atol": tolerances[1], "t0": span[0], "t1": span[1], "steps": steps,
                 "network": "mlp_potential", "network_attrs": network_attrs}  # fmt: skip
        inputs = {"in.x0": tensor(draw.standard_normal((batch, network_attrs["in_features"])))}
        inputs |= draw_parameters(draw, network_attrs, gain)
        return Case("ode_solve", variant, attrs, inputs, wrt=[], **({"rtol": 1e-8, "atol": 1e-10} | options))

    autonomous = SMALL | {"time_embedding": 0}
    yield one("euler", "euler", steps=7)
    yield one("heun", "heun", steps=5)
    yield one("heun_autonomous_backward", "heun", autonomous, steps=4, span=(1.0, 0.0))
    yield one("euler_f32", "euler", steps=6, dtype=torch.float32, rtol=2e-5, atol=1e-6)
    yield one("heun_f32", "heun", steps=4, dtype=torch.float32, rtol=2e-5, atol=1e-6)
    for method in ("rk23", "rk45"):
        yield one(method, method, span=(1e-5, 1.0))
        yield one(f"{method}_tight", method, tolerances=(1e-6, 1e-8))
        yield one(f"{method}_backward", method, span=(1.0, 1e-5), tolerances=(1e-4, 1e-6))
        yield one(f"{method}_rejected_steps", method, SMALL | {"time_scale": 30.0}, gain=4.0, tolerances=(1e-4, 1e-5))
        yield one(f"{method}_autonomous_long", method, autonomous, batch=1, gain=3.0, span=(0.0, 5.0), tolerances=(1e-3, 1e-6))


def gaussian_flow_table():
    """What scipy's solve_ivp does on the closed-form flow of Gaussian data, for the analytic test of the solvers."""
    m, s, x0 = np.array([0.5, -0.3]), 0.7, np.array([[0.8, -1.1], [-0.4, 0.25], [1.9, 0.6]])
    runs = []
    for path in ("cosine", "linear"):
        for method in ("RK45", "RK23"):
            for rtol, atol in ((1e-3, 1e-3), (1e-3, 1e-6), (1e-6, 1e-8), (1e-9, 1e-10)):
                attrs = {"method": method.lower(), "rtol": rtol, "atol": atol, "t0": 0.0, "t1": 1.0, "steps": 0}
                y, nfe = reference.solve(reference.gaussian_flow(path, m, s), x0.ravel(), attrs)
                runs.append({"path": path, "method": method, "rtol": rtol, "atol": atol, "nfe": nfe, "y": y.reshape(x0.shape).tolist()})
    exact = (m + s * x0).tolist()  # the flow carries N(0, I) to N(m, s^2 I): x -> m + s x on both paths
    return {"m": m.tolist(), "s": s, "t0": 0.0, "t1": 1.0, "x0": x0.tolist(), "exact": exact, "runs": runs}


FAMILIES = [potential_cases, loss_cases, image_cases, flow_cases]
