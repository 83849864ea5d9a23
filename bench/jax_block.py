"""The VAPO step of a residual block (apps/bench/bench_networks.cpp) in JAX: loss and gradients under one jit, channels first or
last, f32 or products and convolutions of bf16 (what PyTorch's autocast does)."""

import argparse
import os

import jax
import jax.numpy as jnp

import serve

parser = argparse.ArgumentParser()
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--channels", type=int, default=128)
parser.add_argument("--size", type=int, default=32)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seconds", type=float, default=3)
parser.add_argument("--serve", action="store_true")
parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
parser.add_argument("--channels-last", action="store_true")
parser.add_argument("--bf16", action="store_true", help="products and convolutions of bf16")
parser.add_argument("--tf32", action="store_true", help="TF32 products and convolutions")
EMBEDDING, GROUPS = 512, 32


def init(c, channels_last):
    """Convolutions' weights (out, in, h, w), or (h, w, in, out)."""
    keys = iter(jax.random.split(jax.random.key(1), 6))
    uniform = lambda fan_in, *shape: jax.random.uniform(next(keys), shape, minval=-1, maxval=1) / fan_in**0.5
    kernel = (3, 3, c, c) if channels_last else (c, c, 3, 3)
    return {
        "n1w": jnp.ones(c), "n1b": jnp.zeros(c), "c1w": uniform(9 * c, *kernel), "c1b": uniform(9 * c, c),
        "lw": uniform(EMBEDDING, 2 * c, EMBEDDING), "lb": uniform(EMBEDDING, 2 * c),
        "n2w": jnp.ones(c), "n2b": jnp.zeros(c), "c2w": uniform(9 * c, *kernel), "c2b": uniform(9 * c, c),
    }  # fmt: skip


class Block:
    def __init__(self, channels_last, bf16):
        self.axis = 3 if channels_last else 1
        self.layouts = ("NHWC", "HWIO", "NHWC") if channels_last else ("NCHW", "OIHW", "NCHW")
        self.dtype = jnp.bfloat16 if bf16 else jnp.float32

    def per_channel(self, a):  # (C,) or (N, C), along the images' channels
        return a.reshape(a.shape[:-1] + ((1, 1, -1) if self.axis == 3 else (-1, 1, 1)))

    def conv(self, x, w, b):
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype), w.astype(self.dtype), (1, 1), "SAME", dimension_numbers=self.layouts
        )
        return y + self.per_channel(b.astype(self.dtype))

    def group_norm(self, x, w, b):
        a = self.axis
        grouped = x.astype(jnp.float32).reshape(*x.shape[:a], GROUPS, x.shape[a] // GROUPS, *x.shape[a + 1 :])
        over = tuple(i for i in range(1, 5) if i != a)
        centred = grouped - grouped.mean(over, keepdims=True)
        y = centred * jax.lax.rsqrt((centred**2).mean(over, keepdims=True) + 1e-5)
        return y.reshape(x.shape) * self.per_channel(w) + self.per_channel(b)

    def __call__(self, p, x, e):
        both = jax.nn.silu(e).astype(self.dtype) @ p["lw"].T.astype(self.dtype) + p["lb"].astype(self.dtype)
        scale, shift = (self.per_channel(a) for a in jnp.split(both, 2, axis=1))
        h = self.conv(jax.nn.silu(self.group_norm(x, p["n1w"], p["n1b"])), p["c1w"], p["c1b"])
        h = self.group_norm(h, p["n2w"], p["n2b"]) * (1 + scale) + shift
        return x + self.conv(jax.nn.silu(h), p["c2w"], p["c2b"])

    def loss(self, p, x, e, v):
        potential = lambda x: 0.5 * ((x - self(p, x, e)).astype(jnp.float32) ** 2).sum()
        return ((jax.grad(potential)(x) - v) ** 2).mean()


class Step:
    def __init__(self, args):
        n, c, size = args.batch, args.channels, args.size
        shape = (n, size, size, c) if args.channels_last else (n, c, size, size)
        keys = jax.random.split(jax.random.key(4), 3)
        self.operands = [jax.random.normal(k, s) for k, s in zip(keys, (shape, (n, EMBEDDING), shape))]
        self.params = init(c, args.channels_last)
        self.gradients = jax.jit(jax.value_and_grad(Block(args.channels_last, args.bf16).loss))

    def __call__(self):
        loss, gradients = self.gradients(self.params, *self.operands)
        jax.block_until_ready(gradients)
        return loss.item()


if __name__ == "__main__":
    arguments = parser.parse_args()
    jax.config.update("jax_platforms", arguments.device)
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if arguments.tf32 else "highest")
    if arguments.device == "cpu":  # its threads are as many as the cores it may use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    serve.main(arguments, Step(arguments))
