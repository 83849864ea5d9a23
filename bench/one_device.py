"""What the contestants in PyTorch share: the device they compute on, and a check that needs no GPU. `--check` takes two
steps that are not timed and stops at an operation on tensors of several devices, or at a fused optimizer whose gradients
are not laid out as its weights: PyTorch's own `meta` device, which computes nothing, stands for a GPU."""

import json

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import serve


def add_options(parser):
    parser.add_argument("--device", default="cpu", help="cpu, cuda; with --check also meta")
    parser.add_argument("--check", action="store_true", help="two steps, no times: is everything on the device?")
    parser.add_argument("--tf32", action="store_true", help="TF32 products and convolutions")
    return parser


class OneDevice(TorchDispatchMode):
    COPIES = {"aten::_to_copy", "aten::copy_"}

    def __init__(self, device):
        super().__init__()
        self.device, self.results = torch.device(device).type, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        if name in ("aten::_local_scalar_dense", "aten::item") and tensors[0].device.type == self.device:
            self.results += 1
            if self.device == "meta":
                return 0.5
        # a number on the CPU goes along with the tensors of any device
        devices = {x.device.type for x in tensors if x.dim() > 0 or x.device.type != "cpu"}
        assert len(devices) < 2 or name in self.COPIES, f"{name} of tensors on {' and '.join(sorted(devices))}"
        if name.startswith("aten::_fused_adam"):
            for w, g in zip(args[0], args[1]):
                assert (w.stride(), w.dtype) == (g.stride(), g.dtype), (
                    f"a gradient of {g.dtype}, strides {g.stride()}, for a weight of {w.dtype}, strides {w.stride()}"
                )
        return function(*args, **(kwargs or {}))


def compiled(function, arguments):
    return function if arguments.check else torch.compile(function)


def autocast(arguments):
    """bf16 where it is asked for; meta, which has none, is left in f32."""
    device = "cpu" if arguments.device == "meta" else arguments.device
    return torch.autocast(device, torch.bfloat16, enabled=arguments.bf16)


def recorded(step, arguments):
    """The step as a CUDA graph, after it ran three times; it must return the same tensor."""
    if arguments.check:
        return step
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()

    def replay():
        graph.replay()
        return result

    return replay


def adam(weights, rate, device, **options):
    return torch.optim.Adam(weights, lr=rate, fused=torch.device(device).type != "meta", **options)


def set_gradients(weights, gradients):
    """As fused optimizers want them: of the weight's dtype and layout."""
    for w, g in zip(weights, gradients):
        g = g.detach()
        w.grad = g if (g.dtype, g.stride()) == (w.dtype, w.stride()) else torch.empty_like(w).copy_(g)


def prepare(arguments):
    torch.set_num_threads(arguments.threads)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = arguments.tf32


def check(device, make):
    with OneDevice(device) as mode:
        step = make()
        step(), step()
    assert mode.results >= 2, f"the results of two steps are not on {device}"
    print(json.dumps({"checked": device}))


def main(arguments, make):
    """make() gives the step; it is checked, or timed as serve.main does."""
    prepare(arguments)
    if arguments.check:
        return check(arguments.device, make)
    if torch.device(arguments.device).type != "cuda":
        return serve.main(arguments, make())
    serve.main(arguments, make(), torch.cuda.max_memory_allocated)
