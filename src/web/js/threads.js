// The workers that share a network's photos with this one: how many, their start and their end.

import { commonMemory, Share } from "./share.js";

// A photo is a few milliseconds of work for each; more workers would wait for each other more than they help.
const MOST = 4;
// Each worker holds the weights: so many bytes of them in all leave a phone room for everything else.
const MOST_WEIGHTS = 256 * 2 ** 20;

/** Why there is one thread only, or null. Memory that workers have in common is for isolated pages. */
export function hindrance() {
  if (globalThis.crossOriginIsolated !== true) return "this page is not cross-origin isolated";
  if (typeof Worker !== "function" || typeof SharedArrayBuffer !== "function") return "this browser’s workers have no helpers";
  return null;
}

/**
 * How many workers a network is to run on.
 * @param {"auto" | number} wanted
 * @param {number} weightBytes of the network's weights
 */
export function threadCount(wanted, weightBytes) {
  if (hindrance()) return 1;
  if (wanted !== "auto") return wanted;
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  return Math.max(1, Math.min(MOST, cores, Math.floor(MOST_WEIGHTS / weightBytes)));
}

/** The helpers of one network. */
export class Threads {
  #helpers = [];
  #ready;
  share = null;

  /**
   * Starts `count - 1` helpers, which load the network by themselves.
   * @param {{name: string, manifest: Uint8Array, files: Map<string, Uint8Array>, hashed: boolean, values: number}} network the module's
   *   name, the bundle, whether its files' hashes are known, and how many numbers the workers need in common
   */
  constructor(count, { values, ...network }) {
    this.#ready = this.#start(count, values, network);
    this.#ready.catch(() => {}); // waited for in `ready`
  }

  async #start(count, values, network) {
    const common = commonMemory(values);
    for (let i = 1; i < count; i += 1) this.#helpers.push(new Helper());
    const begin = () => this.#helpers.forEach((helper) => helper.tell("help"));
    this.share = new Share(common, 0, count, begin);
    await Promise.all(this.#helpers.map((helper, i) => helper.ask("load", { ...network, common, index: i + 1, count })));
  }

  get count() {
    return this.#helpers.length + 1;
  }

  /** Once all have the network. */
  async ready() {
    await this.#ready;
  }

  /** Bytes of their memories. */
  async memory() {
    const bytes = await Promise.all(this.#helpers.map((helper) => helper.ask("memory")));
    return bytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  end() {
    for (const helper of this.#helpers) helper.end();
  }
}

class Helper {
  #worker = new Worker(new URL("./helper.js", import.meta.url), { type: "module", name: "finegrain-helper" });
  #waiting = [];

  constructor() {
    // Answers come in the order of the questions.
    this.#worker.onmessage = ({ data: { value, error } }) => {
      const { resolve, reject } = this.#waiting.shift() ?? {};
      if (error === undefined) resolve?.(value);
      else reject?.(new Error(error));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Error(event.message || "a helper could not be started"));
    };
  }

  ask(type, message = {}) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.tell(type, message);
    });
  }

  tell(type, message = {}) {
    this.#worker.postMessage({ ...message, type });
  }

  end() {
    this.#worker.terminate();
    this.#fail(new Error("the helper was ended"));
  }

  #fail(error) {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
