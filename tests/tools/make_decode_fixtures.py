"""Writes the photos that the decoder's tests read to tests/fixtures/photo: one picture in many guises.

    pip install pillow numpy
    python tests/tools/make_decode_fixtures.py

The upright picture is 48 x 32: red, green above blue, yellow (dull ones, so that no guise clips them).
"""

import pathlib
import struct
import zlib

import numpy as np
from PIL import Image

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "photo"
WIDTH, HEIGHT = 48, 32
RED, GREEN, BLUE, YELLOW = (200, 40, 40), (40, 160, 60), (50, 60, 180), (210, 190, 50)


def upright():
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    h, w = HEIGHT // 2, WIDTH // 2
    picture[:h, :w], picture[:h, w:], picture[h:, :w], picture[h:, w:] = RED, GREEN, BLUE, YELLOW
    return picture


# What a camera stores so that the EXIF orientation makes it upright.
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: p.transpose(1, 0, 2)[::-1],
    7: lambda p: p.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda p: p.transpose(1, 0, 2)[:, ::-1],
}


def png(path, width, height, depth, colour, rows):
    """A PNG of a kind that Pillow does not write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(rows, 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    picture = upright()
    image = Image.fromarray(picture)
    image.save(OUT / "plain.png", optimize=True)
    for orientation, stored in STORED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        rotated = Image.fromarray(np.ascontiguousarray(stored(picture)))
        rotated.save(OUT / f"exif_{orientation}.jpg", quality=92, subsampling=0, exif=exif)
    image.convert("CMYK").save(OUT / "cmyk.jpg", quality=92)
    image.convert("L").save(OUT / "grey.jpg", quality=92)
    image.save(OUT / "progressive.jpg", quality=92, progressive=True)
    image.save(OUT / "plain.webp", lossless=True)
    # Left half opaque, right half transparent over any colour.
    rgba = np.dstack([picture, np.full((HEIGHT, WIDTH), 255, np.uint8)])
    rgba[:, WIDTH // 2 :, 3] = 0
    Image.fromarray(rgba).save(OUT / "alpha.png", optimize=True)
    # 16 bits a channel: 257 v, so that 8 bits give v again.
    wide = (picture.astype(">u2") * 257).tobytes()
    row = WIDTH * 6
    rows = b"".join(b"\0" + wide[y * row : (y + 1) * row] for y in range(HEIGHT))
    png(OUT / "sixteen_bit.png", WIDTH, HEIGHT, 16, 2, rows)
    # 108 megapixels in a few bytes: one bit a pixel, all black.
    png(OUT / "huge.png", 12_000, 9_000, 1, 0, bytes(9_000 * (1 + 1_500)))


main()
