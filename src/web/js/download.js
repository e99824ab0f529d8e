// Fetches one file into a sink, and goes on where a broken connection stopped.

// In a row and without a byte in between.
const ATTEMPTS = 5;
const FIRST_PAUSE = 500;

/** The connection, not the file: another attempt may get further. */
class Broken extends Error {}

/** Where no storage can be had: the file in memory. */
export class MemorySink {
  #chunks;

  constructor(begun = new Uint8Array()) {
    this.#chunks = [begun];
    this.length = begun.length;
  }

  write(chunk) {
    this.#chunks.push(chunk);
    this.length += chunk.length;
  }

  clear() {
    this.#chunks = [];
    this.length = 0;
  }

  bytes() {
    const bytes = new Uint8Array(this.length);
    let at = 0;
    for (const chunk of this.#chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    this.#chunks = [bytes];
    return bytes;
  }

  close() {}
}

/**
 * @param {URL} url
 * @param {number} size what the manifest promises; not a byte more is taken
 * @param {{length: number, write(chunk: Uint8Array): void, clear(): void}} sink
 * @param {(length: number) => void} onBytes how many bytes of the file there are
 * @param {(text: string) => void} onTrouble a sentence while it goes on
 */
export async function fill(url, size, sink, onBytes, onTrouble) {
  const name = nameOf(url);
  if (sink.length > size) sink.clear();
  for (let failures = 0; sink.length < size; ) {
    const before = sink.length;
    try {
      await fetchRest(url, size, sink, onBytes);
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      failures = sink.length > before ? 1 : failures + 1;
      if (failures >= ATTEMPTS) {
        throw new Error(
          sink.length > 0
            ? `${name} was cut off after ${sink.length} of ${size} bytes: ${error.message}; what has come is kept, so try again when the connection is back`
            : `${name} could not be fetched: ${error.message}; try again when the connection is back`,
        );
      }
      onTrouble(`The connection broke (${sink.length} of ${size} bytes of ${name} are here); trying to go on.`);
      await new Promise((resolve) => setTimeout(resolve, FIRST_PAUSE * 2 ** (failures - 1)));
    }
  }
}

async function fetchRest(url, size, sink, onBytes) {
  const name = nameOf(url);
  const from = sink.length;
  const headers = from > 0 ? { Range: `bytes=${from}-` } : {};
  // The browser's own cache would keep a second copy.
  const response = await request(url, { headers, cache: "no-store" });
  const short = (length) =>
    new Error(`${name} has ${length} bytes, its bundle promises ${size}; it may be cut off or out of date`);
  if (response.status === 416) {
    sink.clear();
    throw short(`fewer than ${from}`);
  }
  // A server without ranges sends everything again. No `If-Range`: what was put together is hashed in the end.
  if (from > 0 && (response.status !== 206 || !startsAt(response, from))) sink.clear();
  const reader = response.body.getReader();
  for (;;) {
    let step;
    try {
      step = await reader.read();
    } catch (error) {
      throw new Broken(`the connection broke (${error.message})`);
    }
    if (step.done) break;
    if (sink.length + step.value.length > size) {
      await reader.cancel();
      sink.clear();
      throw new Error(`${name} is longer than the ${size} bytes that are allowed for it`);
    }
    sink.write(step.value);
    onBytes(sink.length);
  }
  if (sink.length < size) {
    const { length } = sink;
    sink.clear();
    throw short(length);
  }
}

/** A small file at once, at most `limit` bytes. */
export async function fetchSmall(url, limit, options) {
  const response = await request(url, options);
  const sink = new MemorySink();
  const reader = response.body.getReader();
  for (;;) {
    const step = await reader.read().catch((error) => {
      throw new Broken(`${nameOf(url)} was cut off after ${sink.length} bytes: the connection broke (${error.message})`);
    });
    if (step.done) return sink.bytes();
    if (sink.length + step.value.length > limit) {
      await reader.cancel();
      throw new Error(`${nameOf(url)} is longer than the ${limit} bytes that are allowed for it`);
    }
    sink.write(step.value);
  }
}

async function request(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    throw new Broken(`the server cannot be reached (${error.message})`);
  }
  if (response.ok || response.status === 416) return response;
  const said = `the server answered ${response.status} ${response.statusText}`.trim();
  if (response.status >= 500 || response.status === 429) throw new Broken(said);
  throw new Error(`${nameOf(url)} could not be fetched: ${said}`);
}

/** Whether the server cannot be reached, as opposed to a server that says no. */
export function isBroken(error) {
  return error instanceof Broken;
}

function startsAt(response, from) {
  return Number(/^bytes (\d+)-/.exec(response.headers.get("Content-Range") ?? "")?.[1]) === from;
}

function nameOf(url) {
  return decodeURIComponent(url.pathname.split("/").pop());
}
