/**
 * finegrain: fine-grained photo recognition in the browser.
 *
 * ```js
 * import init, { Classifier } from "./pkg/finegrain.js";
 * await init();
 * const classifier = await Classifier.load("models/birds/");
 * const { predictions } = await classifier.classify(file);
 * console.log(predictions[0].label, predictions[0].probability);
 * classifier.free();
 * ```
 *
 * Every promise that fails does so with an `Error` whose message is one sentence for people.
 */

/** What runs the network: our WGSL kernels on WebGPU, or the burn model on the CPU in wasm SIMD. */
export type Backend = "webgpu" | "cpu";

export interface Choice {
  backend: Backend;
  /** The device, for people to read. */
  adapter: string;
  /** Why `auto` did not take WebGPU; null where it did, or where nobody asked for `auto`. */
  reason: string | null;
}

/**
 * Optional: chooses the back end and compiles its module ahead, so that `Classifier.load` waits for the bundle only.
 * The other module is never fetched.
 */
export default function init(options?: { backend?: "auto" | Backend }): Promise<Choice>;

export interface Progress {
  stage: "download" | "verify" | "compile" | "upload" | "ready";
  /** Bytes of the bundle that have come (`download`), or GPU pipelines that are ready (`compile`); 0 elsewhere. */
  loaded: number;
  /** How many there will be, or 0 where nobody counts. */
  total: number;
}

export interface LoadOptions {
  /**
   * `auto` (default): WebGPU, or the CPU where there is no WebGPU, where it is software, or where it fails to load.
   * `webgpu` takes a software adapter too, and fails where there is none.
   */
  backend?: "auto" | Backend;
  /** Of the computation. */
  precision?: "auto" | "f32";
  onProgress?: (progress: Progress) => void;
  /** Stops the download. */
  signal?: AbortSignal;
}

export interface Prediction {
  label: string;
  /** Between 0 and 1. */
  probability: number;
}

export interface Result {
  /** The answer, most probable first: the mean of both branches. */
  predictions: Prediction[];
  /** Self-attention branch alone. */
  sa: Prediction[];
  /** Global-local cross-attention branch alone; empty for a network without it. */
  glca: Prediction[];
  /** Attention rollout for each patch, `grid[0] * grid[1]` values in reading order; with the class token's own share
   *  they sum to 1. */
  rollout: Float32Array;
  /** The local queries that GLCA chose: patch indices in reading order from 0, highest rollout first. */
  selected: Uint32Array;
  /** Rows and columns of patches. */
  grid: [rows: number, columns: number];
  /** The part of the photo that the network saw and `grid` divides, in the photo's pixels. */
  crop: { x: number; y: number; width: number; height: number };
  /** Milliseconds. `decode` includes reading the pixels; `run` is the network. */
  timings: { decode: number; preprocess: number; run: number; total: number };
  backend: Backend;
  adapter: string;
}

/** What holds a photo. Files are turned as their EXIF data says; transparency is laid over white. */
export type Source = ImageBitmap | ImageData | Blob | HTMLCanvasElement | OffscreenCanvas | HTMLImageElement;

export class Classifier implements Choice {
  private constructor();
  /** Downloads, checks and loads the bundle in the folder `bundleUrl`. */
  static load(bundleUrl: string | URL, options?: LoadOptions): Promise<Classifier>;
  /** The bundle's id, title and class names. */
  readonly id: string;
  readonly title: string;
  readonly labels: readonly string[];
  readonly backend: Backend;
  readonly adapter: string;
  readonly reason: string | null;
  /** Classifies one photo; calls made meanwhile wait for their turn. `topK` is 5 by default. */
  classify(source: Source, options?: { topK?: number }): Promise<Result>;
  /** Gives memory back, on the GPU too. */
  free(): void;
}

/** Decodes a file as `classify` does; refuses more than 64 megapixels before taking memory. */
export function decodeImage(blob: Blob): Promise<ImageBitmap>;
