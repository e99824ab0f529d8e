// From whatever holds a photo to its pixels. The browser decodes, turns (EXIF) and lays transparency over white.

import { imageSize } from "./image_size.js";

// `MAX_PIXELS` in src/photo; the module holds to it too, this check comes before decoding.
const MAX_PIXELS = 64_000_000;
const HEADER = 1 << 20;
// Four megabytes of RGBA at a time.
const BAND = 1 << 20;
// As native decoders do: the file's numbers, without colour management, so that both give the same answer.
const DECODING = { imageOrientation: "from-image", premultiplyAlpha: "default", colorSpaceConversion: "none" };

/**
 * Decodes a file. Large ones are refused before any memory is taken for their pixels.
 * @param {Blob} blob
 * @returns {Promise<ImageBitmap>}
 */
export async function decodeImage(blob) {
  const name = blob.name ? `"${blob.name}"` : "the file";
  if (blob.size === 0) throw new Error(`${name} is empty; choose a photo`);
  let header;
  try {
    header = new Uint8Array(await blob.slice(0, HEADER).arrayBuffer());
  } catch (error) {
    throw new Error(`${name} cannot be read (${error.message})`);
  }
  const size = imageSize(header);
  if (size) checkSize(size, name);
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, DECODING);
  } catch {
    throw new Error(
      size
        ? `${name} cannot be decoded; it is damaged or cut short`
        : `${name} is no image that this browser can read; try a JPEG, PNG or WebP`,
    );
  }
  try {
    checkSize(bitmap, name);
  } catch (error) {
    bitmap.close();
    throw error;
  }
  return bitmap;
}

/**
 * A file as an image that is no longer or higher than `side`, with the size that it has itself.
 * @returns {Promise<{bitmap: ImageBitmap, width: number, height: number}>}
 */
export async function previewOf(blob, side) {
  const bitmap = await decodeImage(blob);
  const { width, height } = bitmap;
  const scale = side / Math.max(width, height);
  if (scale >= 1) return { bitmap, width, height };
  const [resizeWidth, resizeHeight] = [width, height].map((length) => Math.max(1, Math.round(length * scale)));
  try {
    return { bitmap: await createImageBitmap(bitmap, { resizeWidth, resizeHeight, resizeQuality: "medium" }), width, height };
  } finally {
    bitmap.close();
  }
}

function checkSize({ width, height }, name) {
  if (width * height > MAX_PIXELS) {
    throw new Error(
      `${name} has ${width} x ${height} pixels, more than the limit of ${MAX_PIXELS / 1e6} megapixels; make it smaller first`,
    );
  }
}

/**
 * Turns what a page has into what can go to a worker. A file goes as it is: the worker decodes it.
 * @returns {Promise<{image: ImageBitmap | ImageData | Blob, ours: boolean}>} `ours`: made here, and to be given away
 */
export async function bitmapOf(source) {
  const is = (name) => isA(source, name);
  if (is("ImageBitmap")) {
    if (source.width === 0) throw new Error("the ImageBitmap was closed; it has no pixels any more");
    return { image: source, ours: false };
  }
  if (is("ImageData")) {
    if (!(source.data instanceof Uint8ClampedArray)) throw new Error("ImageData must hold 8 bits a channel");
    return { image: source, ours: false };
  }
  if (is("Blob")) return { image: source, ours: false };
  if (is("HTMLImageElement")) {
    await source.decode().catch(() => {
      throw new Error("the <img> element holds no image that can be decoded");
    });
  } else if (!is("HTMLCanvasElement") && !is("OffscreenCanvas")) {
    throw new TypeError("classify takes an ImageBitmap, ImageData, Blob, canvas or <img> element");
  }
  const [width, height] = [source.naturalWidth ?? source.width, source.naturalHeight ?? source.height];
  if (!width || !height) throw new Error("the element has no pixels");
  checkSize({ width, height }, "the image");
  return { image: await createImageBitmap(source, DECODING), ours: true };
}

/** Whether something else may be drawn into it at any time. */
export const isDrawn = (source) => isA(source, "HTMLCanvasElement") || isA(source, "OffscreenCanvas");

const isA = (source, name) => globalThis[name] !== undefined && source instanceof globalThis[name];

/** The pixels of a photo, read on the page: for browsers whose workers have no canvas. */
export async function imageDataOf(image) {
  if (image instanceof ImageData) return image;
  const bitmap = image instanceof Blob ? await decodeImage(image) : image;
  const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("the browser has no memory left for this photo");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  if (bitmap !== image) bitmap.close();
  try {
    return context.getImageData(0, 0, canvas.width, canvas.height);
  } catch (error) {
    throw error.name === "SecurityError" ? foreign() : error;
  }
}

/**
 * The part of a photo that is to be looked at, in whole pixels.
 * @param {{x: number, y: number, width: number, height: number} | null} region in the photo's pixels; null for all of it
 * @param {{width: number, height: number}} photo
 */
export function checkRegion(region, photo) {
  if (!region) return { x: 0, y: 0, width: photo.width, height: photo.height };
  const [left, top] = [Math.round(region.x), Math.round(region.y)];
  const [right, bottom] = [Math.round(region.x + region.width), Math.round(region.y + region.height)];
  if (!(left >= 0 && top >= 0 && right > left && bottom > top && right <= photo.width && bottom <= photo.height)) {
    throw new RangeError(`the region does not lie within the photo of ${photo.width} x ${photo.height} pixels, or is empty`);
  }
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/**
 * Hands the pixels of a part of a photo over to a network in bands of rows.
 * @param {ImageBitmap | ImageData} image
 * @param {import("./cpu.js").Network} network
 * @param {{x: number, y: number, width: number, height: number}} part whole pixels within the photo
 */
export function readPixels(image, network, part) {
  const pixels = network.pixels(part.width, part.height);
  try {
    const rows = Math.max(1, Math.floor(BAND / part.width));
    for (const band of "data" in image ? dataBands(image, part, rows) : bitmapBands(image, part, rows)) pixels.push(band);
    return pixels;
  } catch (error) {
    pixels.free();
    if (error.name !== "SecurityError") throw error;
    throw foreign();
  }
}

/** What a browser says in many words: the pixels of an element that shows another site's image are not the page's to read. */
export function foreign() {
  return new Error("the image comes from another site, which does not let this page read its pixels");
}

function* dataBands({ data, width }, part, rows) {
  const whole = part.width === width;
  for (let top = 0; top < part.height; top += rows) {
    const count = Math.min(rows, part.height - top);
    const at = ((part.y + top) * width + part.x) * 4;
    if (whole) {
      yield new Uint8Array(data.buffer, data.byteOffset + at, count * width * 4);
      continue;
    }
    const band = new Uint8Array(count * part.width * 4);
    for (let row = 0; row < count; row += 1) {
      const from = at + row * width * 4;
      band.set(data.subarray(from, from + part.width * 4), row * part.width * 4);
    }
    yield band;
  }
}

function* bitmapBands(bitmap, { x, y, width, height }, rows) {
  const canvas = new OffscreenCanvas(width, Math.min(rows, height));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("the browser has no memory left for this photo");
  context.imageSmoothingEnabled = false;
  context.fillStyle = "white";
  for (let top = 0; top < height; top += canvas.height) {
    context.fillRect(0, 0, width, canvas.height);
    context.drawImage(bitmap, -x, -y - top);
    const { data } = context.getImageData(0, 0, width, Math.min(canvas.height, height - top));
    yield new Uint8Array(data.buffer);
  }
}
