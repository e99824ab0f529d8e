// finegrain's JavaScript API; the types and their documentation are in finegrain.d.ts.
//
// This file knows the page's objects (elements) and the order of calls. Everything that could live in a worker is in
// runtime.js: what passes between the two can be cloned or transferred.

import { chooseBackend } from "./backend.js";
import { openRuntime, prepare } from "./runtime.js";
import { bitmapOf } from "./pixels.js";

export { decodeImage } from "./pixels.js";

const BACKENDS = ["auto", "webgpu", "cpu"];
const PRECISIONS = ["auto", "f32"];

/** Chooses the back end and compiles its module ahead of `Classifier.load`; calling it is optional. */
export default async function init({ backend = "auto" } = {}) {
  oneOf("backend", backend, BACKENDS);
  const choice = await chooseBackend(backend);
  await prepare(choice.backend);
  return { backend: choice.backend, adapter: choice.adapter, reason: choice.reason };
}

export class Classifier {
  #runtime;
  #last = Promise.resolve();
  #freed = false;

  constructor(runtime) {
    if (!runtime?.facts) throw new TypeError("a Classifier is made by Classifier.load");
    this.#runtime = runtime;
    Object.assign(this, runtime.facts);
    Object.freeze(this);
  }

  static async load(bundleUrl, { backend = "auto", precision = "auto", onProgress, signal } = {}) {
    oneOf("backend", backend, BACKENDS);
    oneOf("precision", precision, PRECISIONS);
    const base = globalThis.document?.baseURI ?? globalThis.location?.href;
    let url = new URL(bundleUrl, base).href;
    if (!url.endsWith("/")) url += "/";
    const progress = (event) => {
      try {
        onProgress?.(event);
      } catch (error) {
        console.error(error); // a listener's mistake is not a failed load
      }
    };
    const runtime = await openRuntime(url, { backend, precision }, progress, signal);
    return new Classifier(runtime);
  }

  /** One photo after the other: calls made meanwhile wait for their turn. */
  classify(source, { topK = 5 } = {}) {
    if (this.#freed) return Promise.reject(new Error("this classifier was freed; load it again"));
    if (!Number.isInteger(topK) || topK < 1) {
      return Promise.reject(new RangeError(`topK is ${topK}, it must be a whole number from 1 on`));
    }
    const answer = this.#last.then(async () => {
      const start = performance.now();
      const { image, ours } = await bitmapOf(source);
      try {
        return await this.#runtime.classify(image, topK, start);
      } finally {
        if (ours) image.close();
      }
    });
    this.#last = answer.catch(() => {});
    return answer;
  }

  /** Gives memory back, on the GPU too, once what is running has ended. */
  free() {
    if (this.#freed) return;
    this.#freed = true;
    this.#last = this.#last.then(() => this.#runtime.free()).catch(console.error);
  }
}

function oneOf(name, value, allowed) {
  if (!allowed.includes(value)) {
    throw new RangeError(`${name} "${value}" is not supported; use one of: ${allowed.join(", ")}`);
  }
}
