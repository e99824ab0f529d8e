// Fetches a bundle, counting bytes. Hashes, tensors and values are checked by the module; here only what must be
// known before memory is taken.

const MAX_MANIFEST = 4 << 20;
const MAX_BUNDLE = 2 ** 30;

/**
 * @param {string} url the bundle's folder, with a final slash
 * @param {(loaded: number, total: number) => void} onBytes
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<{manifest: object, manifestBytes: Uint8Array, files: Map<string, Uint8Array>}>}
 */
export async function downloadBundle(url, onBytes, signal) {
  const manifestBytes = await fetchBytes(new URL("manifest.json", url), MAX_MANIFEST, null, () => {}, signal);
  const { manifest, entries } = readManifest(manifestBytes);

  const total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
  let loaded = 0;
  onBytes(loaded, total);
  const contents = await Promise.all(
    entries.map(({ name, bytes }) =>
      fetchBytes(new URL(encodeURIComponent(name), url), bytes, bytes, (count) => onBytes((loaded += count), total), signal),
    ),
  );
  return { manifest, manifestBytes, files: new Map(entries.map(({ name }, i) => [name, contents[i]])) };
}

function readManifest(bytes) {
  let manifest;
  try {
    manifest = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Error(`the bundle's manifest.json is not valid JSON (${error.message})`);
  }
  const entries = Array.isArray(manifest?.files) ? manifest.files : [];
  for (const entry of entries) {
    if (typeof entry?.name !== "string" || !/^[\w.-]{1,100}$/.test(entry.name) || entry.name.startsWith(".")) {
      throw new Error("the bundle's manifest.json lists a file whose name is not allowed");
    }
    if (!Number.isSafeInteger(entry.bytes) || entry.bytes < 0) {
      throw new Error(`the bundle's manifest.json gives no size for ${entry.name}`);
    }
  }
  if (entries.reduce((sum, { bytes }) => sum + bytes, 0) > MAX_BUNDLE) {
    throw new Error("the bundle is larger than 1 GiB, which is more than this page accepts");
  }
  return { manifest, entries };
}

/** Fetches at most `limit` bytes; `exact` is the size that the manifest promises, or null. */
async function fetchBytes(url, limit, exact, onBytes, signal) {
  const name = decodeURIComponent(url.pathname.split("/").pop());
  let response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw new Error(`${name} could not be fetched: the server cannot be reached (${error.message})`);
  }
  if (!response.ok) {
    throw new Error(`${name} could not be fetched: the server answered ${response.status} ${response.statusText}`.trim());
  }
  const chunks = [];
  let length = 0;
  const reader = response.body.getReader();
  for (;;) {
    let step;
    try {
      step = await reader.read();
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw new Error(`${name} was cut off after ${length} bytes: the connection broke (${error.message})`);
    }
    if (step.done) break;
    length += step.value.length;
    if (length > limit) {
      await reader.cancel();
      throw new Error(`${name} is longer than the ${limit} bytes that are allowed for it`);
    }
    chunks.push(step.value);
    onBytes(step.value.length);
  }
  if (exact !== null && length !== exact) {
    throw new Error(`${name} has ${length} bytes, its bundle promises ${exact}; it may be cut off or out of date`);
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}
