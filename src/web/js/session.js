// One network in its worker: loaded, tested, run, and brought back when the device fails.

import { chooseBackend, cpu, moduleFor } from "./backend.js";
import { BUILD } from "./build.js";
import { Bundle } from "./bundle.js";
import { hashes, mechanismOf, sha256 } from "./manifest.js";
import { OwnBundle } from "./own_bundle.js";
import { checkRegion, decodeImage, readPixels } from "./pixels.js";
import { report, verdict } from "./report.js";
import { keepTiles, readTiles } from "./store.js";
import { hindrance, threadCount, Threads } from "./threads.js";

// In a row, without an answer in between.
const MAX_LOSSES = 3;

// A graphics device that takes longer than this for a photo (in milliseconds) may be slower than the CPU.
const DOUBTFUL = 50;

const MODULES = {
  webgpu: () => import("./webgpu.js"),
  cpu: () => import("./cpu.js"),
  cpu_fma: () => import("./cpu_fma.js"),
};

/** Fetches and compiles the module of a back end once; later calls get the same one. A failed attempt is not kept. */
const modules = new Map();
export function prepare(backend) {
  const name = moduleFor(backend);
  if (!modules.has(name)) {
    const ready = MODULES[name]()
      .then(async (module) => ({ name, module, memory: (await module.default()).memory }))
      .catch((error) => {
        throw new Error(`the ${name} module could not be started (${error.message}); reload the page`, { cause: error });
      });
    modules.set(name, ready);
    ready.catch(() => modules.delete(name));
  }
  return modules.get(name);
}

export class Session {
  #post;
  #bundle = null;
  #asked = "auto"; // the back end
  #precision = "auto"; // of the weights on a graphics device
  #tiles = "auto"; // whether those of matrix products are measured
  #wanted = "auto"; // threads
  #threads = null;
  #words = null; // how many, in words
  #choice = null;
  #network = null;
  #losses = 0;
  // The photo that can be looked into: what the network saw of it, for another device.
  #photo = null; // {image: Float32Array | null, crop, zoom, ratio}

  /** @param {(type: string, message: object) => void} post says something to the page */
  constructor(post) {
    this.#post = post;
  }

