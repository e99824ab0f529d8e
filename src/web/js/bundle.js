// A bundle's files, from the browser's storage or from its server, checked.

import { fetchSmall, fill, isBroken, MemorySink } from "./download.js";
import { MAX_MANIFEST, readManifest, sha256 } from "./manifest.js";
import { alone, Store, whyNotKept } from "./store.js";

// With a bundle at hand, a server that is slow to say whether there is a newer one is not waited for.
const PATIENCE = 5000;

/** One bundle of a session. */
export class Bundle {
  #url;
  #tell;
  #store = null;
  #inMemory = null; // name -> content, where there is no storage
  #bytes = null;
  manifest = null;

  /**
   * @param {string} url the bundle's folder, absolute, with a final slash
   * @param {{progress(event: object): void, notice(notice: object): void}} tell
   */
  constructor(url, tell) {
    this.#url = url;
    this.#tell = tell;
  }

  /** Its manifest: the server's, or the stored one where the server cannot be reached. */
  async open() {
    try {
      this.#store = await Store.open(this.#url);
    } catch (error) {
      this.#withoutStorage(error);
    }
    const stored = (await this.#store?.manifest()) ?? null;
    const options = { cache: "no-cache", ...(stored && { signal: AbortSignal.timeout(PATIENCE) }) };
    try {
      this.#bytes = await fetchSmall(new URL("manifest.json", this.#url), MAX_MANIFEST, options);
    } catch (error) {
      if (!isBroken(error)) throw error;
      if (!stored) throw new Error(`manifest.json could not be fetched: ${error.message}`);
      this.#bytes = stored;
    }
    this.manifest = readManifest(this.#bytes);
  }

  get manifestBytes() {
    return this.#bytes;
  }

  /** The content of each file by its name; the caller may empty the map. */
  async files() {
    if (this.#inMemory) return new Map(this.#inMemory);
    const wait = () =>
      this.#tell.notice({ kind: "waiting", text: "Another tab is fetching this network; waiting for it." });
    if (!this.#store) return this.#collect();
    return alone(this.#url, wait, () => this.#collect());
  }

  async #collect() {
    const entries = this.manifest.files;
    const total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
    const have = new Map(entries.map(({ name }) => [name, 0]));
    const progress = (name, length) => {
      have.set(name, length);
      const loaded = [...have.values()].reduce((sum, length) => sum + length, 0);
      this.#tell.progress({ stage: "download", loaded, total });
    };
    if (entries.length > 0) progress(entries[0].name, 0);
    const files = new Map();
    for (const entry of entries) {
      files.set(entry.name, await this.#file(entry, (length) => progress(entry.name, length)));
    }
    try {
      await this.#store?.commit(this.#bytes, entries);
    } catch (error) {
      this.#withoutStorage(error);
    }
    if (!this.#store) this.#inMemory = new Map(files);
    return files;
  }

  /** One file, right to the last bit where the browser can tell (`hashes`); elsewhere the module does. */
  async #file(entry, onBytes) {
    const stored = await this.#store?.read(entry.sha256);
    if (stored?.length === entry.bytes && (await isRight(stored, entry))) {
      onBytes(entry.bytes);
      return stored;
    }
    // What was there goes on being filled; if it turns out to be wrong, it is fetched once more from the start.
    const begun = stored !== null && stored !== undefined && stored.length > 0;
    if (begun && stored.length >= entry.bytes) await this.#store.remove(entry.sha256);
    const bytes = await this.#fetch(entry, onBytes);
    if (await isRight(bytes, entry)) return bytes;
    await this.#store?.remove(entry.sha256);
    if (begun) {
      const again = await this.#fetch(entry, onBytes);
      if (await isRight(again, entry)) return again;
      await this.#store?.remove(entry.sha256);
    }
    throw new Error(`${entry.name} does not have the sha256 that its manifest names; it is damaged or changed on the server`);
  }

  async #fetch(entry, onBytes) {
    const url = new URL(encodeURIComponent(entry.name), this.#url);
    const trouble = (text) => this.#tell.notice({ kind: "connection", text });
    let sink = new MemorySink();
    try {
      if (this.#store) sink = await this.#store.sink(entry.sha256);
    } catch (error) {
      this.#withoutStorage(error);
    }
    // Where the storage is full, the file goes on in memory with the byte at which it is.
    const growing = {
      get length() {
        return sink.length;
      },
      write: (chunk) => {
        try {
          sink.write(chunk);
        } catch (error) {
          const begun = sink.bytes();
          sink.clear();
          sink.close();
          this.#store.remove(entry.sha256);
          this.#withoutStorage(error);
          sink = new MemorySink(begun);
          sink.write(chunk);
        }
      },
      clear: () => sink.clear(),
    };
    try {
      await fill(url, entry.bytes, growing, onBytes, trouble);
      return sink.bytes();
    } finally {
      sink.close();
    }
  }

  #withoutStorage(error) {
    this.#store = null;
    const text = `The browser cannot keep this network (${whyNotKept(error)}): it is in memory only and is fetched again next time.`;
    this.#tell.notice({ kind: "storage", text });
  }

  /** Whether this device passed the self-test of this bundle; `what` names device and build. */
  async passed(what) {
    return (await this.#store?.passed(this.#key(what))) ?? false;
  }

  async notePassed(what) {
    await this.#store?.notePassed(this.#key(what)).catch(() => {}); // then it is made again next time
  }

  #key(what) {
    return [what, ...this.manifest.files.map(({ sha256: hash }) => hash.slice(0, 16))].join(" ");
  }
}

async function isRight(bytes, entry) {
  const hash = bytes.length === entry.bytes && (await sha256(bytes));
  return hash === null || hash === entry.sha256.toLowerCase();
}
