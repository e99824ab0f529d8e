// What must be known of a bundle before memory or disk is taken for it. Everything else is checked by the module.

export const MAX_MANIFEST = 4 << 20;
const MAX_BUNDLE = 2 ** 30;

/**
 * @param {Uint8Array} bytes
 * @returns {{id: string, title: string, labels: string[], files: {name: string, bytes: number, sha256: string}[]}}
 */
export function readManifest(bytes) {
  let manifest;
  try {
    manifest = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Error(`the bundle's manifest.json is not valid JSON (${error.message})`);
  }
  const files = Array.isArray(manifest?.files) ? manifest.files : [];
  if (files.length > 16) throw new Error("the bundle's manifest.json lists more files than any bundle has");
  for (const entry of files) {
    if (typeof entry?.name !== "string" || !/^[\w.-]{1,100}$/.test(entry.name) || entry.name.startsWith(".")) {
      throw new Error("the bundle's manifest.json lists a file whose name is not allowed");
    }
    if (!Number.isSafeInteger(entry.bytes) || entry.bytes < 0) {
      throw new Error(`the bundle's manifest.json gives no size for ${entry.name}`);
    }
    if (typeof entry.sha256 !== "string" || !/^[0-9a-f]{64}$/i.test(entry.sha256)) {
      throw new Error(`the bundle's manifest.json gives no sha256 for ${entry.name}`);
    }
  }
  if (files.reduce((sum, { bytes }) => sum + bytes, 0) > MAX_BUNDLE) {
    throw new Error("the bundle is larger than 1 GiB, which is more than this page accepts");
  }
  return { ...manifest, files };
}

/**
 * The mechanism of a manifest by its name, with RGA's gates beside it as "dcal+rga"; null where there is none that could be shown.
 * @returns {string | null}
 */
export function mechanismOf(manifest) {
  const { name, gates, glca } = manifest?.architecture?.mechanism ?? {};
  if (typeof name !== "string") return null;
  // PWCA is training's alone: without GLCA the network is the plain one.
  if (name === "dcal" && !glca) return gates ? "rga" : "none";
  return gates ? `${name}+rga` : name;
}

/** Whether this browser hashes; then a bundle's files were held to their hashes when they were read, several times as fast as the module. */
export const hashes = () => Boolean(globalThis.crypto?.subtle);

/** The sha256 in hexadecimal digits, or null where the browser has no such function (an address without https). */
export async function sha256(bytes) {
  if (!hashes()) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
