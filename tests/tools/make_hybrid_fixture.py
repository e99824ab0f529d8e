"""A float64 trace of DCAL on a tiny hybrid transformer (convolutions before its patches), from PyTorch: forward pass, losses, gradients.

    python make_hybrid_fixture.py [--check]

Writes tests/fixtures/dcal_hybrid.safetensors: `param.*` (timm's names), `input.*`, `out.*` and `grad.*`, named as in dcal_small. `--check`
holds the network here against timm's vit_base_r50_s16_224 with the same weights, and its DCAL against tests/fixtures/dcal_small and
dcal_odd, which another program computed. Needs torch and safetensors, for --check timm.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional as F

FIXTURES = Path(__file__).parents[1] / "fixtures"
CONFIG = dict(image_size=56, patch_size=8, dim=24, depth=2, heads=3, classes=5, ratio=0.1, mlp_ratio=2, layer_norm_eps=1e-6,
              hybrid=dict(blocks=[2, 1], width=8, groups=4))


class Network:
    """Walks the network once; `get` gives a parameter of a name and shape."""

    def __init__(self, config, get):
        self.config, self.get = config, get

    # The convolutions.

    def conv(self, x, name, outputs, side, stride=1):
        weight = self.get(f"{name}.weight", (outputs, x.shape[1], side, side))
        flat = weight.flatten(1)
        flat = (flat - flat.mean(1, keepdim=True)) / (flat.var(1, unbiased=False, keepdim=True) + 1e-8).sqrt()
        return F.conv2d(same(x, side, stride), flat.reshape(weight.shape), stride=stride)

    def group_norm(self, x, name):
        groups = self.config["hybrid"]["groups"]
        return F.group_norm(x, groups, *[self.get(f"{name}.{part}", (x.shape[1],)) for part in ("weight", "bias")], 1e-5)

    def bottleneck(self, x, name, inside, outputs, stride):
        y = F.relu(self.group_norm(self.conv(x, f"{name}.conv1", inside, 1), f"{name}.norm1"))
        y = F.relu(self.group_norm(self.conv(y, f"{name}.conv2", inside, 3, stride), f"{name}.norm2"))
        y = self.group_norm(self.conv(y, f"{name}.conv3", outputs, 1), f"{name}.norm3")
        if x.shape[1] != outputs or stride != 1:
            x = self.group_norm(self.conv(x, f"{name}.downsample.conv", outputs, 1, stride), f"{name}.downsample.norm")
        return F.relu(y + x)

    def convolutions(self, x):
        hybrid, at = self.config["hybrid"], "patch_embed.backbone"
        x = F.relu(self.group_norm(self.conv(x, f"{at}.stem.conv", hybrid["width"], 7, 2), f"{at}.stem.norm"))
        x = F.max_pool2d(same(x, 3, 2, float("-inf")), 3, 2)
        for stage, blocks in enumerate(hybrid["blocks"]):
            inside = hybrid["width"] << stage
            for index in range(blocks):
                stride = 2 if stage > 0 and index == 0 else 1
                x = self.bottleneck(x, f"{at}.stages.{stage}.blocks.{index}", inside, 4 * inside, stride)
        return x

    # The transformer.

    def linear(self, x, name, outputs):
        return x @ self.get(f"{name}.weight", (outputs, x.shape[-1])).T + self.get(f"{name}.bias", (outputs,))

    def norm(self, x, name):
        weight, bias = [self.get(f"{name}.{part}", (x.shape[-1],)) for part in ("weight", "bias")]
        return F.layer_norm(x, (x.shape[-1],), weight, bias, self.config["layer_norm_eps"])

    def heads(self, x):
        return x.unflatten(-1, (self.config["heads"], -1)).transpose(1, 2)

    def qkv(self, x, name):
        return [self.heads(part) for part in self.linear(self.norm(x, f"{name}.norm1"), f"{name}.attn.qkv", 3 * x.shape[-1]).chunk(3, -1)]

    def block(self, x, name, queries, keys, values):
        """The rest of a block: the queries' tokens `x`, the map of every head."""
        attention = (queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5).softmax(-1)
        mixed = (attention @ values).transpose(1, 2).flatten(2)
        x = x + self.linear(mixed, f"{name}.attn.proj", x.shape[-1])
        hidden = F.gelu(self.linear(self.norm(x, f"{name}.norm2"), f"{name}.mlp.fc1", self.config["mlp_ratio"] * x.shape[-1]))
        return x + self.linear(hidden, f"{name}.mlp.fc2", x.shape[-1]), attention

    def embed(self, images):
        config = self.config
        dim, patch = config["dim"], config["patch_size"]
        if "hybrid" in config:
            images, patch = self.convolutions(images), 1
        weight = self.get("patch_embed.proj.weight", (dim, images.shape[1], patch, patch))
        x = F.conv2d(images, weight, self.get("patch_embed.proj.bias", (dim,)), patch).flatten(2).transpose(1, 2)
        x = torch.cat([self.get("cls_token", (1, 1, dim)).expand(len(x), 1, dim), x], 1)
        return x + self.get("pos_embed", (1, x.shape[1], dim))

    def classify(self, x, norm, head):
        feature = self.norm(x[:, 0], norm)
        return feature, self.linear(feature, head, self.config["classes"])

    def dcal(self, images, labels, partners):
        config, out = self.config, {}
        x = out["out.embed"] = self.embed(images)
        pairs = x
        maps = []
        for index in range(config["depth"]):
            x, attention = self.block(x, f"blocks.{index}", *self.qkv(x, f"blocks.{index}"))
            maps.append(attention.mean(1))
            out[f"out.block.{index}"], out[f"out.attn_mean.{index}"] = x, maps[-1]
        rollout = torch.zeros_like(maps[0][:, 0])
        rollout[:, 0] = 1
        for attention in reversed(maps):
            rollout = 0.5 * rollout + 0.5 * torch.einsum("bi,bij->bj", rollout, attention.detach())
        out["out.rollout"] = rollout
        count = max(1, int(config["ratio"] * (x.shape[1] - 1)))
        selected = rollout[:, 1:].argsort(dim=1, descending=True, stable=True)[:, :count] + 1
        rows = torch.cat([torch.zeros_like(selected[:, :1]), selected], 1)
        queries, keys, values = self.qkv(x, "glca")
        pick = lambda x: x.gather(-2, rows.view(*[len(rows), *[1] * (x.ndim - 3), -1, 1]).expand(*x.shape[:-2], -1, x.shape[-1]))
        tokens, attention = self.block(pick(x), "glca", pick(queries), keys, values)
        out["out.glca.attn"], out["out.glca.tokens"] = attention, tokens
        # PWCA: keys and values of the partner's own stream beside the own ones.
        for index in range(config["depth"]):
            queries, keys, values = self.qkv(pairs, f"blocks.{index}")
            both = [torch.cat([part, part[partners]], 2) for part in (keys, values)]
            pairs, _ = self.block(pairs, f"blocks.{index}", queries, *both)
        out["out.feature.sa"], sa = self.classify(x, "norm", "head")
        out["out.feature.glca"], glca = self.classify(tokens, "glca_norm", "glca_head")
        _, pwca = self.classify(pairs, "norm", "head")
        out["out.logits.sa"], out["out.logits.glca"], out["out.logits.pwca"] = sa, glca, pwca
        out["out.probability"] = (sa.softmax(1) + glca.softmax(1)) / 2
        parts = torch.stack([F.cross_entropy(logits, labels) for logits in (sa, glca, pwca)])
        w = self.get("loss_log_var", (3,))
        out["out.loss.parts"], out["out.loss.total"] = parts, (((-w).exp() * parts + w) / 2).sum().reshape(1)
        return out, selected


