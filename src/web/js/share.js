// What the workers of one network have in common: numbers, and waiting for each other (src/web/threads.rs).
//
// Each worker has an instance of the module with a memory of its own, so the modules need no threads in wasm; what passes
// between them is copied through this memory.

const [ARRIVED, ROUND, BROKEN] = [0, 1, 2];
const HEAD = 64; // bytes

// The others are a few microseconds away most of the time: longer than that is slept.
const SPINS = 2000;
// A worker that the browser has ended says nothing. No block of a network takes a minute.
const PATIENCE = 60_000;

/** The memory for so many numbers. */
export function commonMemory(values) {
  return new SharedArrayBuffer(HEAD + 4 * values);
}

/** One worker's end of it. */
export class Share {
  #state;
  #values;
  #onBegin;

  /**
   * @param {SharedArrayBuffer} memory
   * @param {number} index which of `count` workers this is; the first one answers
   * @param {() => void} onBegin tells the others that a photo comes
   */
  constructor(memory, index, count, onBegin = () => {}) {
    this.#state = new Int32Array(memory, 0, HEAD / 4);
    this.#values = new Float32Array(memory, HEAD);
    [this.index, this.count] = [index, count];
    this.#onBegin = onBegin;
  }

  begin() {
    this.#onBegin();
  }

  give(at, values) {
    this.#values.set(values, at);
  }

  take(at, values) {
    values.set(this.#values.subarray(at, at + values.length));
  }

  /** Waits until each worker has come here as often as this one. */
  meet() {
    const state = this.#state;
    const round = Atomics.load(state, ROUND);
    if (Atomics.add(state, ARRIVED, 1) === this.count - 1) {
      Atomics.store(state, ARRIVED, 0);
      this.#nextRound();
    }
    for (let i = 0; i < SPINS && Atomics.load(state, ROUND) === round; i += 1);
    while (Atomics.load(state, ROUND) === round) {
      if (Atomics.wait(state, ROUND, round, PATIENCE) === "timed-out") this.break();
    }
    if (Atomics.load(state, BROKEN) !== 0) throw new Error("another worker does not answer");
  }

  /** This worker will not come any more: the others need not wait. */
  break() {
    Atomics.store(this.#state, BROKEN, 1);
    this.#nextRound();
  }

  #nextRound() {
    Atomics.add(this.#state, ROUND, 1);
    Atomics.notify(this.#state, ROUND);
  }
}
