// finegrain's JavaScript API; the types and their documentation are in finegrain.d.ts.
//
// This file knows the page's objects (elements) and the order of calls. Everything else runs in a worker (session.js):
// what passes between the two can be cloned or transferred.

import { Link } from "./link.js";
import { bitmapOf, imageDataOf } from "./pixels.js";

export { clearStorage, storage } from "./store.js";

const BACKENDS = ["auto", "webgpu", "cpu"];
const PRECISIONS = ["auto", "f32"];

/** The worker that decodes for the page. */
let decoder = null;

/** Decodes a file as `classify` does. */
export async function decodeImage(blob) {
  return (await preview(blob, Infinity)).bitmap;
}

/** The same for showing it: no longer or higher than `side`, with the size that the photo has itself. */
export function preview(blob, side = 1600) {
  if (!decoder || decoder.ended) decoder = new Link();
  return decoder.ask("preview", { blob, side });
}

/** A worker that `init` has prepared and no network uses yet. */
let spare = null;

/** Chooses the back end and compiles its module ahead of `Classifier.load`; calling it is optional. */
export default async function init({ backend = "auto" } = {}) {
  oneOf("backend", backend, BACKENDS);
  const link = spare ?? new Link();
  spare = link;
  try {
    const { backend: chosen, adapter, reason } = await link.ask("prepare", { backend });
    return { backend: chosen, adapter, reason };
  } catch (error) {
    if (spare === link) spare = null;
    link.end(error);
    throw error;
  }
}

export class Classifier {
  #open;
  #link;
  #facts;
  #last = Promise.resolve();
  #freed = false;

  constructor(open) {
    if (typeof open !== "function") throw new TypeError("a Classifier is made by Classifier.load");
    this.#open = open;
    Object.freeze(this);
  }

  static async load(bundle, { backend = "auto", precision = "auto", onProgress, onNotice, signal } = {}) {
    oneOf("backend", backend, BACKENDS);
    oneOf("precision", precision, PRECISIONS);
    const place = placeOf(bundle);
    signal?.throwIfAborted();
    const open = async (classifier) => {
      const link = spare ?? new Link();
      spare = null;
      link.listeners = {
        progress: ({ event }) => guarded(onProgress, event),
        notice: ({ notice }) => guarded(onNotice, notice),
        // Another device than before: the one that was asked for failed.
        changed: ({ choice }) => Object.assign(classifier.#facts ?? {}, choice),
      };
      classifier.#link = link;
      try {
        classifier.#facts = await link.ask("load", { ...place, options: { backend, precision } });
      } catch (error) {
        link.end(error);
        throw error;
      }
    };
    const classifier = new Classifier(open);
    // Ending the worker stops whatever it is at; what has been downloaded until then is kept for the next time.
    const abort = () => classifier.#link.end(signal.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await open(classifier);
    } finally {
      signal?.removeEventListener("abort", abort);
    }
    return classifier;
  }

  get id() {
    return this.#facts.id;
  }
  get title() {
    return this.#facts.title;
  }
  get labels() {
    return this.#facts.labels;
  }
  get backend() {
    return this.#facts.backend;
  }
  get adapter() {
    return this.#facts.adapter;
  }
  get reason() {
    return this.#facts.reason;
  }

  /** One photo after the other: calls made meanwhile wait for their turn. */
  classify(source, { topK = 5, region = null } = {}) {
    if (this.#freed) return Promise.reject(new Error("this classifier was freed; load it again"));
    if (!Number.isInteger(topK) || topK < 1) {
      return Promise.reject(new RangeError(`topK is ${topK}, it must be a whole number from 1 on`));
    }
    const sides = region && [region.x, region.y, region.width, region.height];
    if (sides && !sides.every(Number.isFinite)) {
      return Promise.reject(new TypeError("region must be {x, y, width, height} in the photo's pixels"));
    }
    const part = sides && { x: sides[0], y: sides[1], width: sides[2], height: sides[3] };
    const answer = this.#last.then(() => this.#run(source, topK, part));
    this.#last = answer.catch(() => {});
    return answer;
  }

  async #run(source, topK, region) {
    const start = performance.now();
    // A worker that stopped unexpectedly is replaced; the bundle comes from the browser's storage.
    if (this.#link.ended && !this.#freed) await this.#open(this);
    let { image, ours } = await bitmapOf(source);
    if (!this.#facts.canvas) {
      // This browser's workers have no canvas: the pixels are read here.
      const data = await imageDataOf(image);
      if (ours) image.close();
      [image, ours] = [data, true];
    }
    const transfer = !ours ? [] : image instanceof ImageData ? [image.data.buffer] : [image];
    const result = await this.#link.ask("classify", { source: image, topK, region }, transfer);
    result.timings.total = performance.now() - start;
    return result;
  }

  /** Bytes that the network takes: the module's memory, and buffers on the graphics device. */
  async memory() {
    return this.#freed || this.#link.ended ? { wasm: 0, gpu: 0 } : this.#link.ask("memory");
  }

  /** Gives memory back, on the GPU too, once what is running has ended. */
  free() {
    if (this.#freed) return;
    this.#freed = true;
    const link = () => this.#link;
    this.#last = this.#last
      .then(() => link()?.ask("free"))
      .catch(() => {}) // a worker that has ended holds nothing
      .then(() => link()?.end());
  }
}

/** Where a bundle is: an address, or the files from the user's own disk. */
function placeOf(bundle) {
  if (bundle instanceof Blob) return { url: null, own: bundle };
  const files = typeof bundle === "string" || bundle instanceof URL ? null : Array.from(bundle ?? []);
  if (files) {
    if (files.length === 0 || !files.every((file) => file instanceof File)) {
      throw new TypeError("a bundle is an address, a zip file, or the files of a folder");
    }
    // The path within the folder is a property that does not go to a worker with its file.
    return { url: null, own: files.map((file) => ({ file, path: file.webkitRelativePath || file.name })) };
  }
  const { href } = new URL(bundle, globalThis.document?.baseURI ?? globalThis.location?.href);
  return { url: href.endsWith("/") ? href : `${href}/`, own: null };
}

function guarded(listener, value) {
  try {
    listener?.(value);
  } catch (error) {
    console.error(error); // a listener's mistake is not a failed load
  }
}

function oneOf(name, value, allowed) {
  if (!allowed.includes(value)) {
    throw new RangeError(`${name} "${value}" is not supported; use one of: ${allowed.join(", ")}`);
  }
}
