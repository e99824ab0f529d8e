"""The backbone of a network with its classifier as ONNX, for ONNX Runtime: no rollout and no second look, which it has no operator
for. A ViT, or with the word resnet-50 that one (He et al., CVPR 2016; the stride in the 3x3 convolution).

    python export_onnx.py OUT.onnx [SIDE] [WIDTH] [DEPTH] [HEADS]
    python export_onnx.py OUT.onnx SIDE resnet-50

Random weights: speed does not depend on them. Needs torch, onnx and onnxscript.
"""

import sys

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        batch, tokens, dim = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        x = x + self.proj(mixed.transpose(1, 2).reshape(batch, tokens, dim))
        return x + self.mlp(self.norm2(x))


class Vit(nn.Module):
    def __init__(self, side, dim, depth, heads, classes=100, patch=16):
        super().__init__()
        tokens = (side // patch) ** 2 + 1
        self.embed = nn.Conv2d(3, dim, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.position = nn.Parameter(torch.randn(1, tokens, dim) * 0.02)
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)

    def forward(self, images):
        x = self.embed(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0]).softmax(-1)


def convolution(inputs, outputs, side, stride=1):
    layer = nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class Bottleneck(nn.Module):
    def __init__(self, inputs, inside, stride):
        super().__init__()
        outputs = 4 * inside
        self.layers = nn.Sequential(
            convolution(inputs, inside, 1), nn.ReLU(), convolution(inside, inside, 3, stride), nn.ReLU(),
            convolution(inside, outputs, 1),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else convolution(inputs, outputs, 1, stride)

    def forward(self, x):
        return F.relu(self.shortcut(x) + self.layers(x))


class ResNet50(nn.Module):
    def __init__(self, classes=100):
        super().__init__()
        layers = [convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        inputs = 64
        for stage, blocks in enumerate([3, 4, 6, 3]):
            for block in range(blocks):
                layers.append(Bottleneck(inputs, 64 << stage, 2 if block == 0 and stage > 0 else 1))
                inputs = 256 << stage
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, classes)

    def forward(self, images):
        return self.head(self.layers(images).mean((2, 3))).softmax(-1)


def main():
    out = sys.argv[1]
    torch.manual_seed(1)
    if sys.argv[3:] == ["resnet-50"]:
        side, network = int(sys.argv[2]), ResNet50()
    else:
        side, dim, depth, heads = [int(value) for value in sys.argv[2:]] or [224, 192, 12, 3]
        network = Vit(side, dim, depth, heads)
    network.eval()
    torch.onnx.export(
        network, (torch.randn(1, 3, side, side),), out, input_names=["images"], output_names=["probability"],
        dynamo=True, external_data=False,
    )


if __name__ == "__main__":
    main()
