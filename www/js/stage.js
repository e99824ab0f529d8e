// The photo, what the network saw of it, and where it looked.

import { heatImage } from "./heat.js";
import { middleOf } from "./resampled.js";

export class Stage {
  #box;
  #canvas;
  #photo = null; // {bitmap, width, height}: what is shown, and the photo's own size
  #result = null;
  #heat = null;
  #opacity = 1;
  #queries = true;

  /** @param {HTMLElement} box the space there is  @param {HTMLCanvasElement} canvas inside it */
  constructor(box, canvas) {
    this.#box = box;
    this.#canvas = canvas;
    new ResizeObserver(() => this.#draw()).observe(box);
  }

  /** Shows a photo without any answer, or nothing (null); takes its bitmap over. */
  show(photo, name) {
    this.#photo?.bitmap.close();
    this.#photo = photo;
    this.#canvas.hidden = photo === null;
    this.#canvas.setAttribute("aria-label", photo ? `Photo ${name}` : "No photo yet");
    this.explain(null);
  }

  /** What is shown: its bitmap, until another photo is, and the size that the photo has itself. */
  get photo() {
    return this.#photo;
  }

  /** Lays an answer over the photo, or takes it away (null). */
  explain(result) {
    this.#result = result;
    this.#heat = result && heatImage(result.rollout, result.grid, undefined, result.sampling);
    if (result) this.#canvas.setAttribute("aria-label", describe(result));
    this.#draw();
  }

  /** What is laid over the photo: how opaque the colours are (0 to 1), and whether the local queries are outlined. */
  layers({ opacity, queries }) {
    this.#opacity = opacity;
    this.#queries = queries;
    this.#draw();
  }

  #draw() {
    const photo = this.#photo;
    if (!photo) return;
    const { clientWidth, clientHeight } = this.#box;
    const fit = Math.min(clientWidth / photo.width, clientHeight / photo.height);
    const [width, height] = [photo.width * fit, photo.height * fit].map((v) => Math.max(1, Math.round(v)));
    const dense = window.devicePixelRatio || 1;
    const canvas = this.#canvas;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);

    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    // Transparency lies over white for the network, so it does here, in the dark theme too.
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(photo.bitmap, 0, 0, canvas.width, canvas.height);
    if (!this.#result) return;
    const scale = canvas.width / photo.width;
    const { x, y, width: w, height: h } = this.#result.crop;
    const crop = [x, y, w, h].map((v) => v * scale);
    dimOutside(context, crop);
    context.globalAlpha = this.#opacity;
    context.drawImage(this.#heat, ...crop);
    context.globalAlpha = 1;
    if (this.#queries) outline(context, crop, this.#result, dense);
  }
}

function dimOutside(context, [x, y, width, height]) {
  const outside = new Path2D();
  outside.rect(0, 0, context.canvas.width, context.canvas.height);
  outside.rect(x, y, width, height);
  context.fillStyle = "rgb(20 22 19 / 62%)";
  context.fill(outside, "evenodd");
}

/** Outlines the local queries: lines between two of them are thin, the outer edge of a group is strong. */
export function outline(context, [x, y, width, height], { selected, grid: [rows, columns] }, dense) {
  const chosen = new Set(selected);
  const [ph, pw] = [height / rows, width / columns];
  const outer = new Path2D();
  const inner = new Path2D();
  for (const patch of chosen) {
    const [row, column] = [Math.floor(patch / columns), patch % columns];
    const [left, top] = [x + column * pw, y + row * ph];
    const edges = [
      [row > 0, patch - columns, left, top, left + pw, top],
      [row < rows - 1, patch + columns, left, top + ph, left + pw, top + ph],
      [column > 0, patch - 1, left, top, left, top + ph],
      [column < columns - 1, patch + 1, left + pw, top, left + pw, top + ph],
    ];
    for (const [inside, neighbour, x0, y0, x1, y1] of edges) {
      const path = inside && chosen.has(neighbour) ? inner : outer;
      path.moveTo(x0, y0);
      path.lineTo(x1, y1);
    }
  }
  context.lineCap = "square";
  const stroke = (path, colour, thick) => {
    context.strokeStyle = colour;
    context.lineWidth = thick * dense;
    context.stroke(path);
  };
  stroke(inner, "rgb(255 255 255 / 40%)", 1);
  stroke(outer, "rgb(0 0 0 / 55%)", 3.5);
  stroke(outer, "white", 1.5);
}

/** The overlay in words, for who cannot see it. */
function describe({ rollout, map, grid: [rows, columns], selected, sampling }) {
  const peak = rollout.indexOf(Math.max(...rollout));
  const third = (value, count, shares, names) => names[Math.min(2, Math.floor(3 * middleOf(value, count, shares)))];
  const vertical = third(Math.floor(peak / columns), rows, sampling?.rows, ["upper", "middle", "lower"]);
  const horizontal = third(peak % columns, columns, sampling?.columns, ["left", "middle", "right"]);
  const place = vertical === horizontal ? "middle" : `${vertical} ${horizontal}`;
  const queries = selected.length ? `; ${selected.length} of ${rollout.length} patches are outlined as local queries` : "";
  const what = map === "activation" ? "what spoke for the name" : "the network’s attention";
  if (!(rollout[peak] > 0)) return `Photo with ${what} laid over it, which is nothing`;
  return `Photo with ${what} laid over it: most of it lies in the ${place} of the part it saw${queries}`;
}
