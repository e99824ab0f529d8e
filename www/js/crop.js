// A frame over the photo: only what lies in it is classified. Moved and resized with mouse, finger and keyboard.

/** The smallest side of a frame, in the photo's pixels. */
const LEAST = 16;
/** How long after the last key the photo is looked at again, in milliseconds. */
const PAUSE = 400;
/** Part of the photo that is left out on each side by a new frame. */
const INSET = 0.1;

export class CropFrame {
  #layer;
  #frame;
  #canvas;
  #changed;
  #photo = null; // {width, height}
  #region = null;
  #timer = 0;

  /**
   * @param {HTMLElement} layer holds the frame, and is laid over the canvas
   * @param {HTMLCanvasElement} canvas on which the photo is drawn
   * @param {(region: {x: number, y: number, width: number, height: number}) => void} changed called when a frame has
   *   come to rest, in whole pixels of the photo
   */
  constructor(layer, canvas, changed) {
    this.#layer = layer;
    this.#frame = layer.querySelector("[role=application]");
    this.#canvas = canvas;
    this.#changed = changed;
    new ResizeObserver(() => this.#place()).observe(canvas);
    this.#frame.addEventListener("pointerdown", (event) => this.#grab(event));
    this.#frame.addEventListener("keydown", (event) => this.#key(event));
  }

  get isOpen() {
    return !this.#layer.hidden;
  }

  /**
   * Shows a frame on a photo of that size; one without a region leaves out a tenth on each side.
   * @param {{width: number, height: number}} photo
   * @param {{x: number, y: number, width: number, height: number} | null} region
   * @param {boolean} isNew the frame is told at once, as if a person had drawn it
   */
  open({ width, height }, region, isNew = !region) {
    this.#photo = { width, height };
    this.#layer.hidden = false;
    this.#set(region ?? { x: width * INSET, y: height * INSET, width: width * (1 - 2 * INSET), height: height * (1 - 2 * INSET) });
    this.#place();
    if (isNew) this.#tell();
  }

  close() {
    clearTimeout(this.#timer);
    this.#layer.hidden = true;
    this.#photo = this.#region = null;
  }

  focus() {
    this.#frame.focus();
  }

  /** Whole pixels within the photo. */
  #set({ x, y, width, height }) {
    const { width: across, height: down } = this.#photo;
    const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
    const [w, h] = [clamp(width, Math.min(LEAST, across), across), clamp(height, Math.min(LEAST, down), down)].map(Math.round);
    const [left, top] = [clamp(Math.round(x), 0, across - w), clamp(Math.round(y), 0, down - h)];
    this.#region = { x: left, y: top, width: w, height: h };
    const share = (part, whole) => `${(100 * part) / whole}%`;
    const { style } = this.#frame;
    [style.left, style.top] = [share(left, across), share(top, down)];
    [style.width, style.height] = [share(w, across), share(h, down)];
    const label = `Crop frame, ${w} by ${h} pixels at ${left}, ${top}. Arrow keys move it, with Shift they resize it.`;
    this.#frame.setAttribute("aria-label", label);
  }

  /** The layer lies exactly over the canvas. */
  #place() {
    const { offsetLeft, offsetTop, offsetWidth, offsetHeight } = this.#canvas;
    const { style } = this.#layer;
    [style.left, style.top] = [`${offsetLeft}px`, `${offsetTop}px`];
    [style.width, style.height] = [`${offsetWidth}px`, `${offsetHeight}px`];
  }

  #tell() {
    clearTimeout(this.#timer);
    this.#changed({ ...this.#region });
  }

  #grab(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.#frame.focus();
    const edges = event.target.dataset.edges ?? "move";
    const [from, scale] = [{ ...this.#region }, this.#photo.width / Math.max(1, this.#layer.clientWidth)];
    const [startX, startY] = [event.clientX, event.clientY];
    const move = ({ clientX, clientY, pointerId }) => {
      if (pointerId !== event.pointerId) return;
      this.#set(moved(from, edges, (clientX - startX) * scale, (clientY - startY) * scale, this.#photo));
    };
    const ends = ["pointerup", "pointercancel", "lostpointercapture"];
    const end = () => {
      this.#frame.removeEventListener("pointermove", move);
      for (const name of ends) this.#frame.removeEventListener(name, end);
      const { x, y, width, height } = this.#region ?? from;
      if (x !== from.x || y !== from.y || width !== from.width || height !== from.height) this.#tell();
    };
    this.#frame.setPointerCapture(event.pointerId);
    this.#frame.addEventListener("pointermove", move);
    for (const name of ends) this.#frame.addEventListener(name, end);
  }

  #key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const [dx, dy] = step.map((sign) => sign * Math.max(1, Math.round(this.#photo.width / 50)));
    this.#set(moved(this.#region, event.shiftKey ? "right bottom" : "move", dx, dy, this.#photo));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell(), PAUSE);
  }
}

/** A frame after one or two of its edges, or all of it, were moved; an edge stops at the photo's and before its opposite. */
function moved({ x, y, width, height }, edges, dx, dy, photo) {
  if (edges === "move") return { x: x + dx, y: y + dy, width, height };
  let [left, top, right, bottom] = [x, y, x + width, y + height];
  if (edges.includes("left")) left = Math.min(Math.max(0, left + dx), right - LEAST);
  if (edges.includes("right")) right = Math.max(Math.min(photo.width, right + dx), left + LEAST);
  if (edges.includes("top")) top = Math.min(Math.max(0, top + dy), bottom - LEAST);
  if (edges.includes("bottom")) bottom = Math.max(Math.min(photo.height, bottom + dy), top + LEAST);
  return { x: left, y: top, width: right - left, height: bottom - top };
}
