"""One golden case: expected outputs, gradients and double-backward gradients, and the file they go into.

A case is named `op__variant`; that name seeds its random numbers, so adding a case changes no other file.
"""

import json
import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
import torch

NUMPY = {torch.float64: ("F64", "<f8"), torch.float32: ("F32", "<f4"), torch.int64: ("I64", "<i8")}
TOLERANCE = {torch.float64: (1e-10, 1e-12), torch.float32: (2e-5, 1e-6)}


@dataclass
class Case:
    op: str
    variant: str
    attrs: dict
    inputs: dict  # "in.x" or "param.layers.0.weight" -> f64 or int64 tensor
    wrt: list = None  # names to differentiate; None: every floating input, [] : outputs only
    ggcot: list = None  # names whose gradient gets a second cotangent; None: all of wrt
    scalar: str = None  # differentiate this output alone, with cotangent 1 and no double backward
    dtype: torch.dtype = torch.float64
    finite: bool = True  # False: results may be NaN or infinite; differentiated once
    rtol: float = None
    atol: float = None
    expected: dict = field(default_factory=dict)

    @property
    def name(self):
        return f"{self.op}__{self.variant}"


def rng(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def zeros_for_unused(total, wrt, create_graph):
    """Gradients of a scalar; an input that it does not depend on gets zeros where torch gives None."""
    return torch.autograd.grad(total, wrt, create_graph=create_graph, materialize_grads=True)


def gradient_name(name):
    return "grad." + name.removeprefix("in.")  # in.x -> grad.x, param.w -> grad.param.w


def rounded(tensor, dtype):
    """What a file of this dtype can hold, as f64: f32 cases are computed in f64 from f32 numbers."""
    return tensor.to(dtype).double() if tensor.is_floating_point() else tensor


def differentiate(case, forward):
    """Fills case.expected from forward(op, attrs, inputs) -> {"out.y": tensor}."""
    draw = rng(case.name + " cotangents")

    def random_like(t):
        return rounded(torch.tensor(draw.standard_normal(tuple(t.shape))), case.dtype).requires_grad_()

    inputs = {k: rounded(v.detach(), case.dtype) for k, v in case.inputs.items()}
    case.inputs = inputs
    names = case.wrt if case.wrt is not None else [k for k, v in inputs.items() if v.is_floating_point()]
    for k in names:
        inputs[k] = inputs[k].clone().requires_grad_()
    outputs = forward(case.op, case.attrs, inputs)
    case.expected = dict(outputs)
    if not names:
        return case
    wrt = [inputs[k] for k in names]
    if case.scalar:
        grads = zeros_for_unused(outputs[case.scalar], wrt, False)
        case.expected |= {gradient_name(k): g for k, g in zip(names, grads)}
        return case

    cots = {k.replace("out.", "cot.", 1): random_like(v) for k, v in outputs.items()}
    total = sum((c * o).sum() for c, o in zip(cots.values(), outputs.values()))
    grads = dict(zip(names, zeros_for_unused(total, wrt, True)))
    case.expected |= cots | {gradient_name(k): g for k, g in grads.items()}

    if not case.finite:
        return case
    ggcots = {k: random_like(grads[k]) for k in (names if case.ggcot is None else case.ggcot)}
    total = sum((u * grads[k]).sum() for k, u in ggcots.items())
    second = zeros_for_unused(total, wrt + list(cots.values()), False)
    case.expected |= {"gg" + gradient_name(k).replace("grad.", "cot.", 1): u for k, u in ggcots.items()}
    case.expected |= {"g" + gradient_name(k): s for k, s in zip(names + list(cots), second)}
    return case


def write(case, folder):
    """Writes folder/op__variant.safetensors: same case, same bytes (the library orders metadata at random)."""
    rtol, atol = TOLERANCE[case.dtype]
    tensors = {k: v.detach() for k, v in (case.inputs | case.expected).items()}
    tensors = {k: v.to(case.dtype) if v.is_floating_point() else v for k, v in tensors.items()}
    for k, v in tensors.items():
        assert not case.finite or torch.isfinite(v).all(), f"{case.name}: {k} is not finite"
    metadata = {
        "op": case.op,
        "attrs": json.dumps(case.attrs, sort_keys=True),
        "rtol": repr(case.rtol or rtol),
        "atol": repr(case.atol or atol),
    }
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for k in sorted(tensors, key=lambda k: (-tensors[k].element_size(), k)):  # widest first keeps all aligned
        name, code = NUMPY[tensors[k].dtype]
        blobs.append(tensors[k].contiguous().numpy(force=True).astype(code).tobytes())
        end = offset + len(blobs[-1])
        header[k] = {"dtype": name, "shape": list(tensors[k].shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (folder / f"{case.name}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))
