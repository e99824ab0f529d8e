// Which module runs the network, decided by what the browser offers.

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

/** The choice of the CPU, because of `reason`. */
export function cpu(reason) {
  return { backend: "cpu", adapter: "CPU (one thread, wasm SIMD)", reason };
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
