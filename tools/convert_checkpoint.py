#!/usr/bin/env python3
"""Checkpoints of the published code (PyTorch, .pth) to vapo's, and vapo's to PyTorch's. Needs `torch` and `safetensors`.

    convert_checkpoint.py to-vapo CKPT.pth OUT.safetensors     # then: vapo info | sample | train --resume
    convert_checkpoint.py to-torch CKPT.safetensors OUT.pth

The published file is a dict: `model`, a U-Net's state dict; `ema`, a list of tensors in the order of the model's parameters;
`optimizer`, the state dict of Adam; `step`. to-vapo reads the U-Net's options off names and shapes and writes them into the
config of the result; what they do not tell (heads, dropout, ...) has the published values unless an option says otherwise.
Exit codes: 0 done, 2 command line, 3 a file that cannot be used, 5 the system refused to read or write.
"""

import argparse
import contextlib
import os
import sys
import tomllib

try:
    import torch
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save_file
except ImportError as e:
    print(f"convert_checkpoint.py: {e}. Hint: pip install torch safetensors", file=sys.stderr)
    sys.exit(5)

from unet_layout import UNET, UNTOLD, Refused, check_layout, infer_unet, layout_of

FORMAT = "vapo-checkpoint-1"
TRAIN = {"optimizer": "adam", "learning_rate": 1e-4, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
MOMENTS = {"exp_avg": "optimizer.m.", "exp_avg_sq": "optimizer.v."}


def without_prefixes(tensors, prefixes):
    while prefix := next((p for p in prefixes if tensors and all(name.startswith(p) for name in tensors)), None):
        tensors = {name[len(prefix) :]: x for name, x in tensors.items()}
    return tensors


def is_tensors(value):
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(x, torch.Tensor) for x in value)


def count(value, name):
    try:
        return int(value)
    except (TypeError, ValueError, RuntimeError) as e:
        raise Refused(f"'{name}' is {value!r}, expected a number") from e


def read_ema(ema, names):
    """Parameter name -> average, and how many updates the file says it had (None: it does not)."""
    updates = None
    if isinstance(ema, dict):
        lists = [v for v in ema.values() if is_tensors(v)]
        if len(lists) != 1:
            raise Refused(f"'ema' holds {len(lists)} lists of tensors, expected one")
        updates = count(ema["num_updates"], "num_updates") if "num_updates" in ema else None
        ema = lists[0]
    if not is_tensors(ema):
        raise Refused("'ema' is neither a list of tensors nor a dict that holds one")
    if len(ema) != len(names):
        raise Refused(f"'ema' has {len(ema)} tensors, the model {len(names)} parameters")
    return dict(zip(names, ema)), updates


def read_adam(state_dict, names):
    """Moment prefix + name -> tensor, the count of steps, and the [train] values that the file knows."""
    hint = ". Hint: --no-optimizer leaves the optimizer out"
    if not isinstance(state_dict, dict) or not {"param_groups", "state"} <= set(state_dict):
        raise Refused(f"'optimizer' is no optimizer's state dict{hint}")
    groups, states = state_dict["param_groups"], state_dict["state"]
    order = [i for group in groups for i in group["params"]]
    if len(order) != len(names):
        raise Refused(f"'optimizer' has {len(order)} parameters, the model {len(names)}{hint}")
    if not states:
        return None
    out, steps = {}, set()
    for index, name in zip(order, names):
        state = states.get(index, {})
        if set(state) != {"step", *MOMENTS}:
            raise Refused(f"'optimizer' has {sorted(state)} of '{name}', expected Adam's exp_avg, exp_avg_sq, step{hint}")
        steps.add(count(state["step"], "step"))
        out |= {prefix + name: state[key] for key, prefix in MOMENTS.items()}
    if len(steps) != 1:
        raise Refused(f"'optimizer' made {min(steps)} to {max(steps)} steps, expected as many for every parameter{hint}")
    train = {"weight_decay": float(groups[0].get("weight_decay", 0)), "eps": float(groups[0].get("eps", 1e-8))}
    train["learning_rate"] = float(groups[0].get("initial_lr", groups[0]["lr"]))
    train["beta1"], train["beta2"] = map(float, groups[0]["betas"])
    return out, steps.pop(), train


def toml(value):
    if isinstance(value, (bool, str)):
        return str(value).lower() if isinstance(value, bool) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)  # numbers and lists of integers are written alike