  /**
   * @param {string | null} url the bundle's folder, absolute, with a final slash
   * @param {Blob | {file: File, path: string}[] | string | null} own the bundle from the user's own disk, or the address of
   *   its copy, where there is no `url`
   * @param {{backend: string, precision: string, tiles: string, threads: "auto" | number, keep: boolean}} options already checked
   */
  async load(url, own, options) {
    this.#asked = options.backend;
    this.#precision = options.precision;
    this.#tiles = options.tiles;
    this.#wanted = options.threads;
    this.#choice = await chooseBackend(options.backend);
    // The module compiles while the bundle is on its way; its failure is reported where it is waited for.
    prepare(this.#choice.backend).catch(() => {});
    const tell = { progress: (event) => this.#progress(event), notice: (notice) => this.#notice(notice) };
    const module = async () => (await prepare(this.#choice.backend)).module;
    this.#bundle = own ? new OwnBundle(own, tell, module) : new Bundle(url, tell);
    await this.#bundle.open();
    await this.#start();
    if (own && options.keep) await this.#bundle.keep();
    this.#progress({ stage: "ready", loaded: 0, total: 0 });
    const { id, title, labels } = this.#bundle.manifest;
    const { layers, heads, grids, ratio = null } = this.#network;
    const gridOf = (_, layer) => [grids[2 * layer], grids[2 * layer + 1]];
    const gatesAfter = [...this.#network.gates_after];
    const masksAfter = [...this.#network.masks_after];
    const canvas = typeof OffscreenCanvas === "function";
    const kept = this.#bundle.kept ?? null;
    const shape = { layers, heads, grids: Array.from({ length: layers }, gridOf), ratio, gatesAfter, masksAfter };
    const mechanism = mechanismOf(this.#bundle.manifest);
    return { id, title, labels, mechanism, ...shape, kept, ...this.#choice, canvas };
  }

  /**
   * @param {Blob | ImageBitmap | ImageData} source
   * @param {{x: number, y: number, width: number, height: number} | null} region the part to look at; null for all
   */
  async classify(source, { topK, region, ratio, early }) {
    this.#photo = null;
    const start = performance.now();
    const image = source instanceof Blob ? await decodeImage(source) : source;
    try {
      const part = checkRegion(region, image);
      // The photo stays at hand until there is an answer: a device may be lost more than once on the way.
      for (;;) {
        const answer = await this.#attempt(() => this.#answer(image, { topK, ratio, early }, part, start));
        if (answer) return answer;
      }
    } finally {
      image.close?.();
    }
  }

  async #answer(image, { topK, ratio, early }, part, start) {
    if (!this.#network) await this.#start();
    const pixels = readPixels(image, this.#network, part);
    const decoded = performance.now();
    const { timings, ...result } = await this.#network.classify(pixels, topK, ratio, early);
    // The network knows the part only; people see the photo.
    for (const found of [result.crop, result.zoom]) {
      if (found) [found.x, found.y] = [found.x + part.x, found.y + part.y];
    }
    this.#losses = 0;
    const { backend, adapter } = this.#choice;
    // The processor is not lost.
    const seen = backend === "cpu" ? null : this.#network.image();
    this.#photo = { image: seen, crop: result.crop, zoom: result.zoom, ratio };
    return { ...result, timings: { decode: decoded - start, ...timings, total: 0 }, backend, adapter };
  }

  /**
   * Looks into the photo that was classified last. A device that is lost meanwhile is replaced, and the photo run again.
   * @param {"attention" | "glca" | "rollout" | "gates" | "masks" | "difference"} kind
   * @param {(number | undefined)[]} about what the module's function of that kind takes
   */
  look(kind, about) {
    const name = kind === "glca" ? "glca_attention" : kind;
    return this.#again((network) => network[name](...about));
  }

  /** The answer to the same photo with another share of local queries. */
  async ratio(ratio, topK) {
    const { timings, ...result } = await this.#again((network) => network.with_ratio(ratio, topK));
    const { backend, adapter } = this.#choice;
    this.#photo.ratio = ratio;
    // A photo that was restored on another device has no place there; rollout does not change with R.
    const { crop, zoom } = this.#photo;
    return { ...result, crop, zoom, timings: { decode: 0, ...timings, total: 0 }, backend, adapter };
  }

  async #again(look) {
    for (;;) {
      const found = await this.#attempt(async () => {
        if (!this.#network) {
          await this.#start();
          if (this.#photo?.image) await this.#network.restore(this.#photo.image, this.#photo.ratio);
        }
        const value = await look(this.#network);
        this.#losses = 0;
        return { value };
      });
      if (found) return found.value;
    }
  }

  async memory() {
    const memories = await Promise.all([...modules.values()]);
    const helpers = (await this.#threads?.memory()) ?? 0;
    const wasm = memories.reduce((sum, { memory }) => sum + memory.buffer.byteLength, helpers);
    return { wasm, gpu: this.#network?.device_bytes ?? 0 };
  }

  free() {
    this.#drop();
  }

  /** Loads the network on the device chosen, or on the next lower one, until one computes rightly. */
  async #start() {
    const beaten = this.#asked === "auto" && this.#choice.backend === "webgpu" && (await this.#bundle.passed(this.#race("lost")));
    if (beaten) this.#choice = cpu(slower(this.#choice.adapter));
    for (;;) {
      const passed = await this.#attempt(async () => {
        await this.#open();
        const right = await this.#test();
        if (right) await this.#compare();
        return { right };
      });
      if (!passed) continue;
      if (passed.right || this.#choice.backend === "cpu") return;
      if (this.#tiled()) {
        this.#drop();
        this.#tiles = "default";
      } else if (this.#packed()) {
        this.#drop();
        this.#precision = "f32";
      } else this.#stepDown("this device computes wrongly");
    }
  }

  /** Does something on the device; null where it should be done again, on another device. */
  async #attempt(work) {
    try {
      return await work();
    } catch (error) {
      if (this.#choice.backend === "cpu") throw error;
      if (error.name === "DeviceError") this.#lost();
      else if (error.name === "WrongResultError") this.#stepDown("this device computes wrongly", true);
      // A broken bundle is as broken on the CPU; a GPU that does not take the network is not.
      else if (error.stage === "upload" || error.stage === "compile") {
        if (this.#asked === "webgpu") throw error;
        this.#stepDown(`WebGPU failed here (${error.message})`);
      } else throw error;
      return null;
    }
  }

  async #open() {
    const files = await this.#bundle.files();
    const manifest = this.#bundle.manifestBytes;
    let stage = "prepare";
    try {
      const started = await prepare(this.#choice.backend);
      const { Network } = started.module;
      if (this.#choice.backend === "cpu") this.#startThreads(started, manifest, files);
      const onStage = (name, loaded, total) => {
        stage = name;
        this.#progress({ stage, loaded, total });
      };
      const known = this.#choice.backend === "cpu" ? undefined : await readTiles();
      this.#network = await Network.load(manifest, files, hashes(), onStage, this.#precision, this.#tiles, known);
      if (this.#choice.backend === "cpu") await this.#joinThreads();
      else {
        const { tile_times: measured } = this.#network;
        if (measured && measured !== known) await keepTiles(measured);
      }
    } catch (error) {
      this.#drop();
      throw error instanceof Error ? Object.assign(error, { stage }) : new Error(String(error));
    }
  }

  /** Whether weights lie on the graphics device in less than f32: a driver may read those wrongly and others rightly. */
  #packed() {
    const precision = this.#precision === "auto" ? this.#bundle.manifest.precision : this.#precision;
    return this.#choice.backend === "webgpu" && precision !== "f32";
  }

  /** Whether its tiles were measured: a driver may compile one of them wrongly. */
  #tiled() {
    return Boolean(this.#network.tile_times);
  }

  /** Helpers load the network while this worker does. */
  #startThreads({ name, module }, manifest, files) {
    const count = threadCount(this.#wanted, module.Network.weight_bytes(manifest));
    if (count === 1) return;
    const values = module.Network.common_values(manifest, count);
    this.#threads = new Threads(count, { name, manifest, files, hashed: hashes(), values });
  }

  /** Where helpers cannot be had, one thread does all. */
  async #joinThreads() {
    let words = "one thread";
    try {
      await this.#threads?.ready();
    } catch (error) {
      console.error(error);
      words += ", as the browser gave no more";
      this.#endThreads();
    }
    if (this.#threads) {
      this.#network.join(this.#threads.share);
      words = `${this.#threads.count} threads`;
    } else if (this.#wanted !== 1 && hindrance()) {
      words += `, as ${hindrance()}`;
    }
    this.#words = words;
    this.#choice = cpu(this.#choice.reason, words);
    this.#post("changed", { choice: this.#choice });
  }

  #endThreads() {
    this.#threads?.end();
    this.#threads = null;
  }

  /** The golden trace of the bundle, once for each bundle, device and build. */
  async #test() {
    const { backend, adapter } = this.#choice;
    // Other tiles are other kernels.
    const { tile_times: measured } = this.#network;
    const tiles = measured ? ` ${await sha256(new TextEncoder().encode(measured))}` : "";
    const what = `${backend} ${this.#precision} ${adapter} ${BUILD}${tiles}`;
    if (await this.#bundle.passed(what)) return true;
    const test = await this.#network.self_test();
    if (test.passed) {
      await this.#bundle.notePassed(what);
      return true;
    }
    const text = verdict(test, this.#choice, { packed: this.#packed(), tiled: this.#tiled() });
    this.#notice({ kind: "self-test", text, report: report(test, this.#choice, this.#bundle.manifest) });
    return false;
  }

  /** Where `auto` took a graphics device that is slow, the CPU runs the same once, and the faster of the two is kept. */
  async #compare() {
    if (this.#asked !== "auto" || this.#choice.backend !== "webgpu" || (await this.#bundle.passed(this.#race("won")))) return;
    const [device, won, lost] = [this.#choice, this.#race("won"), this.#race("lost")];
    const onDevice = await this.#time();
    if (onDevice > DOUBTFUL && (await this.#cpuTakesLess(onDevice))) {
      this.#choice = cpu(slower(device.adapter), this.#words);
      await this.#bundle.notePassed(lost);
    } else {
      await this.#bundle.notePassed(won);
      if (this.#choice === device) return;
      this.#drop();
      this.#choice = device;
      await this.#open();
    }
    this.#post("changed", { choice: this.#choice });
  }

  /** Goes over to the CPU and measures it there. */
  async #cpuTakesLess(than) {
    this.#drop();
    this.#choice = cpu(null);
    try {
      await this.#open();
      return (await this.#test()) && (await this.#time()) < than;
    } catch (error) {
      console.error(error);
      return false; // then the graphics device is what there is
    }
  }

  /** Milliseconds for the golden trace, the second time. */
  async #time() {
    await this.#network.self_test();
    const begin = performance.now();
    await this.#network.self_test();
    return performance.now() - begin;
  }

  /** The name under which the graphics device's race with the CPU is kept. */
  #race(end) {
    return `race ${end} by ${this.#choice.adapter} ${BUILD}`;
  }

  #lost() {
    this.#losses += 1;
    if (this.#losses >= MAX_LOSSES) {
      this.#stepDown("the graphics device was lost three times in a row", true);
      return;
    }
    this.#drop();
    this.#notice({
      kind: "device-lost",
      text: "The graphics device was lost; the network is loaded again and goes on where it was.",
    });
  }

  #stepDown(reason, tell = false) {
    this.#drop();
    this.#choice = cpu(reason);
    this.#post("changed", { choice: this.#choice });
    if (tell) this.#notice({ kind: "step-down", text: `From now on the CPU is used: ${reason}.` });
  }

  #drop() {
    this.#network?.free();
    this.#network = null;
    this.#endThreads();
  }

  #progress(event) {
    this.#post("progress", { event });
  }

  #notice(notice) {
    this.#post("notice", { notice });
  }
}

/** Why the CPU was taken although there is a graphics device. */
function slower(adapter) {
  return `the graphics device (${adapter}) took longer for a photo than the CPU when both were measured`;
}
