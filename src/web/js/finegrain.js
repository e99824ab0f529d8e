// finegrain's JavaScript API; the types and their documentation are in finegrain.d.ts.
//
// This file knows the page's objects (elements) and the order of calls. Everything else runs in a worker (session.js):
// what passes between the two can be cloned or transferred.

import { Link } from "./link.js";
import { classOf, earlyOf, patchOf, ratioOf, topKOf } from "./looks.js";
import { bitmapOf, foreign, imageDataOf, isDrawn } from "./pixels.js";
import { OWN } from "./store.js";

export { branch } from "./looks.js";
export { clearStorage, storage } from "./store.js";

const BACKENDS = ["auto", "webgpu", "cpu"];
const PRECISIONS = ["auto", "f32", "f16", "int8"];
const TILES = ["auto", "measure", "default"];
const MOST_THREADS = 16;

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
    // A classifier that has taken it meanwhile asks for itself.
    if (spare === link) {
      spare = null;
      link.end(error);
    }
    throw error;
  }
}

export class Classifier {
  #open;
  #link;
  #facts;
  #last = Promise.resolve();
  #freed = false;
  #turn = 0; // of the photo that can be looked into
  #turns = new WeakMap(); // of each result

  constructor(open) {
    if (typeof open !== "function") throw new TypeError("a Classifier is made by Classifier.load");
    this.#open = open;
    Object.freeze(this);
  }

  static async load(bundle, options = {}) {
    const { backend = "auto", precision = "auto", threads = "auto", keep = false, onProgress, onNotice, signal } = options;
    const { tiles = "auto" } = options;
    oneOf("backend", backend, BACKENDS);
    oneOf("precision", precision, PRECISIONS);
    oneOf("tiles", tiles, TILES);
    if (threads !== "auto" && !(Number.isInteger(threads) && threads >= 1 && threads <= MOST_THREADS)) {
      throw new RangeError(`threads is ${threads}, it must be "auto" or a whole number from 1 to ${MOST_THREADS}`);
    }
    let place = placeOf(bundle);
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
        const wanted = { backend, precision, tiles, threads, keep: Boolean(keep) };
        classifier.#facts = await link.ask("load", { ...place, options: wanted });
        if (classifier.kept) place = placeOf(classifier.kept);
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
  get kept() {
    return this.#facts.kept;
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

  /** Blocks of the network, heads of each, rows and columns behind each, and the bundle's share of local queries. */
  get layers() {
    return this.#facts.layers;
  }
  get heads() {
    return this.#facts.heads;
  }
  get grids() {
    return this.#facts.grids;
  }
  get ratio() {
    return this.#facts.ratio;
  }

  /** The attention mechanism by its name in the manifest, with RGA's gates beside it as "dcal+rga". */
  get mechanism() {
    return this.#facts.mechanism;
  }

  /** Behind how many blocks each of RGA's spatial gates stands. */
  get gatesAfter() {
    return this.#facts.gatesAfter;
  }

  /** Behind how many blocks each module of Attend and Rectify stands. */
  get masksAfter() {
    return this.#facts.masksAfter;
  }

  /** One photo after the other: calls made meanwhile wait for their turn. */
  classify(source, { topK = 5, region = null, ratio, early } = {}) {
    return this.#queue(() => {
      topKOf(topK);
      if (ratio !== undefined) ratioOf(ratio);
      if (early !== undefined) earlyOf(early, ratio);
      const about = { topK, region: region && regionOf(region), ratio, early };
      // A canvas may show something else when its turn comes.
      const taken = isDrawn(source) ? bitmapOf(source) : null;
      taken?.catch(() => {}); // told in its turn
      return () => this.#run(() => taken ?? bitmapOf(source), about);
    });
  }

