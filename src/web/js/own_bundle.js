// A bundle from the user's own disk: the files of a folder, or one .zip. Nothing is fetched, and nothing is kept.

import { MAX_MANIFEST, readManifest, sha256 } from "./manifest.js";

// `MAX_ARCHIVE` in src/bundle/archive.rs, which holds to it too; this check comes before the file is read.
const MAX_ZIP = 512 << 20;

/** One bundle of a session, with the same functions as `Bundle`. */
export class OwnBundle {
  #own;
  #tell;
  #module;
  #bytes = null;
  #passed = new Set();
  manifest = null;

  /**
   * @param {Blob | {file: File, path: string}[]} own a zip, or the files of a folder with their paths in it
   * @param {{progress(event: object): void}} tell
   * @param {() => Promise<typeof import("./cpu.js")>} module what unpacks a zip
   */
  constructor(own, tell, module) {
    this.#own = own;
    this.#tell = tell;
    this.#module = module;
  }

  async open() {
    await this.#with(async (read) => {
      this.#bytes = await read("manifest.json", MAX_MANIFEST);
    });
    this.manifest = readManifest(this.#bytes);
  }

  get manifestBytes() {
    return this.#bytes;
  }

  /** The content of each file by its name; the caller may empty the map. The module checks it once more. */
  async files() {
    const entries = this.manifest.files;
    const total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
    const files = new Map();
    let loaded = 0;
    await this.#with(async (read) => {
      for (const { name, bytes: size, sha256: hash } of entries) {
        const bytes = await read(name, size);
        if (bytes.length !== size) {
          throw new Error(`${name} has ${bytes.length} bytes, its bundle promises ${size}; it is cut off or changed, copy it again`);
        }
        const found = await sha256(bytes);
        if (found !== null && found !== hash.toLowerCase()) {
          throw new Error(`${name} does not have the sha256 that its manifest names; it is damaged or changed, copy it again`);
        }
        files.set(name, bytes);
        loaded += size;
        this.#tell.progress({ stage: "download", loaded, total });
      }
    });
    return files;
  }

  async passed(what) {
    return this.#passed.has(what);
  }

  async notePassed(what) {
    this.#passed.add(what);
  }

  /** Calls `work` with a function that reads a file of the bundle, at most so many bytes of it. */
  async #with(work) {
    if (!(this.#own instanceof Blob)) return work(fromFolder(this.#own));
    if (this.#own.size > MAX_ZIP) {
      throw new Error(`the zip file is larger than ${MAX_ZIP >> 20} MiB; open the bundle's folder instead`);
    }
    const { Zip } = await this.#module();
    const zip = new Zip(await bytesOf(this.#own, "the zip file"));
    try {
      return await work(async (name, limit) => zip.file(name, limit));
    } finally {
      zip.free();
    }
  }
}

/** The bundle's files lie beside its manifest; of several manifests the one nearest to the top counts. */
function fromFolder(files) {
  const depth = (path) => path.split("/").length;
  const manifests = files.map(({ path }) => path).filter((path) => /(^|\/)manifest\.json$/.test(path));
  const [nearest = "manifest.json"] = manifests.sort((a, b) => depth(a) - depth(b));
  const folder = nearest.slice(0, -"manifest.json".length);
  return async (name, limit) => {
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
