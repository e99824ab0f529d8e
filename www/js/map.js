// The part of the photo that the network saw, with a map over it, and a patch of it to look from.

import { drawResampled } from "./resampled.js";
import { outline } from "./stage.js";

export class PhotoMap {
  #frame;
  #canvas;
  #view = null; // {photo, crop, grid, sampling, image, cells, query}
  #opacity = 1;
  #cursor = null; // the patch under the keyboard
  #picked;
  #pickable = false;

  /**
   * @param {HTMLElement} frame the space there is  @param {HTMLCanvasElement} canvas inside it
   * @param {(patch: number | null) => void} picked a patch was chosen as the one that looks, or none (null)
   */
  constructor(frame, canvas, picked) {
    this.#frame = frame;
    this.#canvas = canvas;
    this.#picked = picked;
    new ResizeObserver(() => this.#draw()).observe(frame);
    canvas.addEventListener("click", (event) => {
      if (this.#pickable) this.#pick(this.#patchAt(event));
    });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#move(null));
  }

  /**
   * @param {{photo: {bitmap: ImageBitmap, width: number, height: number}, crop: object, grid: [number, number],
   *   sampling: object | null, image: OffscreenCanvas | null, grey: boolean, cells: Uint32Array, query: number | null, label: string} | null} view
   *   `sampling`: the photo is drawn as attention resampled it, so that patches lie evenly; `grey`: the photo without its colours, where those of the map have a meaning
   */
  show(view) {
    this.#view = view;
    if (view) this.#canvas.setAttribute("aria-label", view.label);
    this.#draw();
  }

  set opacity(opacity) {
    this.#opacity = opacity;
    this.#draw();
  }

  /** Whether a patch can be chosen. */
  set pickable(pickable) {
    this.#pickable = pickable;
    this.#canvas.classList.toggle("pickable", pickable);
    this.#move(null);
  }

  #patchAt({ offsetX, offsetY }) {
    const [rows, columns] = this.#view.grid;
    const at = (offset, size, count) => Math.min(count - 1, Math.max(0, Math.floor((offset / size) * count)));
    const { clientWidth, clientHeight } = this.#canvas;
    return at(offsetY, clientHeight, rows) * columns + at(offsetX, clientWidth, columns);
  }

  #pick(patch) {
    this.#picked(patch === this.#view.query ? null : patch);
  }

  #key(event) {
    if (!this.#pickable || !this.#view) return;
    const [rows, columns] = this.#view.grid;
    const from = this.#cursor ?? this.#view.query ?? Math.floor(rows / 2) * columns + Math.floor(columns / 2);
    const [row, column] = [Math.floor(from / columns), from % columns];
    const to = {
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
    }[event.key];
    if (to) {
      const [r, c] = [Math.min(rows - 1, Math.max(0, to[0])), Math.min(columns - 1, Math.max(0, to[1]))];
      this.#move(r * columns + c);
    } else if (event.key === "Enter" || event.key === " ") this.#pick(from);
    else if (event.key === "Escape" && this.#view.query !== null) this.#picked(null);
    else return;
    event.preventDefault();
  }

  #move(patch) {
    if (this.#cursor === patch) return;
    this.#cursor = patch;
    this.#draw();
  }

  #draw() {
    const { photo, crop, grid, sampling, image, grey, cells, query } = this.#view ?? {};
    const canvas = this.#canvas;
    if (!photo) return;
    // A wide photo needs no square.
    this.#frame.style.aspectRatio = String(Math.min(2, Math.max(1, crop.width / crop.height)));
    if (this.#frame.clientWidth === 0) return;
    const fit = Math.min(this.#frame.clientWidth / crop.width, this.#frame.clientHeight / crop.height);
    const dense = window.devicePixelRatio || 1;
    const [width, height] = [crop.width * fit, crop.height * fit].map((v) => Math.max(1, Math.round(v)));
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    const context = canvas.getContext("2d");
    drawPhoto(context, photo, crop, sampling);
    const all = [0, 0, canvas.width, canvas.height];
    if (grey) {
      context.globalCompositeOperation = "saturation";
      context.fillStyle = "grey";
      context.fillRect(...all);
      context.globalCompositeOperation = "source-over";
    }
    if (image) {
      context.globalAlpha = this.#opacity;
      context.drawImage(image, ...all);
      context.globalAlpha = 1;
    }
    if (cells.length > 0) outline(context, all, { selected: cells, grid }, dense);
    for (const [patch, colour] of [[query, "white"], [this.#cursor, "#ffd84d"]]) {
      if (patch !== null) mark(context, patch, grid, colour, dense);
    }
  }
}

/** What the network saw of a photo, filling the canvas; with a sampling as attention resampled it. */
export function drawPhoto(context, { bitmap, width }, crop, sampling = null) {
  const { canvas } = context;
  const scale = bitmap.width / width; // a large photo is shown by a smaller bitmap
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const part = [crop.x, crop.y, crop.width, crop.height].map((v) => v * scale);
  if (!sampling) {
    context.drawImage(bitmap, ...part, 0, 0, canvas.width, canvas.height);
    return;
  }
  const [w, h] = part.slice(2).map((v) => Math.max(1, Math.round(v)));
  const whole = new OffscreenCanvas(w, h);
  whole.getContext("2d").drawImage(bitmap, ...part, 0, 0, w, h);
  drawResampled(context, whole, sampling);
}

function mark(context, patch, [rows, columns], colour, dense) {
  const [width, height] = [context.canvas.width / columns, context.canvas.height / rows];
  const cell = [(patch % columns) * width, Math.floor(patch / columns) * height, width, height];
  context.lineWidth = 5 * dense;
  context.strokeStyle = "rgb(0 0 0 / 70%)";
  context.strokeRect(...cell);
  context.lineWidth = 2.5 * dense;
  context.strokeStyle = colour;
  context.strokeRect(...cell);
}
