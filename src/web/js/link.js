// The page's end of the wire to a worker: questions with an answer each, and what the worker says by itself.

export class Link {
  #worker;
  #waiting = new Map();
  #next = 0;
  #end = null;

  /** @param {Record<string, (message: object) => void>} listeners by the type of what the worker says by itself */
  constructor(listeners = {}) {
    this.listeners = listeners;
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "finegrain" });
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    // A script that cannot be fetched or parsed; the network's own failures come as answers.
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const why = event.message ? ` (${event.message})` : "";
      this.end(new Error(`the page's worker could not be started${why}; reload the page, or update the browser`));
    };
    this.#worker.onmessageerror = () => this.end(new Error("the page's worker could not be understood; reload the page"));
  }

  /** Whether nothing can be asked any more. */
  get ended() {
    return this.#end !== null;
  }

  /** @returns {Promise<any>} what the worker answers */
  ask(type, message = {}, transfer = []) {
    if (this.#end) return Promise.reject(this.#end);
    const id = (this.#next += 1);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      try {
        this.#worker.postMessage({ ...message, id, type }, transfer);
      } catch (error) {
        this.#waiting.delete(id);
        reject(error);
      }
    });
  }

  /** Ends the worker, whatever it is doing: what still waits for it fails with `reason`. */
  end(reason = new Error("the network was freed")) {
    if (this.#end) return;
    this.#end = reason;
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }

  #receive({ id, type, ...message }) {
    if (id === undefined) {
      this.listeners[type]?.(message);
      return;
    }
    const { resolve, reject } = this.#waiting.get(id) ?? {};
    this.#waiting.delete(id);
    if (type === "done") {
      resolve?.(message.value);
      return;
    }
    const error = Object.assign(new Error(message.text), { name: message.name });
    reject?.(error);
    // After a trap the module's memory cannot be trusted: the worker is given up with it.
    if (message.fatal) this.end(error);
  }
}
