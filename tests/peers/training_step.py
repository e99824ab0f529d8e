"""Milliseconds of a training step (forward, backward) of a ViT with DCAL in PyTorch: on the CPU on one thread, or on CUDA.

The twin of `finegrain bench-training`: the same network, batch and loss, the same line of JSON.

    python training_step.py [SIDE] [BATCH] [none|glca|dcal] [cpu|cuda] [f32|tf32|bf16]
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head attention; `fused` uses PyTorch's own kernel, which keeps no map and so allows no rollout."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def split(self, x):
        batch, tokens, dim = x.shape
        return x.view(batch, tokens, self.heads, dim // self.heads).transpose(1, 2)

    def attend(self, q, k, v, want_map):
        if want_map:
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
            weights = scores.softmax(-1)
            mixed = weights @ v
        else:
            weights, mixed = None, F.scaled_dot_product_attention(q, k, v)
        batch, _, count, _ = mixed.shape
        return self.proj(mixed.transpose(1, 2).reshape(batch, count, -1)), weights


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def feed_forward(self, x):
        return x + self.mlp(self.norm2(x))

    def forward(self, x, want_map):
        q, k, v = (self.attn.split(t) for t in self.attn.qkv(self.norm1(x)).chunk(3, -1))
        mixed, weights = self.attn.attend(q, k, v, want_map)
        return self.feed_forward(x + mixed), weights


class Network(nn.Module):
    """ViT-Tiny/16 with a GLCA branch and the PWCA stream."""

    def __init__(self, side, classes=100, dim=192, heads=3, depth=12):
        super().__init__()
        self.patches = (side // 16) ** 2
        self.embed = nn.Conv2d(3, dim, 16, 16)
        self.cls = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos = nn.Parameter(torch.randn(1, self.patches + 1, dim) * 0.02)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(dim, eps=1e-6), nn.Linear(dim, classes)
        self.local = Block(dim, heads)
        self.local_norm, self.local_head = nn.LayerNorm(dim, eps=1e-6), nn.Linear(dim, classes)
        self.log_var = nn.Parameter(torch.zeros(3))

    def tokens(self, images):
        x = self.embed(images).flatten(2).transpose(1, 2)
        return torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos

    def forward(self, images, partners, mechanism):
        want_map = mechanism != "none"
        embedded = x = self.tokens(images)
        maps = []
        for block in self.blocks:
            x, weights = block(x, want_map)
            if want_map:
                maps.append(weights.detach().mean(1))
        logits = [self.head(self.norm(x[:, :1]).squeeze(1))]
        if mechanism == "none":
            return logits
        row = torch.zeros(len(x), 1, x.shape[1])
        row[:, :, 0] = 1.0
        for weights in reversed(maps):
            row = (row + row @ weights) * 0.5
        count = max(1, int(0.1 * self.patches))
        chosen = row[:, 0, 1:].topk(count, -1).indices + 1
        chosen = torch.cat([torch.zeros(len(x), 1, dtype=torch.long), chosen], 1)
        gather = lambda t: t.gather(1, chosen[:, :, None].expand(-1, -1, t.shape[-1]))
        attn, normed = self.local.attn, self.local.norm1(x)
        dim = x.shape[-1]
        q = F.linear(gather(normed), attn.qkv.weight[:dim], attn.qkv.bias[:dim])
        k, v = F.linear(normed, attn.qkv.weight[dim:], attn.qkv.bias[dim:]).chunk(2, -1)
        mixed, _ = attn.attend(attn.split(q), attn.split(k), attn.split(v), False)
        y = self.local.feed_forward(gather(x) + mixed)
        logits.append(self.local_head(self.local_norm(y[:, :1]).squeeze(1)))
        if mechanism == "dcal":
            x = embedded
            for block in self.blocks:
                q, k, v = (block.attn.split(t) for t in block.attn.qkv(block.norm1(x)).chunk(3, -1))
                k, v = (torch.cat([t, t[partners]], 2) for t in (k, v))
                x = block.feed_forward(x + block.attn.attend(q, k, v, False)[0])
            logits.append(self.head(self.norm(x[:, :1]).squeeze(1)))
        return logits


def main():
    arguments = sys.argv[1:] + ["224", "8", "none", "cpu", "f32"][len(sys.argv) - 1:]
    side, batch, mechanism, device, precision = int(arguments[0]), int(arguments[1]), *arguments[2:]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "f32"
    torch.set_default_device(device)
    network = Network(side)
    # Photos come from the loader's memory in each step, as in the twin.
    images = torch.randn(batch, 3, side, side, device="cpu")
    labels, partners = torch.arange(batch) % 100, (torch.arange(batch) + 1) % batch

    def run(mechanism):
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            return network(images.to(device), partners, mechanism)

    def forward():
        with torch.no_grad():
            run("glca" if mechanism == "dcal" else mechanism)[0].sum().item()

    def training():
        network.zero_grad(set_to_none=True)
        losses = [F.cross_entropy(z.float(), labels, label_smoothing=0.1) for z in run(mechanism)]
        w = network.log_var
        total = losses[0] if len(losses) == 1 else sum(0.5 * ((-w[k]).exp() * l + w[k]) for k, l in enumerate(losses))
        total.backward()
        network.cls.grad.sum().item()

    def milliseconds(step):
        warm = 1 if device == "cpu" else 10
        for _ in range(warm):
            step()
        times = []
        for _ in range(2 * warm + 5):
            start = time.perf_counter()
            step()
            times.append((time.perf_counter() - start) * 1e3)
        return round(sorted(times)[len(times) // 2], 2)

    print(json.dumps({"program": f"pytorch {torch.__version__}", "device": device, "precision": precision, "model": "vit-tiny", "side": side,
                      "batch": batch, "mechanism": mechanism,
                      "forward_ms": milliseconds(forward), "training_ms": milliseconds(training)}))
    if device == "cuda":
        print(f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MiB allocated at most", file=sys.stderr)


main()
