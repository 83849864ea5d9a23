"""tools/convert_checkpoint.py: files like the published ones, with random numbers, to vapo's checkpoints and back. Arguments: vapo and
checkpoint-potential."""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests/golden")]
import convert_checkpoint  # noqa: E402
import networks  # noqa: E402
import unet_layout  # noqa: E402
from converter import Converter  # noqa: E402

VAPO, POTENTIAL = (str(Path(p).resolve()) for p in sys.argv[1:3])
SMALL = unet_layout.UNET | {"in_channels": 3, "image_size": 8, "base_width": 4, "multipliers": [1, 2], "blocks_per_level": 1,
                            "attention_downsamplings": [2], "groups": 2, "dropout": 0.3}  # fmt: skip
# options, the prefix of names in the .pth file, and what is said on the command line
CASES = {
    "plain": (SMALL, "module.", []),
    "conv_resample, classes": (SMALL | {"conv_resample": True, "classes": 3, "multipliers": [1, 1, 2]}, "module.model.", []),
    "resblock_updown, grey": (SMALL | {"resblock_updown": True, "in_channels": 1, "attention_downsamplings": []}, "model.", []),
    "heads, new order, added embedding": (
        SMALL | {"heads": 2, "new_attention_order": True, "scale_shift": False, "attention_downsamplings": [1, 2], "dropout": 0.1}, "",
        ["--heads", "2", "--new-attention-order", "--dropout", "0.1"]),
    "autonomous": (SMALL | {"time": False, "head_width": 2, "base_width": 4, "multipliers": [1, 3]}, "", ["--head-width", "2"]),
}  # fmt: skip


def shapes_of(u):
    return networks.image_shapes("unet_potential", u)


def published_file(u, prefix, seed=0):
    """What the published code saves: random numbers, none at its first value."""
    torch.manual_seed(seed)
    draw = {name: torch.randn(shape) * (0.5 if len(shape) < 2 else shape[1:].numel() ** -0.5) for name, shape in shapes_of(u).items()
            for shape in [torch.Size(shape)]}  # fmt: skip
    parameters = [torch.nn.Parameter(x) for x in draw.values()]
    adam = torch.optim.Adam(parameters, lr=2e-4, betas=(0.85, 0.99), eps=1e-7)
    for _ in range(2):
        for p in parameters:
            p.grad = torch.randn(p.shape)
        adam.step()
    model = {prefix + name: p.data for name, p in zip(draw, parameters)}
    ema = [p.data + 0.1 * torch.randn(p.shape) for p in parameters]
    return {"optimizer": adam.state_dict(), "model": model, "ema": ema, "step": 1234}


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert done.returncode == 0, f"exit code {done.returncode}: {command}\n{done.stdout}{done.stderr}"
    return done.stdout


convert = Converter(convert_checkpoint.main)
refused = convert.refused


def same(a, b):
    assert a.keys() == b.keys(), f"{sorted(a.keys() ^ b.keys())}"
    for name in a:
        assert a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]), name


def check_layout(name, u):
    shapes = shapes_of(u)
    ours = unet_layout.layout(u, u["in_channels"])
    assert list(ours.items()) == list(shapes.items()), f"{name}: another layout than the network's"
    told = unet_layout.infer_unet(shapes)
    for key in set(unet_layout.UNET) - set(unet_layout.UNTOLD):
        assert told[key] == u[key] or (key == "scale_shift" and not u["time"]), f"{name}: {key} = {told[key]}, expected {u[key]}"