def same(x, side, stride, value=0.0):
    """TensorFlow's SAME padding."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + side - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


def random_parameter(name, shape):
    """Numbers that f32 holds exactly, as wide as keeps activations about as large as they were."""
    if name in ("cls_token", "pos_embed") or len(shape) == 1:
        gain = name.rsplit(".", 1)[-1] == "weight"
        values = (0.5 + torch.rand(shape)) if gain else 0.3 * torch.randn(shape)
    else:
        values = torch.randn(shape) * 1.3 / (shape[1] * (shape[2] * shape[3] if len(shape) == 4 else 1)) ** 0.5
    return values.float().double()


def trace(config):
    parameters = {}

    def get(name, shape):
        if name not in parameters:
            parameters[name] = random_parameter(name, shape).requires_grad_()
        assert parameters[name].shape == shape, name
        return parameters[name]

    images = torch.randn(3, 3, config["image_size"], config["image_size"]).float().double()
    labels, partners = torch.tensor([1, 4, 0]), torch.tensor([2, 0, 1])
    out, selected = Network(config, get).dcal(images, labels, partners)
    out["out.loss.total"].backward()
    tensors = {"input.images": images} | out
    tensors |= {f"param.{name}": tensor for name, tensor in parameters.items()}
    tensors |= {f"grad.{name}": tensor.grad for name, tensor in parameters.items()}
    tensors = {name: tensor.detach().float().contiguous().clone() for name, tensor in tensors.items()}
    return tensors | {"input.labels": labels.int(), "input.perm": partners.int(), "out.selected": selected.int()}


def off(found, truth):
    return ((found - truth).norm() / truth.norm()).item()


def check():
    import timm

    theirs = timm.create_model("vit_base_r50_s16_224", num_classes=10).double().eval()
    state = {name: random_parameter(name, tuple(tensor.shape)) for name, tensor in theirs.state_dict().items()}
    theirs.load_state_dict(state)
    config = dict(image_size=224, patch_size=16, dim=768, depth=12, heads=12, classes=10, ratio=0.1, mlp_ratio=4, layer_norm_eps=1e-6,
                  hybrid=dict(blocks=[3, 4, 9], width=64, groups=32))
    with torch.no_grad():
        images = torch.randn(1, 3, 224, 224).double()
        ours = Network(config, lambda name, shape: state[name])
        x = ours.embed(images)
        for index in range(12):
            x, _ = ours.block(x, f"blocks.{index}", *ours.qkv(x, f"blocks.{index}"))
        error = off(ours.classify(x, "norm", "head")[1], theirs(images))
    print(f"timm vit_base_r50_s16_224: {error:.1e}")
    assert error < 1e-12
    for name in ("dcal_small", "dcal_odd"):
        with safe_open(FIXTURES / f"{name}.safetensors", "pt") as file:
            config, tensors = json.loads(file.metadata()["config"]), {key: file.get_tensor(key) for key in file.keys()}
        get = lambda name, shape: tensors[f"param.{name}"].double()
        labels, partners = [tensors[f"input.{key}"].long() for key in ("labels", "perm")]
        out, selected = Network(config, get).dcal(tensors["input.images"].double(), labels, partners)
        errors = {key: off(value, tensors[key].double()) for key, value in out.items()}
        worst = max(errors, key=errors.get)
        print(f"{name}: {worst} {errors[worst]:.1e}")
        assert errors[worst] < 1e-6 and (selected == tensors["out.selected"]).all()
        assert set(out) | {"out.selected"} == {key for key in tensors if key.startswith("out.")}


if __name__ == "__main__":
    torch.manual_seed(2026)
    if "--check" in sys.argv:
        check()
    else:
        path = FIXTURES / "dcal_hybrid.safetensors"
        save_file(trace(CONFIG), path, metadata={"config": json.dumps(CONFIG)})
        print(path.name, path.stat().st_size)
