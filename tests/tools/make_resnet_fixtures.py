"""Float64 traces of three tiny residual networks, from PyTorch: forward pass at inference, and a training step.

    python make_resnet_fixtures.py [--check]

Writes tests/fixtures/resnet_{basic,bottleneck,wide}.safetensors: `param.*` (timm's names), `input.images`, `out.*` at inference, and of
one training step on `train.labels` (batch statistics) `train.logits`, `train.loss`, `train.grad.*` and `train.running.*` (the running
statistics behind it). `--check` holds the network here against timm's and torchvision's ResNet-18 and -50 with the same weights.
Needs torch and safetensors, for --check timm and torchvision.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

EPSILON, MOMENTUM = 1e-5, 0.1
NETWORKS = {
    "basic": dict(block="basic", stem="large", blocks=[1, 2, 1], strides=[1, 2, 2], width=8, image_size=[48, 32], classes=7),
    "bottleneck": dict(block="bottleneck", stem="large", blocks=[2, 2, 1], strides=[1, 2, 1], width=4, image_size=[40, 24], classes=5),
    "wide": dict(block="wide", stem="small", blocks=[1, 2, 1], strides=[1, 2, 2], width=6, image_size=[16, 12], classes=6),
}


class Network:
    """Walks the blocks once; `get` gives a parameter of a name and shape."""

    def __init__(self, config, get, training=False):
        self.config, self.get, self.training, self.running = config, get, training, {}

    def conv(self, x, name, outputs, side, stride=1):
        weight = self.get(f"{name}.weight", (outputs, x.shape[1], side, side))
        return F.conv2d(x, weight, stride=stride, padding=side // 2)

    def norm(self, x, name):
        parts = [self.get(f"{name}.{part}", (x.shape[1],)) for part in ("weight", "bias", "running_mean", "running_var")]
        gamma, beta, mean, variance = parts
        if self.training:
            # F.batch_norm moves these in place.
            mean, variance = mean.detach().clone(), variance.detach().clone()
            self.running[f"{name}.running_mean"], self.running[f"{name}.running_var"] = mean, variance
        return F.batch_norm(x, mean, variance, gamma, beta, self.training, MOMENTUM, EPSILON)

    def block(self, x, name, inside, outputs, stride):
        kind = self.config["block"]
        other = x.shape[1] != outputs or stride != 1
        if kind == "wide":
            before = F.relu(self.norm(x, f"{name}.bn1"))
            y = self.conv(before, f"{name}.conv1", outputs, 3, stride)
            y = self.conv(F.relu(self.norm(y, f"{name}.bn2")), f"{name}.conv2", outputs, 3)
            return y + (self.conv(before, f"{name}.downsample.0", outputs, 1, stride) if other else x)
        if kind == "basic":
            y = F.relu(self.norm(self.conv(x, f"{name}.conv1", outputs, 3, stride), f"{name}.bn1"))
            y = self.norm(self.conv(y, f"{name}.conv2", outputs, 3), f"{name}.bn2")
        else:
            y = F.relu(self.norm(self.conv(x, f"{name}.conv1", inside, 1), f"{name}.bn1"))
            y = F.relu(self.norm(self.conv(y, f"{name}.conv2", inside, 3, stride), f"{name}.bn2"))
            y = self.norm(self.conv(y, f"{name}.conv3", outputs, 1), f"{name}.bn3")
        if other:
            x = self.norm(self.conv(x, f"{name}.downsample.0", outputs, 1, stride), f"{name}.downsample.1")
        return F.relu(y + x)

    def forward(self, x):
        config, out = self.config, {}
        if config["stem"] == "large":
            x = F.relu(self.norm(self.conv(x, "conv1", config["width"], 7, 2), "bn1"))
            x = F.max_pool2d(x, 3, 2, 1)
        else:
            x = self.conv(x, "conv1", 16, 3)
        for stage, (blocks, stride) in enumerate(zip(config["blocks"], config["strides"])):
            inside = config["width"] << stage
            outputs = inside * (4 if config["block"] == "bottleneck" else 1)
            for index in range(blocks):
                x = self.block(x, f"layer{stage + 1}.{index}", inside, outputs, stride if index == 0 else 1)
            out[f"out.stage.{stage}"] = x.flatten(2).transpose(1, 2)
        if config["block"] == "wide":
            x = F.relu(self.norm(x, "norm"))
        feature = x.mean((2, 3))
        weight = self.get("head.weight", (config["classes"], x.shape[1]))
        logits = feature @ weight.T + self.get("head.bias", (config["classes"],))
        # The class activation map of the most probable class, in the place of rollout.
        activation = torch.einsum("bcp,bc->bp", x.flatten(2), weight[logits.argmax(1)]).clamp_min(0)
        activation = activation / activation.sum(1, keepdim=True).clamp_min(1e-300)
        out["out.rollout"] = F.pad(activation, (1, 0))
        out["out.feature.sa"], out["out.logits.sa"], out["out.probability"] = feature, logits, logits.softmax(1)
        return out


def random_parameter(name, shape):
    """Numbers that f32 holds exactly, as wide as keeps activations about as large as they were."""
    last = name.rsplit(".", 1)[-1]
    if len(shape) > 1:
        inputs = shape[1] * (shape[2] * shape[3] if len(shape) == 4 else 1)
        values = torch.randn(shape) * (1.4 / inputs**0.5 if len(shape) == 4 else 2 / inputs**0.5)
    elif last == "running_var" or last == "weight":
        values = 0.5 + torch.rand(shape)
    else:
        values = 0.3 * torch.randn(shape)
    return values.float().double()


def trace(config):
    parameters = {}

    def get(name, shape):
        if name not in parameters:
            parameters[name] = random_parameter(name, shape)
        assert parameters[name].shape == shape, name
        return parameters[name]

    images = torch.randn(2, 3, *config["image_size"]).float().double()
    tensors = {"input.images": images} | Network(config, get).forward(images)
    labels = torch.tensor([1, config["classes"] - 1])
    learned = {name: tensor.requires_grad_() for name, tensor in parameters.items() if "running_" not in name}
    network = Network(config, get, training=True)
    logits = network.forward(images)["out.logits.sa"]
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    tensors |= {f"param.{name}": tensor for name, tensor in parameters.items()}
    tensors |= {"train.logits": logits, "train.loss": loss.reshape(1)}
    tensors |= {f"train.grad.{name}": tensor.grad for name, tensor in learned.items()}
    tensors |= {f"train.running.{name}": tensor for name, tensor in network.running.items()}
    tensors = {name: tensor.detach().float().contiguous().clone() for name, tensor in tensors.items()}
    return tensors | {"train.labels": labels.int()}


def check():
    import timm
    import torchvision

    for name, block, blocks in [("resnet18", "basic", [2, 2, 2, 2]), ("resnet50", "bottleneck", [3, 4, 6, 3])]:
        config = dict(block=block, stem="large", blocks=blocks, strides=[1, 2, 2, 2], width=64, classes=1000)
        for source, theirs in [("timm", timm.create_model(name)), ("torchvision", torchvision.models.get_model(name))]:
            theirs = theirs.double().eval()
            state = {key: random_parameter(key, tuple(value.shape)) for key, value in theirs.state_dict().items() if value.ndim}
            theirs.load_state_dict(state, strict=False)
            ours = Network(config, lambda key, shape: state[key.replace("head.", "fc.")])
            images = torch.randn(2, 3, 64, 96).double()
            with torch.no_grad():
                truth, found = theirs(images), ours.forward(images)["out.logits.sa"]
            error = ((found - truth).norm() / truth.norm()).item()
            print(f"{source} {name}: {error:.1e}")
            assert error < 1e-12


if __name__ == "__main__":
    torch.manual_seed(2026)
    if "--check" in sys.argv:
        check()
    else:
        for kind, config in NETWORKS.items():
            path = Path(__file__).parents[1] / f"fixtures/resnet_{kind}.safetensors"
            resnet = {key: config[key] for key in ("block", "stem", "blocks", "strides", "width")}
            text = json.dumps({"image_size": config["image_size"], "resnet": resnet})
            save_file(trace(config), path, metadata={"config": text})
            print(path.name, path.stat().st_size)
