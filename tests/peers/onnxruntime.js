// Times onnxruntime-web in the page it is imported into: the same network without rollout and second look.

/**
 * @param {{provider: "wasm" | "webgpu", threads: number, runs: number, side: number}} options
 * @returns {Promise<{load: number, first: number, median: number, fastest: number}>} milliseconds
 */
export async function measure({ provider, threads, runs, side }) {
  const base = new URL("./", import.meta.url).href;
  const ort = await import(`${base}${provider === "webgpu" ? "ort.webgpu.min.mjs" : "ort.wasm.min.mjs"}`);
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = base;
  const begin = performance.now();
  const session = await ort.InferenceSession.create(`${base}vit.onnx`, {
    executionProviders: [provider],
    graphOptimizationLevel: "all",
  });
  const load = performance.now() - begin;
  const images = Float32Array.from({ length: 3 * side * side }, (_, i) => Math.sin(0.1 * i));
  const times = [];
  for (let run = 0; run <= runs; run += 1) {
    const start = performance.now();
    const { probability } = await session.run({ images: new ort.Tensor("float32", images, [1, 3, side, side]) });
    await probability.getData();
    times.push(performance.now() - start);
  }
  const [first, ...warm] = times;
  warm.sort((a, b) => a - b);
  const half = warm.length / 2;
  const median = (warm[Math.floor(half)] + warm[Math.ceil(half) - 1]) / 2;
  await session.release();
  return { load, first, median, fastest: warm[0] };
}
