"""tools/convert_inception.py: a file like the port's, with random numbers, to a checkpoint whose features vapo fid finds as PyTorch
does with the norms of the file. Argument: vapo."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests/golden")]
import convert_inception  # noqa: E402
import inception  # noqa: E402
from converter import Converter  # noqa: E402

VAPO = str(Path(sys.argv[1]).resolve())


def port_file():
    """The port's state dict: norms that are far from the identity."""
    torch.manual_seed(1)
    state = {}
    for name, i, o, (h, w) in inception.convolutions():
        state[f"{name}.conv.weight"] = torch.randn(o, i, h, w) * (2 / (i * h * w)) ** 0.5
        state[f"{name}.bn.weight"] = 0.5 + torch.rand(o)
        state[f"{name}.bn.bias"] = 0.2 * torch.randn(o)
        state[f"{name}.bn.running_mean"] = 0.2 * torch.randn(o)
        state[f"{name}.bn.running_var"] = 0.5 + torch.rand(o)
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(7)
    return state | {"fc.weight": torch.randn(1008, 2048) / 45, "fc.bias": torch.randn(1008)}


def with_norms(state):
    state = {name: x.double() for name, x in state.items()}

    def convolve(name, x, stride, padding):
        x = F.conv2d(x, state[f"{name}.conv.weight"], None, stride, padding)
        return F.batch_norm(x, *(state[f"{name}.bn.{k}"] for k in ("running_mean", "running_var", "weight", "bias")), eps=1e-3)

    return convolve


def resized(images, mode):
    """u8 (N,H,W,3) -> f64 (N,3,299,299)."""
    x = images.astype(np.float64)
    if mode == "pytorch-fid":
        x = torch.from_numpy(x.transpose(0, 3, 1, 2) / 255)
        return 2 * F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False) - 1
    for axis in (1, 2):
        n = x.shape[axis]
        at = np.arange(299) * (n / 299)
        low = np.floor(at).astype(int)
        share = (at - low).reshape([-1 if k == axis else 1 for k in range(4)])
        x = x.take(low, axis) * (1 - share) + x.take(np.minimum(low + 1, n - 1), axis) * share
    return torch.from_numpy(((x - 128) / 128).transpose(0, 3, 1, 2).copy())


convert = Converter(convert_inception.main)
refused = convert.refused


def check_features(state):
    images = np.random.default_rng(2).integers(0, 256, (2, 9, 11, 3), dtype=np.uint8).repeat(3, 1).repeat(3, 2)
    np.save("images.npy", images)
    for mode in ("tf1", "pytorch-fid"):
        done = subprocess.run([VAPO, "fid", "--inception", "inception.safetensors", "--ref", "images.npy", "--samples", "images.npy",
                               "--resize", mode, "--out", mode, "--json"], capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert abs(json.loads(done.stdout)["summary"]["fid"]) < 1e-6, done.stdout
        found = load_file(f"{mode}/samples-features-000000.safetensors")
        with torch.no_grad():
            features, logits = inception.forward(resized(images, mode), with_norms(state), state["fc.weight"].double())
        for name, expected in (("features", features), ("logits", logits)):
            error = float((found[name] - expected).abs().max() / expected.abs().max())
            assert error < 1e-5, f"{mode}: {name} are off by {error:.2e}"


def check_refusals(state):
    def bad(pattern, change):
        torch.save({k: x for k, x in (state | change).items() if x is not None}, "bad.pth")
        refused(pattern, "bad.pth", "bad.safetensors")

    name = "Mixed_6c.branch7x7_2"
    bad(f"lacks the tensor '{name}.bn.running_var' (160,)", {f"{name}.bn.running_var": None})
    bad("has shape (160, 160, 7, 1), expected (160, 160, 1, 7)", {f"{name}.conv.weight": torch.zeros(160, 160, 7, 1)})
    bad("not all finite", {"fc.weight": torch.full((1008, 2048), float("nan"))})
    bad("'fc.weight' has shape (1000, 2048)", {"fc.weight": torch.zeros(1000, 2048)})
    bad("running_var' is negative", {f"{name}.bn.running_var": -torch.ones(160)})
    bad("'AuxLogits.fc.weight' belongs to no part", {"AuxLogits.fc.weight": torch.zeros(3)})
    Path("text.pth").write_text("no tensors\n")
    refused("text.pth: no PyTorch file", "text.pth", "bad.safetensors")
    refused("missing.pth: No such file", "missing.pth", "bad.safetensors", code=5)
    refused("nowhere/out.safetensors: No such file", "port.pth", "nowhere/out.safetensors", code=5)
    convert("port.pth", code=2)


def main():
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        state = port_file()
        torch.save(state, "port.pth")
        out, _ = convert("port.pth", "inception.safetensors")
        assert f"parameters in {2 * 94 + 1} tensors" in out
        check_features(state)
        check_refusals(state)
        os.chdir("/")
    print("convert_inception: passed")


main()
