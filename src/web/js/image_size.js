// The size of an image from the first bytes of its file, before anything is decoded.

/**
 * @param {Uint8Array} bytes the beginning of a file
 * @returns {{width: number, height: number} | null} null where the format is not one of PNG, JPEG, GIF, WebP and BMP,
 *   or the size lies further on
 */
export function imageSize(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    for (const read of [png, gif, bmp, webp, jpeg]) {
      const size = read(view);
      if (size) return { width: size[0], height: size[1] };
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the header ends early
  }
  return null;
}

const text = (view, at, length) => String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, length));

function png(view) {
  return view.getUint32(0) === 0x89504e47 && text(view, 12, 4) === "IHDR" && [view.getUint32(16), view.getUint32(20)];
}

function gif(view) {
  return text(view, 0, 4) === "GIF8" && [view.getUint16(6, true), view.getUint16(8, true)];
}

function bmp(view) {
  if (text(view, 0, 2) !== "BM" || view.getUint32(14, true) < 40) return false;
  return [Math.abs(view.getInt32(18, true)), Math.abs(view.getInt32(22, true))];
}

function webp(view) {
  if (text(view, 0, 4) !== "RIFF" || text(view, 8, 4) !== "WEBP") return false;
  const kind = text(view, 12, 4);
  if (kind === "VP8 ") return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
  if (kind === "VP8L") {
    const bits = view.getUint32(21, true);
    return [(bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1];
  }
  const u24 = (at) => view.getUint8(at) | (view.getUint8(at + 1) << 8) | (view.getUint8(at + 2) << 16);
  return kind === "VP8X" && [u24(24) + 1, u24(27) + 1];
}

/** Walks the segments to the start of frame. */
function jpeg(view) {
  if (view.getUint16(0) !== 0xffd8) return false;
  let at = 2;
  for (;;) {
    while (view.getUint8(at) === 0xff && view.getUint8(at + 1) === 0xff) at += 1; // fill bytes
    if (view.getUint8(at) !== 0xff) return false;
    const marker = view.getUint8(at + 1);
    // C4, C8 and CC are tables, not frames.
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return [view.getUint16(at + 7), view.getUint16(at + 5)];
    }
    at += 2 + view.getUint16(at + 2);
  }
}
