"""Writes tests/fixtures/photo/resize.safetensors: generated images and what Pillow's bicubic makes of them.

    pip install pillow numpy safetensors
    python tests/tools/make_photo_fixtures.py

Per case: <case>.source [H,W,3], <case>.resized [h,w,3], and for crops <case>.crop [ch,cw,3] as torchvision's Resize
(short side) and CenterCrop give it. Values are 0..255 as i32.
"""

import pathlib

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "photo"


def picture(height, width, seed):
    """Smooth colours, hard edges (where a cubic overshoots and must be clipped) and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([255 * x / width, 255 * y / height, 127 + 127 * np.sin(x / 3.0 + y / 5.0)], axis=-1)
    edges = np.where(((x // 7 + y // 5) % 2 == 0)[..., None], 255, 0)
    noise = rng.integers(0, 256, (height, width, 3))
    third = width // 3
    smooth[:, third : 2 * third] = edges[:, third : 2 * third]
    smooth[:, 2 * third :] = noise[:, 2 * third :]
    return smooth.round().clip(0, 255).astype(np.uint8)


def centre_crop(image, height, width):
    top = int(round((image.shape[0] - height) / 2.0))
    left = int(round((image.shape[1] - width) / 2.0))
    return image[top : top + height, left : left + width]


def main():
    tensors = {}
    # name: source height and width, target height and width
    for name, (h, w, to_h, to_w) in {
        "up": (23, 31, 56, 75),
        "down": (61, 47, 24, 19),
        "much_down": (110, 61, 5, 3),
        "mixed": (17, 60, 40, 30),
        "one_row": (1, 50, 3, 20),
        "same": (12, 9, 12, 9),
    }.items():
        source = picture(h, w, len(tensors))
        tensors[f"{name}.source"] = source
        tensors[f"{name}.resized"] = np.asarray(Image.fromarray(source).resize((to_w, to_h), Image.BICUBIC))
    # name: source height and width, short side, crop height and width
    for name, (h, w, short, crop_h, crop_w) in {
        "crop_landscape": (41, 60, 32, 32, 32),
        "crop_portrait": (63, 40, 36, 32, 24),
        "crop_odd": (41, 41, 35, 32, 32),
        "crop_up": (20, 37, 40, 33, 37),
    }.items():
        source = picture(h, w, len(tensors))
        long = short * max(h, w) // min(h, w)
        to_h, to_w = (short, long) if h <= w else (long, short)
        resized = np.asarray(Image.fromarray(source).resize((to_w, to_h), Image.BICUBIC))
        tensors[f"{name}.source"] = source
        tensors[f"{name}.short"] = np.array([short])
        tensors[f"{name}.crop"] = centre_crop(resized, crop_h, crop_w)
    OUT.mkdir(parents=True, exist_ok=True)
    save_file({k: np.ascontiguousarray(v, dtype=np.int32) for k, v in tensors.items()}, OUT / "resize.safetensors")


main()
