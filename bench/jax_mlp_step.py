"""The training step of `vapo bench step` in JAX, all of it under one jit with its state donated."""

import functools

import jax
import jax.numpy as jnp

import serve


def init(key):
    params = []
    for fan_in, fan_out in zip(serve.SIZES, serve.SIZES[1:]):
        for shape in ((fan_out, fan_in), (fan_out,)):
            key, draw = jax.random.split(key)
            params.append(jax.random.uniform(draw, shape, minval=-1, maxval=1) / fan_in**0.5)
    return params


def potential(params, x, t):
    angle = t[:, None] * jnp.array(serve.FREQUENCIES, jnp.float32)
    h = jnp.concatenate([x, jnp.cos(angle), jnp.sin(angle)], 1)
    for w, b in zip(params[0:-2:2], params[1:-2:2]):
        h = jax.nn.silu(h @ w.T + b)
    return (h @ params[-2].T + params[-1])[:, 0]


def loss(params, data, t, eps):
    s = t[:, None]
    x, v = s * data + (1 - s) * eps, data - eps
    dphi = jax.grad(lambda z: potential(params, z, t).sum())(x)
    return (dphi * (dphi - 2 * v)).sum() / v.shape[0]


@functools.partial(jax.jit, static_argnums=2, donate_argnums=0)
def train_step(state, points, batch):
    params, m, v, ema, count, key = state
    key, *draws = jax.random.split(key, 4)
    index = jax.random.randint(draws[0], (batch,), 0, serve.POINTS)
    t, eps = jax.random.uniform(draws[1], (batch,)), jax.random.normal(draws[2], (batch, serve.IN))
    value, grads = jax.value_and_grad(loss)(params, points[index], t, eps)
    norm = jnp.sqrt(sum((g * g).sum() for g in grads))
    scale = jnp.minimum(serve.CLIP / (norm + 1e-6), 1)
    count = count + 1
    grads = [g * scale for g in grads]
    m = [serve.BETA1 * a + (1 - serve.BETA1) * g for a, g in zip(m, grads)]
    v = [serve.BETA2 * a + (1 - serve.BETA2) * g * g for a, g in zip(v, grads)]
    c1, c2 = 1 - serve.BETA1**count, 1 - serve.BETA2**count
    params = [
        p - serve.LEARNING_RATE / c1 * a / (jnp.sqrt(b / c2) + serve.EPS) for p, a, b in zip(params, m, v)
    ]
    ema = [serve.EMA * e + (1 - serve.EMA) * p for e, p in zip(ema, params)]
    return (params, m, v, ema, count, key), value


class Training:
    def __init__(self, batch):
        key, points, network = jax.random.split(jax.random.key(1), 3)
        self.batch = batch
        self.points = jax.random.normal(points, (serve.POINTS, serve.IN))
        params = init(network)
        zeros = lambda: [jnp.zeros_like(p) for p in params]
        self.state = (params, zeros(), zeros(), [p.copy() for p in params], jnp.zeros(()), key)

    def __call__(self):
        self.state, value = train_step(self.state, self.points, self.batch)
        jax.block_until_ready(self.state)
        return value


if __name__ == "__main__":
    arguments = serve.parser().parse_args()
    serve.main(arguments, Training(arguments.batch))
