"""Features and logits of 299×299 images by the Inception network of FID in PyTorch: as its port has it (convolution, norm, relu), or
with the norms folded; channels first or last; eager or compiled. The network is that of tests/golden/inception.py."""

import pathlib
import sys

import torch
import torch.nn.functional as F

import one_device
import serve

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/golden"))
import inception  # noqa: E402

parser = one_device.add_options(serve.parser())
parser.add_argument("--folded", action="store_true")
parser.add_argument("--channels-last", action="store_true")
parser.add_argument("--mode", choices=["eager", "compiled"], default="eager")
parser.set_defaults(batch=32)


class Step:
    def __init__(self, args):
        torch.manual_seed(0)
        layout = torch.channels_last if args.channels_last else torch.contiguous_format
        self.images = torch.randn(args.batch, 3, 299, 299).to(args.device, memory_format=layout)
        self.head = torch.randn(1008, 2048).to(args.device) / 45
        self.weights, self.norms = {}, {}
        for name, i, o, (h, w) in inception.convolutions():
            self.weights[name + ".conv.weight"] = (torch.randn(o, i, h, w) * (2 / (i * h * w)) ** 0.5).to(args.device, memory_format=layout)
            self.weights[name + ".conv.bias"] = torch.zeros(o, device=args.device)
            self.norms[name] = [torch.full((o,), v, device=args.device) for v in (0.0, 1.0, 1.0, 0.0)]
        convolve = inception.folded(self.weights) if args.folded else self.with_norm
        self.network = lambda x: inception.forward(x, convolve, self.head)
        if args.mode == "compiled":
            self.network = one_device.compiled(self.network, args)

    def with_norm(self, name, x, stride, padding):
        return F.batch_norm(F.conv2d(x, self.weights[name + ".conv.weight"], None, stride, padding), *self.norms[name], eps=1e-3)

    def __call__(self):
        with torch.inference_mode():
            return self.network(self.images)[1].flatten()[0].item()


if __name__ == "__main__":
    arguments = parser.parse_args()
    one_device.main(arguments, lambda: Step(arguments))
