"""The contestants compute the same: loss and gradients of one batch at equal parameters, PyTorch (three ways) and JAX.
vapo's own loss and gradients are held to PyTorch's by the golden cases (tests/golden)."""

import jax.numpy as jnp
import jax
import numpy as np
import torch

import jax_mlp_step
import serve
import torch_mlp_step


def main():
    generator = torch.Generator().manual_seed(3)
    params = [p.requires_grad_() for p in torch_mlp_step.init(generator)]
    data, eps = (torch.randn((256, serve.IN), generator=generator) for _ in range(2))
    t = torch.rand(256, generator=generator)
    loss, grads = torch_mlp_step.gradients_eager(params, data, t, eps)
    detached = [p.detach() for p in params]
    answers = {
        "torch.func": torch_mlp_step.gradients_functional(detached, data, t, eps),
        "torch.compile": torch.compile(torch_mlp_step.gradients_functional)(detached, data, t, eps),
        "jax": jax.value_and_grad(jax_mlp_step.loss)(
            [jnp.array(p.numpy()) for p in detached], *(jnp.array(a.numpy()) for a in (data, t, eps))
        ),
    }
    for name, (other, other_grads) in answers.items():
        np.testing.assert_allclose(np.asarray(other), loss.numpy(), rtol=1e-5, err_msg=name)
        for a, b in zip(other_grads, grads):
            np.testing.assert_allclose(np.asarray(a), b.numpy(), rtol=1e-3, atol=1e-5, err_msg=name)
        print(f"{name}: the same loss and gradients as eager PyTorch")


if __name__ == "__main__":
    main()
