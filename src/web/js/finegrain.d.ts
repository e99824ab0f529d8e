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
 * The network runs in a worker of its own; bundles are kept in the browser's storage, and nothing is sent anywhere.
 * Every promise that fails does so with an `Error` whose message is one sentence for people.
 */

/** What runs the network: our WGSL kernels on WebGPU, or our forward pass on the processor in wasm SIMD, with fused
 *  multiply-add where browser and processor have it, and on several threads where the page is cross-origin isolated. */
export type Backend = "webgpu" | "cpu";

export interface Choice {
  backend: Backend;
  /** The device, for people to read: of a `Classifier` on the CPU also how many threads, and why only one. */
  adapter: string;
  /** Why `auto` did not take WebGPU; null where it did, or where nobody asked for `auto`. */
  reason: string | null;
}

/**
 * Optional: chooses the back end and compiles its module ahead, so that `Classifier.load` waits for the bundle only.
 * No other module is fetched.
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
   * `auto` (default): WebGPU, or the CPU where there is no WebGPU, where it is software, or where it fails to load. A
   * graphics device that takes over 50 ms for a photo is measured beside the CPU at the first load, and the faster is kept.
   * `webgpu` takes a software adapter too, and fails where there is none.
   */
  backend?: "auto" | Backend;
  /**
   * How the weights lie on the graphics device: as the bundle stores them (`auto`, default), in f32, or rounded to f16 or
   * eight bits, which takes less of its memory. All sums are in f32, and on the CPU everything is.
   */
  precision?: "auto" | "f32" | "f16" | "int8";
  /**
   * Which tile of the shaders suits each matrix product differs from device to device. `auto` (default) measures it once on a
   * graphics device, which takes about a second, and keeps it in the browser's storage; `measure` does so on a software
   * adapter, too; with `default` nothing is measured or read.
   */
  tiles?: "auto" | "measure" | "default";
  /**
   * Keeps a copy of a bundle from the user's own disk in the browser's storage, for the next visit and offline (false by
   * default; one from an address is always kept). `Classifier.kept` is its address then; without room there is a notice.
   */
  keep?: boolean;
  /**
   * On the CPU: how many workers share each photo, each with the weights in a memory of its own. More than one needs a page
   * that is cross-origin isolated (`crossOriginIsolated`); elsewhere it is one, whatever is asked for. `auto` (default): as many
   * as there are cores, but no more than four, nor more than hold 256 MiB of weights together.
   */
  threads?: "auto" | number;
  onProgress?: (progress: Progress) => void;
  /** Called while loading and while classifying, when something went wrong and the classifier goes on by itself. */
  onNotice?: (notice: Notice) => void;
  /** Stops loading at once. What has been downloaded is kept, and the next attempt goes on from there. */
  signal?: AbortSignal;
}

export interface Notice {
  /**
   * - `connection`: the connection broke, and the download goes on where it stopped
   * - `waiting`: another tab is fetching the same bundle
   * - `storage`: the bundle cannot be kept (storage full, or none), so it is in memory only
   * - `device-lost`: the graphics device was lost; a new one is used, and the photo in hand is run again
   * - `self-test`: the device does not compute what the bundle's golden trace says; the next lower one is used
   * - `step-down`: the CPU is used from now on, after three losses in a row or a result that is no number
   */
  kind: "connection" | "waiting" | "storage" | "device-lost" | "self-test" | "step-down";
  /** For people. */
  text: string;
  /** With `self-test`: what a developer needs to know, to be copied. */
  report?: string;
}

export interface Stored {
  /** Bytes of all bundles, also of downloads that were broken off. */
  bytes: number;
  /** The `url` of a copy of a bundle from the user's own disk begins with `own:`; `Classifier.load` takes it. */
  bundles: {
    url: string | null;
    id: string | null;
    title: string | null;
    classes: number | null;
    mechanism: string | null;
    bytes: number;
  }[];
  /** Whether the browser promised not to clear it by itself (`navigator.storage.persist()` asks for that). */
  persisted: boolean;
}

/** The bundles that the browser keeps for this site. */
export function storage(): Promise<Stored>;

/** Removes them, or the one of that folder. Classifiers that are loaded go on. */
export function clearStorage(bundleUrl?: string | URL): Promise<void>;

export interface Prediction {
  label: string;
  /** Between 0 and 1. */
  probability: number;
}

