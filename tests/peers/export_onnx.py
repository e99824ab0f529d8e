"""The backbone of a ViT with its classifier as ONNX, for ONNX Runtime: no rollout and no second look, which it has no operator for.

    python export_onnx.py OUT.onnx [SIDE] [WIDTH] [DEPTH] [HEADS]

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


def main():
    out = sys.argv[1]
    side, dim, depth, heads = [int(value) for value in sys.argv[2:]] or [224, 192, 12, 3]
    torch.manual_seed(1)
    network = Vit(side, dim, depth, heads).eval()
    torch.onnx.export(
        network, (torch.randn(1, 3, side, side),), out, input_names=["images"], output_names=["probability"],
        dynamo=True, external_data=False,
    )


if __name__ == "__main__":
    main()