def config_text(u, train, data, seed, step):
    """The published recipe with these networks and optimizer options; what is left out has the default that vapo help keys shows."""
    sections = {
        "data": {"set": data},
        "model": {"kind": "unet", "potential": "raw"},
        "unet": u,
        "path": {"kind": "linear"},
        "loss": {"estimator": "published", "weight": "one"},
        "train": {"steps": step, "batch_size": 64} | train | {"warmup_steps": 5000, "clip": "std", "ema_decay": 0.9999, "seed": seed},
        "energy": {"marginal_t": 0.9},
    }
    return "\n".join(f"[{s}]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in keys.items()) for s, keys in sections.items())


def own(x):
    return x.detach().clone(memory_format=torch.contiguous_format)


@contextlib.contextmanager
def placed(path):
    """A name to write to; the file gets its own name when it is whole."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.tmp-{os.getpid()}")
    try:
        with open(temporary, "wb"):  # tells what is wrong with the place before a library does
            pass
        yield temporary
        os.replace(temporary, path)
    except OSError as e:
        raise OSError(e.errno, e.strerror, path) from e
    except (RuntimeError, SafetensorError) as e:  # what the libraries make of a full disk
        raise OSError(f"cannot be written: {str(e).splitlines()[0]}") from e
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def load_pth(path):
    with open(path, "rb"):
        pass
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:  # whatever the unpickler meets in a foreign file
        reason = str(e).strip().splitlines() or [type(e).__name__]
        raise Refused(f"no PyTorch file that loads without running code of its own: {reason[0]}") from e
    if not isinstance(content, dict):
        raise Refused(f"holds a {type(content).__name__}, expected a dict")
    if all(isinstance(x, torch.Tensor) for x in content.values()):
        content = {"model": content}
    if not isinstance(content.get("model"), dict):
        raise Refused(f"has no state dict 'model'; it holds {', '.join(map(str, content)) or 'nothing'}")
    return content


def parse_toml(text, source):
    try:
        config = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise Refused(str(e), source) from e
    for section in ("model", "unet", "train"):
        if not isinstance(config.setdefault(section, {}), dict):
            raise Refused(f"{section} is no table", source)
    for key, default in UNET.items():
        if not isinstance(config["unet"].get(key, default), type(default)):
            raise Refused(f"unet.{key} = {config['unet'][key]!r} is of another type than {default!r}", source)
    return config


def unet_of(config):
    return {key: config["unet"].get(key, default) for key, default in UNET.items()}


def load_config(path):
    """Its text, its [unet], its seed."""
    with open(path, "rb") as file:
        text = file.read().decode(errors="replace")
    config = parse_toml(text, path)
    if config["model"].get("kind") != "unet" or config["model"].get("potential") != "raw":
        raise Refused('the published network needs model.kind = "unet" and model.potential = "raw"', path)
    return text, unet_of(config), config["train"].get("seed", 0)


def to_vapo(args):
    content = load_pth(args.input)
    model = without_prefixes(content["model"], ("module.", "model."))
    for name, x in model.items():
        if not isinstance(x, torch.Tensor):
            raise Refused(f"'model' has a {type(x).__name__} under '{name}', expected tensors")
    if args.config:
        text, u, seed = load_config(args.config)
    else:
        text, u, seed = None, infer_unet({name: x.shape for name, x in model.items()}), args.seed or 0
        u |= {key: getattr(args, key) for key in UNTOLD if getattr(args, key) is not None}
    expected = layout_of(u, model)
    check_layout(model, expected, "'model'")
    names, step = list(model), count(content.get("step", 0), "step")
    optimizer = content.get("optimizer") if not args.no_optimizer else None
    adam = read_adam(optimizer, names) if optimizer else None
    if text is None:
        text = config_text(u, TRAIN | (adam[2] if adam else {}), args.data, seed, step)

    out = {"param." + name: own(x) for name, x in model.items()}
    metadata = {"format": FORMAT, "step": str(step), "seed": str(seed), "config": text}
    if content.get("ema") is not None:
        ema, updates = read_ema(content["ema"], names)
        check_layout(ema, expected, "'ema'")
        out |= {"ema." + name: own(x) for name, x in ema.items()}
        metadata["ema_updates"] = str(step if updates is None else updates)
    if adam:
        for prefix in MOMENTS.values():
            check_layout({name: adam[0][prefix + name] for name in names}, expected, f"'optimizer' ({prefix[:-1]})")
        out |= {name: own(x) for name, x in adam[0].items()}
        metadata["optimizer_steps"] = str(adam[1])
    height, width = args.image_size if len(args.image_size) == 2 else args.image_size * 2
    out["extra.data.image_shape"] = torch.tensor([height, width, expected["out.2.bias"][0]])
    with placed(args.output) as path:
        save_file(out, path, metadata)
    report(args.output, model, "ema_updates" in metadata, bool(adam), step)


def to_torch(args):
    with open(args.input, "rb"):
        pass
    with safe_open(args.input, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    if metadata.get("format") != FORMAT:
        raise Refused(f"not a checkpoint of vapo: its metadata has no format '{FORMAT}'")

    def under(prefix):
        found = {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
        return without_prefixes(found, ("network.",))  # of the preconditioned potential

    model, ema = under("param."), under("ema.")
    if not ema and args.ema == "only":
        raise Refused("holds no averaged parameters. Hint: --ema none")
    step = count(metadata.get("step"), "step")
    if args.ema != "both":
        content = ema if args.ema == "only" else model
        with placed(args.output) as path:
            torch.save(content, path)
        return report(args.output, content, args.ema == "only", False, step)

    config = parse_toml(metadata.get("config", ""), f"{args.input} (its config)")
    if config["model"].get("kind") != "unet":
        raise Refused("of a network that is no U-Net only state dicts are written. Hint: --ema only or --ema none")
    expected = layout_of(unet_of(config), model)
    check_layout(model, expected, "the checkpoint")
    content = {"optimizer": None, "model": {name: model[name] for name in expected}, "ema": None, "step": step}
    if ema:
        check_layout(ema, expected, "the checkpoint's EMA")
        content["ema"] = [ema[name] for name in expected]
    train = TRAIN | config["train"]
    moments = [(under(prefix), key) for key, prefix in MOMENTS.items()]
    if train["optimizer"] in ("adam", "adamw") and all(m for m, _ in moments):
        for moment, key in moments:
            check_layout(moment, expected, f"the checkpoint's {key}")
        steps = torch.tensor(float(count(metadata.get("optimizer_steps"), "optimizer_steps")))
        parameters = {name: torch.nn.Parameter(model[name], requires_grad=False) for name in expected}
        adam = (torch.optim.Adam if train["optimizer"] == "adam" else torch.optim.AdamW)(
            parameters.values(), train["learning_rate"], (train["beta1"], train["beta2"]), train["eps"], train["weight_decay"])  # fmt: skip
        for name, p in parameters.items():
            adam.state[p] = {"step": steps} | {key: m[name] for m, key in moments}
        content["optimizer"] = adam.state_dict()
    with placed(args.output) as path:
        torch.save(content, path)
    report(args.output, model, bool(ema), content["optimizer"] is not None, step)


def report(path, model, ema, optimizer, step):
    parameters = sum(x.numel() for x in model.values())
    print(f"{path}: {parameters} parameters in {len(model)} tensors, {'' if ema else 'no '}EMA, {'' if optimizer else 'no '}optimizer, step {step}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    vapo = commands.add_parser("to-vapo", help="a .pth file of the published code to a checkpoint of vapo")
    vapo.add_argument("input", metavar="CKPT.pth")
    vapo.add_argument("output", metavar="OUT.safetensors")
    vapo.add_argument("--config", metavar="FILE.toml", help="the config of the result, instead of what is read off the file")
    vapo.add_argument("--heads", type=int, help="of attention (default: 1)")
    vapo.add_argument("--head-width", type=int, help="heads of that width instead")
    vapo.add_argument("--dropout", type=float, help="default: 0.3")
    vapo.add_argument("--new-attention-order", action="store_true", default=None)
    vapo.add_argument("--groups", type=int, help="of every norm (default: 32)")
    vapo.add_argument("--seed", type=int, help="of a run that goes on from here (default: 0)")
    vapo.add_argument("--data", default="cifar10", help="data.set (default: cifar10)")
    vapo.add_argument("--image-size", type=int, nargs="+", default=[32], metavar="N", help="one number, or height and width (default: 32)")
    vapo.add_argument("--no-optimizer", action="store_true", help="leave the optimizer's state out")
    vapo.set_defaults(run=to_vapo)
    pth = commands.add_parser("to-torch", help="a checkpoint of vapo to a .pth file")
    pth.add_argument("input", metavar="CKPT.safetensors")
    pth.add_argument("output", metavar="OUT.pth")
    pth.add_argument("--ema", choices=["both", "only", "none"], default="both",
                     help="both: a dict as the published code writes it; only, none: the state dict of the averages, of the parameters")  # fmt: skip
    pth.set_defaults(run=to_torch)
    args = parser.parse_args(arguments)
    if args.command == "to-vapo":
        if args.config and any(getattr(args, key) is not None for key in (*UNTOLD, "seed")):
            parser.error("--config says all that the network's options and --seed say: give one or the other")
        if len(args.image_size) > 2:
            parser.error("--image-size takes one or two numbers")
    try:
        args.run(args)
    except (Refused, SafetensorError) as e:
        print(f"{getattr(e, 'file', None) or args.input}: {e}", file=sys.stderr)
        return 3
    except OSError as e:
        print(f"{e.filename or args.output}: {e.strerror or e}", file=sys.stderr)
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