/** A part of a photo, in its pixels. */
export interface Region {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Result {
  /** The answer, most probable first: the mean of both branches, calibrated where the bundle has a calibration. */
  predictions: Prediction[];
  /** How many blocks of the network, of a residual network stages, were computed: all of them (`Classifier.layers`), but for an answer
   *  that came `early`. Then `sa`, `glca`, `rollout` and `selected` are empty, `zoom` and `sampling` null. */
  blocks: number;
  /** False where no class reaches the bundle's threshold: the photo shows something else, or nothing clearly. Null for a
   *  bundle without a calibration. */
  recognised: boolean | null;
  /** What is sure where no class is: the most probable group of classes of each level of the bundle's hierarchy ("make",
   *  "family") on which one is sure. Empty where the fine answer is sure, where nothing is, and without a hierarchy. */
  coarser: { level: string; label: string; probability: number }[];
  /** How often one of the two most probable classes was taken for the other on the test photos: `photos` of `of` photos
   *  of the class `right` were named `named`. Empty where that is not known. */
  confused: { right: string; named: string; photos: number; of: number }[];
  /** Self-attention branch alone, calibrated in the same way; `predictions` is the mean of `sa` and `glca`. */
  sa: Prediction[];
  /** Global-local cross-attention branch alone; empty for a network without it. */
  glca: Prediction[];
  /** Attention rollout for each patch, `grid[0] * grid[1]` values in reading order; with the class token's own share
   *  they sum to 1. Of a residual network, which has no attention, its class activation map (Zhou et al., CVPR 2016): how much
   *  each place of the last map spoke for the most probable name, as shares of all that did; all 0 where none did. */
  rollout: Float32Array;
  /** What `rollout` is: attention rollout, or the class activation map of a residual network. */
  map: "rollout" | "activation";
  /** The local queries that GLCA chose: patch indices in reading order from 0, highest rollout first. */
  selected: Uint32Array;
  /** Rows and columns of patches. */
  grid: [rows: number, columns: number];
  /** The part of the photo that the network saw and `grid` divides (with TASN after `sampling`), in the photo's pixels. */
  crop: Region;
  /** The part that rollout found, worth a second look; null where the network looked at most of the photo. Where the
   *  subject is small, `classify` of that part (its `region`) is right far more often. */
  zoom: Region | null;
  /** For a network with TASN, which looks at the photo as its attention resampled it: where each row and column of pixels of
   *  that comes from, as shares of the crop's height and width, rising from 0 to 1; `grid` divides those rows and columns
   *  evenly. Null for any other network. */
  sampling: { rows: Float32Array; columns: Float32Array } | null;
  /** Milliseconds. `decode` includes reading the pixels; `run` is the network. */
  timings: { decode: number; preprocess: number; run: number; total: number };
  backend: Backend;
  adapter: string;
}

/** What holds a photo. Files are turned as their EXIF data says; transparency is laid over white. A canvas is read when `classify` is called;
 *  leave anything else as it is until its promise settles. */
export type Source = ImageBitmap | ImageData | Blob | HTMLCanvasElement | OffscreenCanvas | HTMLImageElement;

export interface Look {
  /** The result whose photo is meant: fails (`OtherPhotoError`) if another one was classified since, instead of looking
   *  into that one. */
  of?: Result;
}

export interface AttentionOptions {
  /** A block from 0 on, or `glca`: the second look of the class token and the local queries. All blocks by default. */
  layer?: number | "glca";
  /** One head from 0 on, or their mean; all heads by default. Only with `layer`. */
  head?: number | "mean";
  /** The token that looks: the class token (default) or a patch, by its index in reading order. For `glca`, one of
   *  `Result.selected`. */
  query?: "class" | number;
}

/** One value a patch, in reading order; `both` is the mean of the branches, as the answer is. */
export interface Difference {
  sa: Float32Array;
  /** Empty for a network without GLCA. */
  glca: Float32Array;
  both: Float32Array;
}

/** The answer of one branch: `predictions` for `both`, `sa` or `glca`. A result holds all three; nothing is run. */
export function branch(result: Result, name: "both" | "sa" | "glca"): Prediction[];

export interface ClassifyOptions {
  /** How many classes are listed, 5 by default. */
  topK?: number;
  /** The part of the photo to look at, rounded to whole pixels; all of it by default. As if the photo had been cut to it. */
  region?: Region;
  /** Takes the place of the bundle's R, above 0 and at most 1: the share of patches that become local queries. */
  ratio?: number;
  /**
   * Lets a network with Attend and Rectify answer before its last block: where its modules so far, two or more, name the same class
   * and their mean gives it this probability (above 0, at most 1), nothing further is computed. `Result.blocks` says how far it
   * went; an early result has names but no map, and a photo classified with `early` cannot be looked into. On a graphics device it
   * stops by itself, in one submission; on the processor one thread computes. Other networks answer in full. Not together with
   * `ratio`.
   */
  early?: number;
}

export class Classifier implements Choice {
  private constructor();
  /**
   * Loads a bundle, checked: from the folder at an address, which is downloaded and kept, or from the user's own disk (a
   * `.zip`, or the files of a folder: `<input webkitdirectory>`), which is kept where `keep` says so.
   */
  static load(bundle: string | URL | Blob | Iterable<File>, options?: LoadOptions): Promise<Classifier>;
  /** The bundle's id, title and class names. */
  readonly id: string;
  readonly title: string;
  readonly labels: readonly string[];
  /** The address of the copy of a bundle from the user's own disk; null where there is none. */
  readonly kept: string | null;
  /** These three change when the device fails and another one takes over. */
  readonly backend: Backend;
  readonly adapter: string;
  readonly reason: string | null;
  /** Blocks of the network and attention heads of each; of a residual network its stages, and 0 heads: it has no attention, and
   *  `attention`, `rollout` and `difference` fail with a sentence. */
  readonly layers: number;
  readonly heads: number;
  /** Rows and columns of the map behind each block: those of `Result.grid`, and of a residual network a map of its own. */
  readonly grids: readonly (readonly [rows: number, columns: number])[];
  /** The bundle's share R of patches that become local queries; null for a network without GLCA. */
  readonly ratio: number | null;
  /** The attention mechanism: `none`, `dcal`, `rga`, `rectify` or `tasn`; `dcal+rga` or `rectify+rga` with RGA's gates beside it. */
  readonly mechanism: string | null;
  /** Behind how many blocks each of RGA's spatial gates stands; empty for a network without them. */
  readonly gatesAfter: readonly number[];
  /** Behind how many blocks each module of Attend and Rectify stands; empty for a network without them. */
  readonly masksAfter: readonly number[];
  /** Classifies one photo; calls made meanwhile wait for their turn. */
  classify(source: Source, options?: ClassifyOptions): Promise<Result>;
  /**
   * The answer to the photo classified last with another share of local queries. Only what depends on it runs: the
   * selection, GLCA and its classifier; the backbone does not. Later looks see these local queries. The predictions are
   * those of any other R up to rounding: GLCA is one block, in which the class token reads every patch and no other query.
   */
  setRatio(ratio: number, options?: Look & { topK?: number }): Promise<Result>;
  /**
   * Where a token of the photo classified last took its information from: attention over all patches, in reading order;
   * with the class token's own share a row sums to 1. The rows of a layer lie one after the other, `heads` of them, and
   * without `layer` all layers do. Recomputed from queries and keys that classifying left behind.
   */
  attention(options?: Look & AttentionOptions): Promise<Float32Array>;
  /** Attention rollout from the class token after `layer` (the last one by default) down to the photo, one value a patch. */
  rollout(options?: Look & { layer?: number }): Promise<Float32Array>;
  /**
   * RGA's spatial gates in the photo classified last: what each patch was multiplied by, from 0 to 1, in reading order, one
   * place of `gatesAfter` after the other, each with as many values as its map (`grids`) has places.
   */
  gates(options?: Look): Promise<Float32Array>;
  /**
   * Where each head of each module of Attend and Rectify looked in the photo classified last: shares of all patches in reading
   * order, a head's sum to 1. The heads of a module lie one after the other, one module of `masksAfter` after the other, each with as
   * many values as its map (`grids`) has places.
   */
  masks(options?: Look): Promise<Float32Array>;
  /**
   * What set two classes, named by their labels, apart in the photo classified last: for each patch, what the attention
   * that read it added to the difference of the two classes' logits, above 0 for `first`. The direct part of the logits,
   * exact and without gradients (definition and source: `Difference` in `src/look.rs`).
   */
  difference(first: string, second: string, options?: Look): Promise<Difference>;
  /** Bytes of the worker's wasm memory and of the buffers on the graphics device. */
  memory(): Promise<{ wasm: number; gpu: number }>;
  /** Gives memory back, on the GPU too. */
  free(): void;
}

/** Decodes a file as `classify` does; refuses more than 64 megapixels before taking memory. */
export function decodeImage(blob: Blob): Promise<ImageBitmap>;

/**
 * Decodes a file for showing it, no longer or higher than `side` pixels (1600 by default); `width` and `height` are
 * the photo's own, to which `Result.crop` refers. Like `decodeImage` it keeps the main thread free.
 */
export function preview(blob: Blob, side?: number): Promise<{ bitmap: ImageBitmap; width: number; height: number }>;
