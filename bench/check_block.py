"""The contestants of compare_block.py compute the same: loss and gradients of a small block at equal parameters, PyTorch
and JAX in both layouts; and how far bf16 is off in each. vapo is held to PyTorch's derivatives by tests/golden."""

import jax
import jax.numpy as jnp
import numpy as np
import torch

import jax_block
import one_device
import torch_block

SMALL = ["--batch", "2", "--channels", "64", "--size", "8"]
IMAGES = ("c1w", "c2w")


def torch_answer(step):
    x = step.x.detach().requires_grad_()
    with one_device.autocast(step.args):
        phi = torch_block.potential(step.params, x, step.e)
    loss = (torch.autograd.grad(phi, x, create_graph=True)[0] - step.v).square().mean()
    gradients = torch.autograd.grad(loss, list(step.params.values()))
    return loss.item(), {k: g.float().numpy() for k, g in zip(step.params, gradients)}


def jax_answer(step, channels_last, bf16):
    last = lambda a: jnp.array(np.moveaxis(a, 1, 3) if channels_last else a)
    weight = lambda k, w: jnp.array(w.transpose(2, 3, 1, 0) if channels_last and k in IMAGES else w)
    params = {k: weight(k, w.detach().numpy()) for k, w in step.params.items()}
    block = jax_block.Block(channels_last, bf16)
    loss, gradients = jax.jit(jax.value_and_grad(block.loss))(
        params, last(step.x.numpy()), jnp.array(step.e.numpy()), last(step.v.numpy())
    )
    back = lambda k, g: np.asarray(g).transpose(3, 2, 0, 1) if channels_last and k in IMAGES else np.asarray(g)
    return loss.item(), {k: back(k, g) for k, g in gradients.items()}


def difference(answer, reference):
    """Of the loss, and the largest of a gradient's, each as a share of the reference."""
    (loss, gradients), (true_loss, true_gradients) = answer, reference
    norm = np.linalg.norm
    return abs(loss / true_loss - 1), max(norm(gradients[k] - g) / norm(g) for k, g in true_gradients.items())


def main():
    step = torch_block.Step(torch_block.parser.parse_args(SMALL))
    reference = torch_answer(step)
    half = torch_answer(torch_block.Step(torch_block.parser.parse_args([*SMALL, "--bf16"])))
    answers = {"PyTorch bf16 autocast": (half, 0.05)}
    for layout in ("channels first", "channels last"):
        for bf16, bound in ((False, 1e-4), (True, 0.05)):
            name = f"JAX, {layout}, {'bf16' if bf16 else 'f32'}"
            answers[name] = jax_answer(step, layout == "channels last", bf16), bound
    for name, (answer, bound) in answers.items():
        of_loss, of_gradients = difference(answer, reference)
        assert of_loss < bound and of_gradients < bound, f"{name}: {of_loss:.1e} and {of_gradients:.1e} off"
        print(f"{name}: loss {of_loss:.1e}, gradients {of_gradients:.1e} off eager PyTorch in f32")


if __name__ == "__main__":
    jax.config.update("jax_default_matmul_precision", "highest")
    main()
