"""Image networks as golden-cases.md and mathematics.md define them, written plainly in PyTorch.

A network is one function of (attrs, p, x, t, y), x (N,C,H,W): p(name, *shape) gives the parameter of that name, so the same
function that computes Φ lists the parameters.
"""

import torch
import torch.nn.functional as F


def sinusoids(t, width):
    half = width // 2
    freqs = torch.exp(-torch.log(torch.tensor(10000.0, dtype=t.dtype)) * torch.arange(half, dtype=t.dtype, device=t.device) / half)
    angle = t[:, None] * freqs
    return torch.cat([torch.cos(angle), torch.sin(angle)], dim=-1)


def conv(p, name, x, out, kernel=3, **options):
    weight = p(f"{name}.weight", out, x.shape[1], kernel, kernel)
    return F.conv2d(x, weight, p(f"{name}.bias", out), padding=kernel // 2, **options)


def linear(p, name, x, out):
    return F.linear(x, p(f"{name}.weight", out, x.shape[1]), p(f"{name}.bias", out))


def norm(p, name, x, groups):
    c = x.shape[1]
    return F.group_norm(x, groups, p(f"{name}.weight", c), p(f"{name}.bias", c))


def conditioning(attrs, p, x, base, time, t, y):
    """silu(time embedding + class row) of each of x, or None."""
    e = None
    if time:
        e = linear(p, "time_embed.2", F.silu(linear(p, "time_embed.0", sinusoids(t, base), 4 * base)), 4 * base)
    if attrs.get("classes", 0) > 0:
        y = torch.full((len(x),), attrs["classes"], device=x.device) if y is None else y
        row = p("label_emb.weight", attrs["classes"] + 1, 4 * base)[y]
        e = row if e is None else e + row
    return e if e is None else F.silu(e)


def resample(how, x):
    return {"down": lambda: F.avg_pool2d(x, 2), "up": lambda: F.interpolate(x, scale_factor=2, mode="nearest"), None: lambda: x}[how]()


def residual_block(attrs, p, name, x, out, e, how=None):
    groups = attrs["groups"]
    h = resample(how, F.silu(norm(p, f"{name}.in_layers.0", x, groups)))
    h = conv(p, f"{name}.in_layers.2", h, out)
    scale_shift = e is not None and attrs["scale_shift"]
    if e is not None:
        e = linear(p, f"{name}.emb_layers.1", e, 2 * out if scale_shift else out)[:, :, None, None]
    if e is not None and not scale_shift:
        h = h + e
    h = norm(p, f"{name}.out_layers.0", h, groups)
    if scale_shift:
        h = h * (1 + e[:, :out]) + e[:, out:]
    h = conv(p, f"{name}.out_layers.3", F.silu(h), out)
    x = resample(how, x)
    return h + (x if x.shape[1] == out else conv(p, f"{name}.skip_connection", x, out, kernel=1))


def attention_block(attrs, p, name, x):
    n, c, height, width = x.shape
    heads = attrs["heads"] if attrs["head_width"] == -1 else c // attrs["head_width"]
    d = c // heads
    h = norm(p, f"{name}.norm", x, attrs["groups"]).reshape(n, c, -1)
    h = F.conv1d(h, p(f"{name}.qkv.weight", 3 * c, c, 1), p(f"{name}.qkv.bias", 3 * c))
    if attrs["new_attention_order"]:  # rows: which of q, k, v; head; channel
        q, k, v = h.reshape(n, 3, heads, d, -1).unbind(1)
    else:  # rows: head; which of q, k, v; channel
        q, k, v = h.reshape(n, heads, 3, d, -1).unbind(2)
    weights = torch.softmax(torch.einsum("nhdt,nhds->nhts", q * d**-0.25, k * d**-0.25), -1)
    h = torch.einsum("nhts,nhds->nhdt", weights, v).reshape(n, c, -1)
    h = F.conv1d(h, p(f"{name}.proj_out.weight", c, c, 1), p(f"{name}.proj_out.bias", c))
    return x + h.reshape(n, c, height, width)


def resampling_layer(attrs, p, name, x, e, how):
    if attrs["resblock_updown"]:
        return residual_block(attrs, p, name, x, x.shape[1], e, how)
    if not attrs["conv_resample"]:
        return resample(how, x)
    if how == "down":
        return conv(p, f"{name}.op", x, x.shape[1], stride=2)
    return conv(p, f"{name}.conv", resample(how, x), x.shape[1])


def unet(attrs, p, x, t, y=None):
    """F(x, t, y), shaped like x; of one channel under the linear head."""
    base, multipliers, blocks = attrs["base_width"], attrs["multipliers"], attrs["blocks_per_level"]
    e = conditioning(attrs, p, x, base, attrs["time"], t, y)
    downsampling, count = 1, 0
    h = conv(p, "input_blocks.0.0", x, base * multipliers[0])
    kept = [h]

    def block(name, h, multiplier):
        h = residual_block(attrs, p, f"{name}.0", h, base * multiplier, e)
        return attention_block(attrs, p, f"{name}.1", h) if downsampling in attrs["attention_downsamplings"] else h

    for level, multiplier in enumerate(multipliers):
        for _ in range(blocks):
            count += 1
            h = block(f"input_blocks.{count}", h, multiplier)
            kept.append(h)
        if level + 1 < len(multipliers):
            count += 1
            h = resampling_layer(attrs, p, f"input_blocks.{count}.0", h, e, "down")
            downsampling *= 2
            kept.append(h)
    h = residual_block(attrs, p, "middle_block.0", h, h.shape[1], e)
    h = attention_block(attrs, p, "middle_block.1", h)
    h = residual_block(attrs, p, "middle_block.2", h, h.shape[1], e)
    count = 0
    for level, multiplier in reversed(list(enumerate(multipliers))):
        for i in range(blocks + 1):
            h = block(f"output_blocks.{count}", torch.cat([h, kept.pop()], 1), multiplier)
            if level > 0 and i == blocks:
                last = 2 if downsampling in attrs["attention_downsamplings"] else 1
                h = resampling_layer(attrs, p, f"output_blocks.{count}.{last}", h, e, "up")
                downsampling //= 2
            count += 1
    return conv(p, "out.2", F.silu(norm(p, "out.0", h, attrs["groups"])), 1 if attrs.get("head") == "linear" else x.shape[1])


HEAD = {"residual": lambda x, f: 0.5 * (x - f) ** 2, "inner_product": lambda x, f: x * f, "linear": lambda x, f: f}


def headed(attrs, x, f):
    return attrs.get("output_scale", 1.0) * HEAD[attrs.get("head", "residual")](x, f).flatten(1).sum(1)


def unet_potential(attrs, p, x, t, y=None):
    return headed(attrs, x, unet(attrs, p, x, t, y))


ACTIVATION = {"silu": F.silu, "softplus": F.softplus, "gelu": F.gelu, "tanh": torch.tanh}


def wide_resnet_potential(attrs, p, x, t, y=None):
    base, k, n = attrs["base_width"], attrs["widen"], (attrs["depth"] - 4) // 6

    def activated(name, h):
        h = norm(p, name, h, attrs["groups"]) if attrs["norm"] == "group" else h
        return ACTIVATION[attrs["activation"]](h)

    e = conditioning(attrs, p, x, base * k, attrs["time"], t, y)
    h = conv(p, "conv1", x, base)
    for stage in range(3):
        out = base * 2**stage * k
        for i in range(n):
            name, stride = f"layer{stage + 1}.{i}", 2 if stage > 0 and i == 0 else 1
            r = conv(p, f"{name}.conv1", activated(f"{name}.norm1", h), out)
            if e is not None:
                r = r + linear(p, f"{name}.emb", e, out)[:, :, None, None]
            r = conv(p, f"{name}.conv2", activated(f"{name}.norm2", r), out, stride=stride)
            same = stride == 1 and h.shape[1] == out
            h = r + (h if same else conv(p, f"{name}.shortcut", h, out, kernel=1, stride=stride))
    h = activated("norm", h).mean((2, 3))
    if attrs["head"] == "linear":
        return headed(attrs, x, linear(p, "linear", h, 1))
    return headed(attrs, x, linear(p, "linear", h, x[0].numel()).reshape(x.shape))


IMAGE_NETWORK = {"unet_potential": unet_potential, "wide_resnet_potential": wide_resnet_potential}


def image_shapes(op, attrs):
    """Parameter name -> shape, in the order of the module tree's use."""
    shapes = {}

    def p(name, *shape):
        shapes[name] = shape
        return torch.zeros(shape, dtype=torch.float64)

    size = attrs["image_size"]
    x = torch.zeros((1, attrs["in_channels"], size, size), dtype=torch.float64)
    IMAGE_NETWORK[op](attrs, p, x, torch.zeros(1, dtype=torch.float64))
    return shapes


def from_table(function):
    """The network as a function of a dictionary of parameters."""
    return lambda attrs, params, *args, **named: function(attrs, lambda name, *shape: params[name], *args, **named)
