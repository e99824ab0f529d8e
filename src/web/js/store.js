// Bundles in the browser's own storage: the origin private file system (OPFS).
//
// Why OPFS and not the Cache API: a broken download goes on where it stopped, so what has come must be appended to, and a
// cache only takes whole responses. One folder for each bundle's address (`own:` and a hash for one from the user's own
// disk) holds
//   record.json      {url, manifest}: written last, it makes the files beside it a bundle
//   <sha256>         a file under the hash of its content; shorter than the manifest says, it is still on its way
//   passed.json      self-tests that were passed
// Beside the folders lies tiles.txt, what the module measured on this graphics device: the module knows whether it still holds.
// Nothing is believed for being there: each file is hashed whenever it is read, so that a torn write costs a download and
// never a wrong answer. A new version of a bundle is fetched beside the old one and replaces it with its record. One tab
// at a time works on a bundle (Web Locks); a browser frees the lock of a tab that dies.

import { mechanismOf, sha256 } from "./manifest.js";

/** What the address of a copy of a bundle from the user's own disk begins with. */
export const OWN = "own:";

const ROOT = "finegrain";
const RECORD = "record.json";
const PASSED = "passed.json";
const TILES = "tiles.txt";
const MAX_TILES = 1 << 20;
const decoder = new TextDecoder();

/** One bundle's folder. For workers: files are written through handles that only workers have. */
export class Store {
  #folder;
  #url;

  constructor(folder, url) {
    this.#folder = folder;
    this.#url = url;
  }

  /** @throws where the browser has no such storage, or none left */
  static async open(url) {
    if (!globalThis.FileSystemFileHandle?.prototype.createSyncAccessHandle) {
      throw new Error("this browser gives pages no storage for files");
    }
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle(ROOT, { create: true });
    return new Store(await root.getDirectoryHandle(await folderName(url), { create: true }), url);
  }

  /** The same where there is one already, else null. */
  static async find(url) {
    try {
      return new Store(await (await folder()).getDirectoryHandle(await folderName(url)), url);
    } catch {
      return null; // nothing was ever kept under this address
    }
  }

  /** Removes all that is kept of a bundle; nobody else may be at work on it. */
  static async discard(url) {
    await (await folder())?.removeEntry(await folderName(url), { recursive: true });
  }

  /** The manifest of the bundle that is here, or null. */
  async manifest() {
    const record = await this.#json(RECORD);
    return typeof record?.manifest === "string" ? new TextEncoder().encode(record.manifest) : null;
  }

