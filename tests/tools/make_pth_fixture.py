"""Writes native/tests/fixtures/deit.pth: a tiny DeiT as torch.save writes it, {"model": state_dict}, without PyTorch.

The class token is float32, everything else float16. Value i of a tensor is ((37 i + length of its name) % 101 - 50) / 512,
which half precision holds exactly. The shapes are those of native/tests/fixtures/tiny.toml, with five classes.
"""

import collections
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path

DIM, DEPTH, PATCH, TOKENS, CLASSES = 24, 2, 8, 17, 5

torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
sys.modules |= {"torch": torch, "torch._utils": utils}


def rebuild(*_):
    raise NotImplementedError


rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = "torch._utils", "_rebuild_tensor_v2", "_rebuild_tensor_v2"
utils._rebuild_tensor_v2 = rebuild
for kind in ("FloatStorage", "HalfStorage"):
    setattr(torch, kind, type(kind, (), {"__module__": "torch"}))


class Storage:
    def __init__(self, kind, key, count):
        self.identity = ("storage", getattr(torch, kind), key, "cpu", count)


class Tensor:
    def __init__(self, storage, shape):
        strides = [1]
        for side in reversed(shape[1:]):
            strides.insert(0, strides[0] * side)
        self.parts = (storage, 0, tuple(shape), tuple(strides), False, collections.OrderedDict())

    def __reduce__(self):
        return rebuild, self.parts


class Pickler(pickle.Pickler):
    def persistent_id(self, item):
        return item.identity if isinstance(item, Storage) else None


def shapes():
    yield "cls_token", [1, 1, DIM]
    yield "pos_embed", [1, TOKENS, DIM]
    yield "patch_embed.proj.weight", [DIM, 3, PATCH, PATCH]
    yield "patch_embed.proj.bias", [DIM]
    for i in range(DEPTH):
        for name, shape in [("norm1", [DIM]), ("attn.qkv", [3 * DIM, DIM]), ("attn.proj", [DIM, DIM]), ("norm2", [DIM]),
                            ("mlp.fc1", [4 * DIM, DIM]), ("mlp.fc2", [DIM, 4 * DIM])]:
            yield f"blocks.{i}.{name}.weight", shape
            yield f"blocks.{i}.{name}.bias", shape[:1]
    yield "norm.weight", [DIM]
    yield "norm.bias", [DIM]
    yield "head.weight", [CLASSES, DIM]
    yield "head.bias", [CLASSES]


def main():
    path = Path(__file__).parents[2] / "native/tests/fixtures/deit.pth"
    state, storages = collections.OrderedDict(), []
    for key, (name, shape) in enumerate(shapes()):
        count = 1
        for side in shape:
            count *= side
        kind, code = ("FloatStorage", "f") if name == "cls_token" else ("HalfStorage", "e")
        values = [((37 * i + len(name)) % 101 - 50) / 512 for i in range(count)]
        storages.append((str(key), struct.pack(f"<{count}{code}", *values)))
        state[name] = Tensor(Storage(kind, str(key), count), shape)
    with zipfile.ZipFile(path, "w") as archive:
        def add(name, content):
            archive.writestr(zipfile.ZipInfo(f"deit/{name}"), content)

        with archive.open(zipfile.ZipInfo("deit/data.pkl"), "w") as file:
            Pickler(file, protocol=2).dump({"model": state})
        add("byteorder", b"little")
        for key, content in storages:
            add(f"data/{key}", content)
        add("version", b"3\n")


main()
