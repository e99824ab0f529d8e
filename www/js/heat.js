// The colours of attention: from rollout per patch to an image.

import { amongPatches } from "./resampled.js";

const STEPS = 256;
// Pixels a patch has in the heat image; the canvas stretches it the rest of the way.
const FINE = 8;

/**
 * The colour map, from violet over red to yellow. Lightness rises linearly in Oklab, so equal steps of attention look
 * equal, and it stays readable without colour vision.
 */
const MAP = Array.from({ length: STEPS }, (_, i) => {
  const t = i / (STEPS - 1);
  const hue = ((300 + 165 * t) * Math.PI) / 180;
  return inGamut(0.28 + 0.64 * t, 0.2, hue);
});

/** Oklch to sRGB bytes; the chroma is lowered until the colour exists. */
function inGamut(lightness, chroma, hue) {
  for (let c = chroma; ; c -= 0.004) {
    const rgb = oklab(lightness, c * Math.cos(hue), c * Math.sin(hue));
    if (c <= 0 || rgb.every((v) => v >= 0 && v <= 1)) return rgb.map(encode);
  }
}

/** Björn Ottosson, "A perceptual color space for image processing" (2020); gives linear light. */
function oklab(lightness, a, b) {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

/** Linear light to an sRGB byte. */
function encode(v) {
  const light = Math.min(1, Math.max(0, v));
  return Math.round(255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055));
}

/** Draws the colour map itself, for the legend. */
export function drawLegend(canvas) {
  const image = new ImageData(STEPS, 1);
  MAP.forEach((rgb, i) => image.data.set([...rgb, 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/**
 * @param {Float32Array} rollout `[rows * columns]`
 * @param {[number, number]} grid rows, columns
 * @param {[number, number]} range the values of the first and the last colour: those of this photo by default
 * @param {import("./resampled.js").Sampling | null} sampling where the patches come from, if they lie unevenly over the crop
 * @returns {OffscreenCanvas} the crop in colours; what got little attention is transparent
 */
export function heatImage(rollout, grid, [low, high] = rangeOf(rollout), sampling = null) {
  const range = high - low || 1;
  const colour = (value, pixels, at) => {
    const t = Math.min(1, Math.max(0, (value - low) / range));
    pixels.set(MAP[Math.round(t * (STEPS - 1))], at);
    pixels[at + 3] = 255 * Math.min(1, 1.4 * t);
  };
  return paint(rollout, grid, colour, sampling);
}

/** The same as a thumbnail: one opaque pixel a patch, which the page stretches. There are dozens of them at once. */
export function thumbnail(canvas, values, [rows, columns]) {
  const [low, high] = rangeOf(values);
  const steps = (STEPS - 1) / (high - low || 1);
  const image = new ImageData(columns, rows);
  image.data.fill(255);
  values.forEach((value, i) => image.data.set(MAP[Math.round((value - low) * steps)], 4 * i));
  Object.assign(canvas, { width: columns, height: rows });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Orange and blue: equally light, and told apart by every kind of colour vision. */
export const SIDES = [inGamut(0.76, 0.17, (62 * Math.PI) / 180), inGamut(0.7, 0.15, (250 * Math.PI) / 180)];

/**
 * What speaks for one class and what for another: above 0 in the first of `SIDES`, below 0 in the second.
 * @param {"first" | "both" | "second"} shown
 */
export function sidesImage(values, grid, shown) {
  const [low, high] = rangeOf(values);
  const most = Math.max(-low, high) || 1;
  return paint(values, grid, (value, pixels, at) => {
    const side = value > 0 ? 0 : 1;
    const hidden = shown !== "both" && shown !== (side === 0 ? "first" : "second");
    pixels.set(SIDES[side], at);
    pixels[at + 3] = hidden ? 0 : 255 * Math.min(1, 1.3 * Math.abs(value / most) ** 0.7);
  });
}

/** The least and the greatest value. */
export function rangeOf(values) {
  return [Math.min(...values), Math.max(...values)];
}

/** `colour` writes red, green, blue and alpha of a value at a place among the pixels. */
function paint(values, [rows, columns], colour, sampling = null) {
  const [height, width] = [rows * FINE, columns * FINE];
  const image = new ImageData(width, height);
  const down = amongPatches(height, rows, sampling?.rows);
  const along = amongPatches(width, columns, sampling?.columns);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const value = bilinear(values, rows, columns, down[y], along[x]);
      colour(value, image.data, 4 * (y * width + x));
    }
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** The value between the four nearest patches' centres; `row` and `column` are counted in patches. */
function bilinear(values, rows, columns, row, column) {
  const y = Math.min(rows - 1, Math.max(0, row));
  const x = Math.min(columns - 1, Math.max(0, column));
  const [top, left] = [Math.floor(y), Math.floor(x)];
  const [bottom, right] = [Math.min(rows - 1, top + 1), Math.min(columns - 1, left + 1)];
  const [fy, fx] = [y - top, x - left];
  const mix = (r) => values[r * columns + left] * (1 - fx) + values[r * columns + right] * fx;
  return mix(top) * (1 - fy) + mix(bottom) * fy;
}