  /** Makes the files of this manifest the bundle, and removes all others. */
  async commit(manifestBytes, files) {
    const manifest = decoder.decode(manifestBytes);
    const current = await this.#json(RECORD);
    if (current?.manifest !== manifest) await this.#write(RECORD, { url: this.#url, manifest });
    const kept = new Set([RECORD, PASSED, ...files.map(({ sha256: hash }) => hash.toLowerCase())]);
    for await (const name of this.#folder.keys()) if (!kept.has(name)) await this.#folder.removeEntry(name);
  }

  /** A file to be gone on with, empty if it is new. */
  async sink(hash) {
    return new FileSink(await writable(await this.#folder.getFileHandle(hash.toLowerCase(), { create: true })));
  }

  /** A whole file at once. */
  async put(hash, bytes) {
    const sink = await this.sink(hash);
    try {
      sink.clear();
      sink.write(bytes);
    } finally {
      sink.close();
    }
  }

  /** The content of a file of at most `limit` bytes, or null. */
  async read(hash, limit = Infinity) {
    try {
      const file = await (await this.#folder.getFileHandle(hash.toLowerCase())).getFile();
      return file.size > limit ? null : new Uint8Array(await file.arrayBuffer());
    } catch {
      return null; // not there, or no longer readable: fetched again
    }
  }

  remove(hash) {
    return this.#folder.removeEntry(hash.toLowerCase()).catch(() => {});
  }

  async passed(key) {
    const keys = await this.#json(PASSED);
    return Array.isArray(keys) && keys.includes(key);
  }

  async notePassed(key) {
    const keys = await this.#json(PASSED);
    await this.#write(PASSED, [key, ...(Array.isArray(keys) ? keys : [])].slice(0, 8));
  }

  async #json(name) {
    try {
      return JSON.parse(await (await (await this.#folder.getFileHandle(name)).getFile()).text());
    } catch {
      return null;
    }
  }

  #write(name, value) {
    return writeText(this.#folder, name, JSON.stringify(value));
  }
}

/** What was measured on this graphics device at an earlier visit, or undefined. */
export async function readTiles() {
  try {
    const file = await (await (await folder()).getFileHandle(TILES)).getFile();
    return file.size > MAX_TILES ? undefined : await file.text();
  } catch {
    return undefined; // never measured, or no storage
  }
}

/** Keeps it for the next visit; without room or storage that measures again. */
export async function keepTiles(text) {
  try {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle(ROOT, { create: true });
    await writeText(root, TILES, text);
  } catch (error) {
    console.warn(`what was measured on this graphics device cannot be kept: ${whyNotKept(error)}`);
  }
}

async function writeText(folder, name, text) {
  const handle = await writable(await folder.getFileHandle(name, { create: true }));
  try {
    handle.truncate(0);
    writeAll(handle, new TextEncoder().encode(text), 0);
    handle.flush();
  } finally {
    handle.close();
  }
}

/** A file that grows. */
class FileSink {
  #handle;

  constructor(handle) {
    this.#handle = handle;
    this.length = handle.getSize();
  }

  write(chunk) {
    writeAll(this.#handle, chunk, this.length);
    this.length += chunk.length;
  }

  clear() {
    this.#handle.truncate(0);
    this.length = 0;
  }

  /** What has come so far. */
  bytes() {
    const bytes = new Uint8Array(this.length);
    this.#handle.read(bytes, { at: 0 });
    return bytes;
  }

  close() {
    this.#handle.flush();
    this.#handle.close();
  }
}

/** Why a bundle could not be kept, within a sentence. */
export function whyNotKept(error) {
  return error.name === "QuotaExceededError" ? "its storage is full" : error.message;
}

async function folderName(url) {
  return (await sha256(new TextEncoder().encode(url))).slice(0, 32);
}

/** The only handle on a file for as long as it is open. The one of a tab that was just closed may outlive it a little. */
async function writable(file) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await file.createSyncAccessHandle();
    } catch (error) {
      if (attempt === 20 || error.name !== "NoModificationAllowedError") throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function writeAll(handle, bytes, at) {
  // Some browsers write less than was asked for on a full disk, instead of failing.
  if (handle.write(bytes, { at }) !== bytes.length) throw new DOMException("no room is left", "QuotaExceededError");
}

/** Runs `work` while no other tab works on the bundle; `onWait` is called if one does at the moment. */
export async function alone(url, onWait, work) {
  const { locks } = navigator;
  if (!locks) return work(); // such a browser's file handles still exclude each other
  const name = `${ROOT} ${url}`;
  const nobody = Symbol("another tab has the lock");
  const first = await locks.request(name, { ifAvailable: true }, (lock) => (lock ? work() : nobody));
  if (first !== nobody) return first;
  onWait();
  return locks.request(name, work);
}

/** What the browser keeps for this site. For pages and workers. */
export async function storage() {
  const bundles = [];
  const root = await folder();
  if (root) {
    for await (const handle of root.values()) {
      if (handle.kind === "directory") bundles.push(await describe(handle));
    }
  }
  const persisted = (await navigator.storage?.persisted?.().catch(() => false)) ?? false;
  return { bytes: bundles.reduce((sum, { bytes }) => sum + bytes, 0), bundles, persisted };
}

/** Removes what the browser keeps for this site: one bundle's files, or those of all. A download under way ends first. */
export async function clearStorage(url) {
  const root = await folder();
  if (!root) return;
  const wanted = url === undefined ? null : addressOf(String(url));
  const handles = [];
  for await (const handle of root.values()) handles.push(handle);
  for (const handle of handles) {
    const bundle = handle.kind === "directory" ? await describe(handle) : { url: null };
    if (wanted !== null && bundle.url !== wanted) continue;
    await alone(bundle.url ?? handle.name, () => {}, () => root.removeEntry(handle.name, { recursive: true }));
  }
}

/** As a bundle's address is kept: a folder's ends with a slash, however it was written. */
function addressOf(url) {
  const { href } = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
  return href.endsWith("/") || url.startsWith(OWN) ? href : `${href}/`;
}

async function folder() {
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle(ROOT);
  } catch {
    return null; // nothing was ever stored, or there is no storage
  }
}

async function describe(handle) {
  const bundle = { url: null, id: null, title: null, classes: null, mechanism: null, bytes: 0 };
  for await (const [name, entry] of handle.entries()) {
    const file = await entry.getFile().catch(() => null);
    bundle.bytes += file?.size ?? 0;
    if (name !== RECORD || !file) continue;
    try {
      const { url, manifest } = JSON.parse(await file.text());
      const found = JSON.parse(manifest);
      const [id, title] = [String(found.id), String(found.title)];
      const classes = found.labels?.length ?? null;
      Object.assign(bundle, { url: String(url), id, title, classes, mechanism: mechanismOf(found) });
    } catch {
      // A record that was cut off: the next visit writes it again.
    }
  }
  return bundle;
}
