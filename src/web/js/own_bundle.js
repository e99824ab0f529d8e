// A bundle that no server has: from the user's own disk (the files of a folder, or one .zip), or the copy of such a one that
// the browser keeps. Nothing is fetched, and wherever the files come from they are checked whenever they are read.

import { MAX_MANIFEST, readManifest, sha256 } from "./manifest.js";
import { alone, OWN, Store, whyNotKept } from "./store.js";

// `MAX_ARCHIVE` in src/bundle/archive.rs, which holds to it too; this check comes before the file is read.
const MAX_ZIP = 512 << 20;

/** One bundle of a session, with the same functions as `Bundle`. */
export class OwnBundle {
  #own;
  #given; // what it was at first
  #tell;
  #module;
  #bytes = null;
  #store = null; // where there is a copy
  #passed = new Set(); // where there is none
  manifest = null;

  /**
   * @param {Blob | {file: File, path: string}[] | string} own a zip, the files of a folder with their paths in it, or the
   *   address of a copy
   * @param {{progress(event: object): void, notice(notice: object): void}} tell
   * @param {() => Promise<typeof import("./cpu.js")>} module what unpacks a zip
   */
  constructor(own, tell, module) {
    this.#own = own;
    this.#given = own;
    this.#tell = tell;
    this.#module = module;
  }

  async open() {
    if (this.kept) this.#store = await Store.find(this.kept);
    this.#bytes = await this.#with((read) => read({ name: "manifest.json", bytes: MAX_MANIFEST }));
    if (this.kept && (await addressOf(this.#bytes)) !== this.kept) throw gone();
    this.manifest = readManifest(this.#bytes);
  }

  get manifestBytes() {
    return this.#bytes;
  }

  /** The address of the copy that the browser keeps, or null. */
  get kept() {
    return typeof this.#own === "string" ? this.#own : null;
  }

  /** The content of each file by its name; the caller may empty the map. */
  async files() {
    const total = this.manifest.files.reduce((sum, { bytes }) => sum + bytes, 0);
    const files = new Map();
    await this.#each(({ name }, bytes) => {
      files.set(name, bytes);
      const loaded = [...files.values()].reduce((sum, { length }) => sum + length, 0);
      this.#tell.progress({ stage: "download", loaded, total });
    });
    return files;
  }

  /** Copies a bundle that has proved its worth into the browser's storage, and reads it from there from now on. */
  async keep() {
    if (this.kept) return;
    const address = await addressOf(this.#bytes);
    try {
      await alone(address, () => {}, () => this.#copy(address));
    } catch (error) {
      const text = `The browser cannot keep your network (${whyNotKept(error)}): it is in memory only, so open it again next time.`;
      this.#tell.notice({ kind: "storage", text });
    }
  }

  async #copy(address) {
    const store = await Store.open(address);
    try {
      await this.#each((entry, bytes) => store.put(entry.sha256, bytes));
      await store.commit(this.#bytes, this.manifest.files);
      for (const what of this.#passed) await store.notePassed(what);
    } catch (error) {
      await Store.discard(address).catch(() => {}); // half a copy is of no use
      throw error;
    }
    [this.#own, this.#store] = [address, store];
  }

  async passed(what) {
    return this.#store ? this.#store.passed(what) : this.#passed.has(what);
  }

  async notePassed(what) {
    this.#passed.add(what);
    await this.#store?.notePassed(what).catch(() => {}); // then the test is made again next time
  }

  /** Calls `take` with one file after the other, each right to the last bit where the browser can tell. */
  async #each(take) {
    await this.#with(async (read) => {
      for (const entry of this.manifest.files) {
        const bytes = await read(entry);
        const wrong = await wrongWith(bytes, entry);
        if (wrong) throw this.kept ? gone() : new Error(`${entry.name} ${wrong}, copy it again`);
        await take(entry, bytes);
      }
    });
  }

  /** Calls `work` with a function that reads a file of the bundle, at most as many bytes as its entry says. */
  async #with(work) {
    if (this.kept) {
      try {
        return await work(fromStore(this.#store));
      } catch (error) {
        if (typeof this.#given === "string") throw error;
        // The copy was cleared meanwhile; what the person gave is at hand still.
        [this.#own, this.#store] = [this.#given, null];
      }
    }
    if (!(this.#own instanceof Blob)) return work(fromFolder(this.#own));
    if (this.#own.size > MAX_ZIP) {
      throw new Error(`the zip file is larger than ${MAX_ZIP >> 20} MiB; open the bundle's folder instead`);
    }
    const { Zip } = await this.#module();
    const zip = new Zip(await bytesOf(this.#own, "the zip file"));
    try {
      return await work(async ({ name, bytes: limit }) => zip.file(name, limit));
    } finally {
      zip.free();
    }
  }
}

/** What a file is not, of what its manifest says; null where it is right. */
async function wrongWith(bytes, { bytes: size, sha256: hash }) {
  if (bytes.length !== size) return `has ${bytes.length} bytes, its bundle promises ${size}; it is cut off or changed`;
  const found = await sha256(bytes);
  if (found === null || found === hash.toLowerCase()) return null;
  return "does not have the sha256 that its manifest names; it is damaged or changed";
}

/** A copy lies under the hash of its manifest, which holds those of its files. */
async function addressOf(manifestBytes) {
  return `${OWN}${(await sha256(manifestBytes))?.slice(0, 32)}`;
}

function gone() {
  return new Error("this network is no longer whole in the browser’s storage; open it from the disk again");
}

function fromStore(store) {
  return async ({ sha256: hash, bytes: limit }) => {
    const bytes = hash ? await store?.read(hash, limit) : await store?.manifest();
    if (!bytes) throw gone();
    return bytes;
  };
}

/** The bundle's files lie beside its manifest; of several manifests the one nearest to the top counts. */
function fromFolder(files) {
  const depth = (path) => path.split("/").length;
  const manifests = files.map(({ path }) => path).filter((path) => /(^|\/)manifest\.json$/.test(path));
  const [nearest = "manifest.json"] = manifests.sort((a, b) => depth(a) - depth(b));
  const folder = nearest.slice(0, -"manifest.json".length);
  return async ({ name, bytes: limit }) => {
    const { file } = files.find(({ path }) => path === `${folder}${name}`) ?? {};
    if (!file) throw new Error(`the folder has no ${name}; choose the folder that \`finegrain export\` wrote, with all its files`);
    if (file.size > limit) throw new Error(`${name} has ${file.size} bytes, more than the ${limit} that are allowed for it`);
    return bytesOf(file, name);
  };
}

async function bytesOf(blob, name) {
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch (error) {
    throw new Error(`${name} cannot be read from the disk (${error.message}); choose it again`);
  }
}