def check_there_and_back(name, u, prefix, options):
    file = published_file(u, prefix)
    torch.save(file, "in.pth")
    out, _ = convert("to-vapo", "in.pth", "out.safetensors", "--data", "", "--groups", "2", "--image-size", u["image_size"], *options)
    plain = {key.removeprefix(prefix): x for key, x in file["model"].items()}
    count = sum(x.numel() for x in plain.values())
    assert f"{count} parameters" in out and "step 1234" in out

    info = json.loads(run(VAPO, "info", "out.safetensors", "--json"))
    assert (info["kind"], info["parameters"], info["step"], info["ema"]) == ("checkpoint", count, 1234, True), info
    assert "learning_rate = 0.0002" in info["config"] and "beta1 = 0.85" in info["config"]
    tensors = load_file("out.safetensors")
    assert tensors["extra.data.image_shape"].tolist() == [u["image_size"]] * 2 + [u["in_channels"]]
    for index, key in enumerate(plain):
        same({"exp_avg": tensors[f"optimizer.m.{key}"], "exp_avg_sq": tensors[f"optimizer.v.{key}"], "step": torch.tensor(2.0)},
             file["optimizer"]["state"][index])  # fmt: skip

    batch = {"x": torch.randn(3, u["in_channels"], u["image_size"], u["image_size"]), "t": torch.rand(3)}
    if u["classes"]:
        batch["y"] = torch.tensor([0, 2, u["classes"]])
    save_file(batch | {"x": batch["x"].permute(0, 2, 3, 1).contiguous()}, "batch.safetensors")
    run(POTENTIAL, "out.safetensors", "batch.safetensors", "again.safetensors", "phi.safetensors")
    same(load_file("out.safetensors"), load_file("again.safetensors"))
    phi = load_file("phi.safetensors")
    for source, values in (("param", plain.values()), ("ema", file["ema"])):
        exact = dict(zip(plain, (x.double() for x in values)))
        given = {key: x.double() if x.is_floating_point() else x for key, x in batch.items()}
        expected = networks.from_table(networks.unet_potential)(u, exact, **given)
        error = ((phi[source].double() - expected).abs() / expected.abs()).max().item()
        assert error < 1e-5, f"{name}: Φ by {source} is {error:.1e} off"

    convert("to-torch", "again.safetensors", "back.pth")
    back = torch.load("back.pth", weights_only=True)
    assert list(back) == list(file) and back["step"] == 1234 and list(back["model"]) == list(plain)
    same(back["model"], plain)
    same(dict(enumerate(back["ema"])), dict(enumerate(file["ema"])))
    states, groups = back["optimizer"]["state"], back["optimizer"]["param_groups"]
    assert states.keys() == file["optimizer"]["state"].keys()
    for index, state in file["optimizer"]["state"].items():
        same(states[index], state)
    assert groups == file["optimizer"]["param_groups"], groups
    for ema, expected in (("only", dict(zip(plain, file["ema"]))), ("none", plain)):
        convert("to-torch", "again.safetensors", "back.pth", "--ema", ema)
        same(torch.load("back.pth", weights_only=True), expected)
    convert("to-vapo", "back.pth", "bare.safetensors", *options)  # a state dict alone
    assert {key.split(".")[0] for key in load_file("bare.safetensors")} == {"param", "extra"}


def check_variants():
    """Other forms of the same file."""
    file = published_file(SMALL, "")
    first = dict(zip(file["model"], file["ema"]))

    def converted(change, *options):
        torch.save({key: x for key, x in (file | change).items() if x is not None}, "variant.pth")
        convert("to-vapo", "variant.pth", "variant.safetensors", *options)
        return load_file("variant.safetensors"), json.loads(run(VAPO, "info", "variant.safetensors", "--json"))

    for ema in ({"decay": 0.9999, "num_updates": 7, "shadow_params": file["ema"]}, {"list": file["ema"], "decay": 0.9}):
        tensors, info = converted({"ema": ema})
        same({key[4:]: x for key, x in tensors.items() if key.startswith("ema.")}, first)
        assert int(info["ema_updates"]) == ema.get("num_updates", 1234)
    tensors, info = converted({"ema": None, "optimizer": None, "step": torch.tensor(5)})
    assert not info["ema"] and info["step"] == 5 and not any(key.startswith(("ema", "optimizer")) for key in tensors)
    tensors, _ = converted({}, "--no-optimizer")
    assert not any(key.startswith("optimizer") for key in tensors)
    strided = {key: x.to(memory_format=torch.channels_last) if x.dim() == 4 else x for key, x in file["model"].items()}
    tensors, _ = converted({"model": strided})
    same({key[6:]: x for key, x in tensors.items() if key.startswith("param.")}, file["model"])
    tensors, _ = converted({"ema": list(file["model"].values())})  # tensors that share their memory
    assert len(tensors) == 4 * len(first) + 1
    Path("own.toml").write_text('# mine\n[model]\nkind = "unet"\npotential = "raw"\n[unet]\nbase_width = 4\nmultipliers = [1, 2]\n'
                                "blocks_per_level = 1\ngroups = 2\nheads = 4\n[train]\nseed = 9\n")  # fmt: skip
    _, info = converted({}, "--config", "own.toml")
    assert info["config"].startswith("# mine") and info["seed"] == 9