  /** The same photo with another share of local queries; only what depends on it runs. */
  setRatio(ratio, { topK = 5, of } = {}) {
    return this.#queue(() => {
      topKOf(topK);
      ratioOf(ratio);
      return async () => {
        const start = performance.now();
        this.#isLatest(of);
        const result = await this.#link.ask("ratio", { ratio, topK });
        result.timings.total = performance.now() - start;
        this.#turns.set(result, this.#turn);
        return result;
      };
    });
  }

  /** The attention of the class token or of a patch over all patches, in one layer or in all. */
  attention({ layer, head, query, of } = {}) {
    return this.#queue(() => {
      const patch = patchOf(query);
      const kind = layer === "glca" ? "glca" : "attention";
      const about = kind === "glca" ? [patch] : [layer, patch];
      return async () => {
        const values = await this.#look(of, kind, about);
        const patches = values.length / (layer === undefined ? this.layers * this.heads : this.heads);
        if (head === undefined) return values;
        if (layer === undefined) throw new TypeError("a head is one of a layer: name the layer too");
        if (head === "mean") return meanOf(values, patches);
        if (!Number.isInteger(head) || head < 0 || head >= this.heads) {
          throw new RangeError(`there is no head ${head}: a layer has heads 0 to ${this.heads - 1}`);
        }
        return values.slice(head * patches, (head + 1) * patches);
      };
    });
  }

  /** Rollout from the class token after one layer down to the photo. */
  rollout({ layer = this.layers - 1, of } = {}) {
    return this.#queue(() => () => this.#look(of, "rollout", [layer]));
  }

  /** RGA's spatial gates, place after place. */
  gates({ of } = {}) {
    return this.#queue(() => () => this.#look(of, "gates", []));
  }

  /** Where the heads of each module of Attend and Rectify look, module after module. */
  masks({ of } = {}) {
    return this.#queue(() => () => this.#look(of, "masks", []));
  }

  /** What set two classes, named by their labels, apart. */
  difference(first, second, { of } = {}) {
    return this.#queue(() => {
      const about = [first, second].map((label) => classOf(label, this.labels));
      return () => this.#look(of, "difference", about);
    });
  }

  async #look(of, kind, about) {
    this.#isLatest(of);
    return this.#link.ask("look", { kind, about });
  }

  /** A look goes into the photo classified last: into which one the caller means, it can say. */
  #isLatest(result) {
    if (result !== undefined && this.#turns.get(result) !== this.#turn) {
      const error = new Error("another photo was classified since: classify this one again to look into it");
      throw Object.assign(error, { name: "OtherPhotoError" });
    }
  }

  /** `prepare` checks what was asked for at once and gives what is to be done in its turn. */
  #queue(prepare) {
    if (this.#freed) return Promise.reject(new Error("this classifier was freed; load it again"));
    let work;
    try {
      work = prepare();
    } catch (error) {
      return Promise.reject(error);
    }
    const answer = this.#last.then(work);
    this.#last = answer.catch(() => {});
    return answer;
  }

  /** @param {() => Promise<{image: object, ours: boolean}>} take the photo */
  async #run(take, about) {
    this.#turn += 1;
    const start = performance.now();
    // A worker that stopped unexpectedly is replaced; the bundle comes from the browser's storage.
    if (this.#link.ended && !this.#freed) await this.#open(this);
    let { image, ours } = await take();
    if (!this.#facts.canvas) {
      // This browser's workers have no canvas: the pixels are read here.
      const data = await imageDataOf(image);
      if (ours) image.close();
      [image, ours] = [data, true];
    }
    const transfer = !ours ? [] : image instanceof ImageData ? [image.data.buffer] : [image];
    const result = await this.#link.ask("classify", { source: image, ...about }, transfer).catch((error) => {
      if (error.name !== "DataCloneError") throw error;
      if (ours) image.close?.();
      throw foreign();
    });
    result.timings.total = performance.now() - start;
    this.#turns.set(result, this.#turn);
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

function meanOf(values, patches) {
  const mean = new Float32Array(patches);
  values.forEach((value, i) => (mean[i % patches] += (value * patches) / values.length));
  return mean;
}

/** Where a bundle is: an address, the files from the user's own disk, or the copy of such a one. */
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
  if (String(bundle).startsWith(OWN)) return { url: null, own: String(bundle) };
  const { href } = new URL(bundle, globalThis.document?.baseURI ?? globalThis.location?.href);
  return { url: href.endsWith("/") ? href : `${href}/`, own: null };
}

/** A part of a photo, of which a caller may have handed over more than its four numbers. */
function regionOf({ x, y, width, height }) {
  if (![x, y, width, height].every(Number.isFinite)) {
    throw new TypeError("region must be {x, y, width, height} in the photo's pixels");
  }
  return { x, y, width, height };
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
