"""The benchmark scripts in PyTorch keep everything on their device: each is run with --check on PyTorch's meta device,
which stands for a GPU, and what a fused optimizer asks for is checked on the CPU. And that check finds mistakes."""

import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests/golden")]
sys.dont_write_bytecode = True

import networks  # noqa: E402
import one_device  # noqa: E402
import torch_block  # noqa: E402
import torch_inception  # noqa: E402
import torch_mlp_step  # noqa: E402
import torch_unet  # noqa: E402

torch_unet.UNET.update(base_width=32, multipliers=[1, 2], blocks_per_level=1)
torch_unet.PUBLISHED.update(base_width=32, multipliers=[1, 2], blocks_per_level=1)
torch_unet.WIDE_RESNET.update(depth=10, widen=1)


def check(module, step, device, *options):
    arguments = module.parser.parse_args(["--batch", "2", "--device", device, "--check", *options])
    one_device.check(arguments.device, lambda: step(arguments))


def everything_on(device):
    block = ["--channels", "32", "--size", "4"]
    for mode in ("eager", "compiled"):
        check(torch_block, torch_block.Step, device, *block, "--mode", mode)
        check(torch_block, torch_block.Step, device, *block, "--mode", mode, "--channels-last", "--bf16")
        for options in ([], ["--channels-last", "--bf16"], ["--recorded", "--network", "published"], ["--sampling"], ["--network", "wide_resnet", "--channels-last"]):
            check(torch_unet, torch_unet.Step, device, "--mode", mode, *options)
    for mode in ("eager", "compiled_gradients", "compiled_step"):
        check(torch_mlp_step, torch_mlp_step.Training, device, "--mode", mode)


def a_model(file):
    attrs = {**torch_unet.UNET, "image_size": 28, "in_channels": 1, "base_width": 8, "groups": 4, "classes": 3}
    weights = {"ema." + k: torch.randn(s) / 10 for k, s in networks.image_shapes("unet_potential", attrs).items()}
    keys = "\n".join(f"{k} = {str(v).lower()}" for k, v in {**attrs, "time_scale": 1}.items())
    config = f'[data]\nset = "mnist"\n[model]\nkind = "unet"\npotential = "raw"\n[sample]\nt_start = 0.0\nt_end = 1.0\n[unet]\n{keys}\n'
    save_file(weights, file, metadata={"config": config})


def runs(script, *options):
    result = subprocess.run([sys.executable, ROOT / "bench" / script, *options, "--check"], capture_output=True, text=True)
    assert result.returncode == 0, f"{script} {options}: {result.stderr[-2000:]}"


def refused(words, function):
    try:
        function()
    except AssertionError as error:
        assert words in str(error), error
    else:
        raise SystemExit(f"nothing is said where '{words}' was expected")


class Mistaken:
    """Steps with one mistake each."""

    def constant():
        x = torch.ones(3, device="meta")
        return lambda: (x * torch.arange(3.0)).sum().item()

    def result():
        torch.ones(3, device="meta").sum().item()
        return lambda: torch.ones(3).sum().item()

    def layout():
        w = torch.nn.Parameter(torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last))
        optimizer = one_device.adam([w], 1e-3, "cpu")

        def step():
            w.grad = torch.ones(2, 3, 4, 4)
            optimizer.step()
            return w.sum().item()

        return step


if __name__ == "__main__":
    torch.set_num_threads(1)
    refused("of tensors on cpu and meta", lambda: one_device.check("meta", Mistaken.constant))
    refused("are not on meta", lambda: one_device.check("meta", Mistaken.result))
    refused("a gradient of torch.float32, strides", lambda: one_device.check("cpu", Mistaken.layout))
    everything_on("meta")
    check(torch_inception, torch_inception.Step, "meta", "--folded")
    check(torch_inception, torch_inception.Step, "meta", "--channels-last")
    everything_on("cpu")
    runs("torch_ops.py", "--device", "meta")
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/model.safetensors"
        a_model(model)
        for device in ("meta", "cpu"):
            runs("torch_sample.py", model, "--device", device)
    print("torch scripts: passed")