def check_refusals():
    file = published_file(SMALL, "")
    model, ema, adam = file["model"], file["ema"], file["optimizer"]
    inside = "input_blocks.1.0.in_layers.2.weight"

    def bad(pattern, change, *options):
        torch.save({key: x for key, x in (file | change).items() if x is not None}, "bad.pth")
        refused("bad.pth: ", "to-vapo", "bad.pth", "bad.safetensors", *options)
        refused(pattern, "to-vapo", "bad.pth", "bad.safetensors", *options)

    bad(f"lacks the tensor '{inside}' (4, 4, 3, 3)", {"model": {k: x for k, x in model.items() if k != inside}})
    bad("'head.weight' (2,) belongs to no part", {"model": model | {"head.weight": torch.zeros(2)}, "ema": None, "optimizer": None})
    bad(f"'{inside}' has shape (4, 4, 5, 5), expected (4, 4, 3, 3)", {"model": model | {inside: torch.zeros(4, 4, 5, 5)}})
    bad("is torch.int64, expected floating", {"model": model | {inside: torch.zeros(4, 4, 3, 3, dtype=torch.int64)}})
    bad("'input_blocks.0.0.weight' is missing: not the published U-Net", {"model": {"layers.0.weight": torch.zeros(3, 2)}, "optimizer": None})
    bad("no U-Net with equally many blocks", {"model": {k: x for k, x in model.items() if not k.startswith("input_blocks.1.")}})
    bad("no state dict 'model'; it holds optimizer, ema, step", {"model": None})
    bad("'ema' has 3 tensors, the model", {"ema": ema[:3]})
    bad("'ema': tensor 'time_embed.0.weight' has shape", {"ema": ema[::-1]})
    bad("'ema' holds 2 lists of tensors", {"ema": {"shadow_params": ema, "collected_params": ema}})
    bad("'ema' is neither", {"ema": 0.999})
    bad("'step' is 'many'", {"step": "many"})
    states = adam["state"]
    bad("--no-optimizer", {"optimizer": adam | {"state": {k: x for k, x in states.items() if k != 3}}})
    bad("made 2 to 9 steps", {"optimizer": adam | {"state": states | {3: states[3] | {"step": torch.tensor(9.0)}}}})
    bad("optimizer.v", {"optimizer": adam | {"state": states | {3: states[3] | {"exp_avg_sq": torch.zeros(2)}}}})
    bad("no optimizer's state dict", {"optimizer": {"lr": 1}})

    class Evil:
        def __reduce__(self):
            return os.mkdir, ("evil",)

    bad("without running code", {"step": Evil()})
    assert not os.path.exists("evil")
    for name, content in (("text.pth", b"no tensors\n"), ("empty.pth", b""), ("cut.pth", Path("in.pth").read_bytes()[:5000])):
        Path(name).write_bytes(content)
        refused(f"{name}: no PyTorch file", "to-vapo", name, "bad.safetensors")
    torch.save([1, 2], "list.pth")
    refused("holds a list", "to-vapo", "list.pth", "bad.safetensors")
    refused("missing.pth: No such file", "to-vapo", "missing.pth", "bad.safetensors", code=5)
    refused("nowhere/out.safetensors: No such file", "to-vapo", "in.pth", "nowhere/out.safetensors", code=5)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limit[1]))  # as a full disk
    refused("full.safetensors: ", "to-vapo", "in.pth", "full.safetensors", code=5)
    refused("full.pth: ", "to-torch", "out.safetensors", "full.pth", code=5)
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    for text, pattern in (("[model]\nkind = 'mlp'\n", "model.kind"), ("][", "bad.toml: "), ("[unet]\ngroups = 'two'\n", "unet.groups"),
                          ("[model]\nkind = 'unet'\npotential = 'raw'\n", "lacks the tensor")):  # fmt: skip
        Path("bad.toml").write_text(text)
        refused(pattern, "to-vapo", "in.pth", "bad.safetensors", "--config", "bad.toml")
    convert("to-vapo", "in.pth", "bad.safetensors", "--config", "bad.toml", "--heads", "2", code=2)
    convert(code=2)

    Path("cut.safetensors").write_bytes(Path("out.safetensors").read_bytes()[:3000])
    refused("cut.safetensors: ", "to-torch", "cut.safetensors", "bad.pth")
    save_file({"a": torch.zeros(1)}, "other.safetensors")
    refused("not a checkpoint of vapo", "to-torch", "other.safetensors", "bad.pth")
    refused("--ema none", "to-torch", "bare.safetensors", "bad.pth", "--ema", "only")
    refused("missing.safetensors: No such file", "to-torch", "missing.safetensors", "bad.pth", code=5)


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, (u, prefix, options) in CASES.items():
            check_layout(name, u)
            check_there_and_back(name, u, prefix, options)
        published = unet_layout.layout(unet_layout.UNET, 3)
        assert sum(torch.Size(s).numel() for s in published.values()) == 55676419
        assert unet_layout.infer_unet(published) == unet_layout.UNET
        check_variants()
        check_refusals()
        tool = str(ROOT / "tools/convert_checkpoint.py")
        assert "step 1234" in run(sys.executable, tool, "to-vapo", "in.pth", "program.safetensors", "--groups", 2)
        os.chdir("/")
    print("convert_checkpoint: passed")


main()
