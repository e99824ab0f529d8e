// Runs one network. Everything here could run in a worker: arguments and results can be cloned, except the two
// functions (`progress`, and `free` at the end), which become messages there.

import { chooseBackend, cpu } from "./backend.js";
import { downloadBundle } from "./download.js";
import { readPixels } from "./pixels.js";

/** Fetches and compiles a module once; later calls get the same one. A failed attempt is not kept. */
const modules = new Map();
export function prepare(backend) {
  if (!modules.has(backend)) {
    const load = backend === "webgpu" ? import("./webgpu.js") : import("./cpu.js");
    const ready = load.then(async (module) => {
      await module.default();
      return module;
    }).catch((error) => {
      throw new Error(`the ${backend} module could not be started (${error.message}); reload the page`, { cause: error });
    });
    modules.set(backend, ready);
    ready.catch(() => modules.delete(backend));
  }
  return modules.get(backend);
}

/**
 * @param {string} url the bundle's folder, absolute, with a final slash
 * @param {{backend: string, precision: string}} options already checked
 * @param {(event: {stage: string, loaded: number, total: number}) => void} progress
 * @param {AbortSignal | undefined} signal
 */
export async function openRuntime(url, options, progress, signal) {
  let choice = await chooseBackend(options.backend);
  // The module compiles while the bundle is on its way; its failure is reported below, where it is waited for.
  prepare(choice.backend).catch(() => {});
  const bundle = await downloadBundle(url, (bytes, total) => progress({ stage: "download", loaded: bytes, total }), signal);

  let loaded;
  try {
    loaded = await loadNetwork(choice.backend, bundle, progress);
  } catch (error) {
    // A broken bundle is as broken on the CPU; a broken GPU is not.
    if (choice.backend === "cpu" || options.backend === "webgpu" || error.stage === "verify") throw error;
    choice = cpu(`WebGPU failed here (${error.message})`);
    loaded = await loadNetwork("cpu", bundle, progress);
  }
  if (signal?.aborted) {
    loaded.network.free();
    throw signal.reason;
  }
  progress({ stage: "ready", loaded: 0, total: 0 });
  return new Runtime(loaded, choice, bundle.manifest);
}

async function loadNetwork(backend, { manifestBytes, files }, progress) {
  let stage = "prepare";
  try {
    const module = await prepare(backend);
    const network = await module.Network.load(manifestBytes, files, (name, loaded, total) => {
      stage = name;
      progress({ stage, loaded, total });
    });
    return { network, Pixels: module.Pixels };
  } catch (error) {
    throw Object.assign(explained(error), { stage });
  }
}

class Runtime {
  #network;
  #Pixels;
  #choice;

  constructor({ network, Pixels }, choice, manifest) {
    this.#network = network;
    this.#Pixels = Pixels;
    this.#choice = choice;
    this.facts = {
      id: manifest.id,
      title: manifest.title,
      labels: manifest.labels,
      backend: choice.backend,
      adapter: choice.adapter,
      reason: choice.reason,
    };
  }

  /**
   * @param {ImageBitmap | ImageData} image
   * @param {number} topK
   * @param {number} start when the caller began, for the time that decoding took
   */
  async classify(image, topK, start) {
    try {
      const pixels = readPixels(image, this.#Pixels);
      const decoded = performance.now();
      const { timings, ...result } = await this.#network.classify(pixels, topK);
      const { backend, adapter } = this.#choice;
      const total = performance.now() - start;
      return { ...result, timings: { decode: decoded - start, ...timings, total }, backend, adapter };
    } catch (error) {
      throw explained(error);
    }
  }

  free() {
    this.#network.free();
  }
}

/** A trap in wasm carries no sentence of its own (the panic itself is in the console). */
function explained(error) {
  if (error instanceof WebAssembly.RuntimeError) {
    return new Error("the network stopped unexpectedly; reload the page to start it again", { cause: error });
  }
  return error instanceof Error ? error : new Error(String(error));
}
