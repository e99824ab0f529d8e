// The network of the chosen bundle: loaded when it is first asked for, given back when another one is chosen.

import { Classifier } from "../pkg/finegrain.js";
import { classifierNotice, settled } from "./notices.js";
import { say, sayProgress } from "./status.js";

/** @typedef {import("./models.js").Model} Model */

export class Network {
  #backend;
  #loading = null; // {controller, classifier: Promise<Classifier>}

  /** @param {string} backend "auto", "webgpu" or "cpu" */
  constructor(backend) {
    this.#backend = backend;
    /** @type {Model | null} the bundle that is chosen */
    this.model = null;
  }

  /** Gives the former network back and makes this bundle the chosen one. @param {Model} model */
  choose(model) {
    this.#release();
    this.model = model;
  }

  /** The classifier of the chosen bundle; a failed attempt is made again when the next photo asks. */
  classifier() {
    if (!this.model) return Promise.reject(new Error("no model is chosen; reload the page"));
    if (!this.#loading) {
      const controller = new AbortController();
      const current = { controller };
      const heard = (listener) => (said) => {
        if (this.#loading === current) listener(said);
      };
      say("loading", "Fetching the network.");
      current.classifier = Classifier.load(this.model.own ?? this.model.path, {
        backend: this.#backend,
        keep: true,
        onProgress: heard(sayProgress),
        onNotice: heard(classifierNotice),
        signal: controller.signal,
      });
      current.classifier.catch(() => {
        if (this.#loading === current) this.#loading = null;
      });
      current.classifier.catch(() => {}).then(() => ["connection", "waiting"].forEach(settled));
      this.#loading = current;
    }
    return this.#loading.classifier;
  }

  #release() {
    if (!this.#loading) return;
    this.#loading.controller.abort();
    this.#loading.classifier.then((old) => old.free()).catch(() => {});
    this.#loading = null;
  }
}
