// Which module runs the network, decided by what the browser offers.

// f32x4.relaxed_madd of 1 + 2^-12 twice and -(1 + 2^-11): 2^-24 where product and sum are rounded once, 0 where twice.
//   (func (export "f") (result f32) (f32x4.extract_lane 0 (f32x4.relaxed_madd (f32x4.splat (f32.const 1 + 2^-12))
//     (f32x4.splat (f32.const 1 + 2^-12)) (f32x4.splat (f32.const -1 - 2^-11)))))
const FUSED = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7d, 0x03, 0x02, 0x01, 0x00, 0x07,
  0x05, 0x01, 0x01, 0x66, 0x00, 0x00, 0x0a, 0x1f, 0x01, 0x1d, 0x00, 0x43, 0x00, 0x08, 0x80, 0x3f, 0xfd, 0x13, 0x43, 0x00,
  0x08, 0x80, 0x3f, 0xfd, 0x13, 0x43, 0x00, 0x10, 0x80, 0xbf, 0xfd, 0x13, 0xfd, 0x85, 0x02, 0xfd, 0x1f, 0x00, 0x0b,
]);

// A software adapter is 7 to 100 times slower than SIMD on the CPU.
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|warp|microsoft basic render/i;

/**
 * @param {"auto" | "webgpu" | "cpu"} wanted
 * @returns {Promise<{backend: "webgpu" | "cpu", adapter: string, reason: string | null}>} `reason` says why `auto`
 *   did not take WebGPU. Forcing WebGPU where there is none throws.
 */
export async function chooseBackend(wanted) {
  if (wanted === "cpu") return cpu(null);
  const { adapter, missing } = await findAdapter();
  if (!adapter) {
    if (wanted === "webgpu") throw new Error(`${missing}; choose the back end "cpu" or "auto"`);
    return cpu(missing);
  }
  const info = adapter.info ?? {};
  const name = adapterName(info);
  if (wanted === "auto" && isSoftware(adapter, info)) {
    return cpu(`this browser’s WebGPU is software only (${name})`);
  }
  return { backend: "webgpu", adapter: name, reason: null };
}

/**
 * The choice of the CPU, because of `reason`.
 * @param {string | null} reason
 * @param {string | null} threads how many, in words, once that is known
 */
export function cpu(reason, threads = null) {
  const words = [threads, `wasm SIMD${hasFusedProducts() ? " with FMA" : ""}`].filter(Boolean);
  return { backend: "cpu", adapter: `CPU (${words.join(", ")})`, reason };
}

/** The name of the module for a back end: of the two for the CPU, the one that this browser and this processor run best. */
export function moduleFor(backend) {
  if (backend === "webgpu") return "webgpu";
  return hasFusedProducts() ? "cpu_fma" : "cpu";
}

let fused = null;

/** Whether product and sum are one instruction here: the browser has relaxed SIMD, and the processor has FMA. */
function hasFusedProducts() {
  fused ??= WebAssembly.validate(FUSED) && new WebAssembly.Instance(new WebAssembly.Module(FUSED)).exports.f() !== 0;
  return fused;
}

async function findAdapter() {
  const gpu = globalThis.navigator?.gpu;
  if (!gpu) {
    const insecure = globalThis.isSecureContext === false;
    return { missing: insecure ? "WebGPU needs https or localhost" : "this browser has no WebGPU" };
  }
  try {
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
    return adapter ? { adapter } : { missing: "WebGPU found no graphics adapter" };
  } catch (error) {
    return { missing: `WebGPU gave no graphics adapter (${error.message})` };
  }
}

function isSoftware(adapter, info) {
  const words = [info.vendor, info.architecture, info.device, info.description].join(" ");
  return Boolean(info.isFallbackAdapter ?? adapter.isFallbackAdapter) || SOFTWARE.test(words);
}

function adapterName(info) {
  const name = info.description || [info.vendor, info.architecture, info.device].filter(Boolean).join(" ");
  return name || "unnamed graphics adapter";
}
