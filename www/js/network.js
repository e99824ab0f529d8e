// The network of the chosen bundle: loaded when it is first asked for, given back when another one is chosen.

import { Classifier } from "../pkg/finegrain.js";
import { classifierNotice, settled } from "./notices.js";
import { progressText, say, sayProgress } from "./status.js";

/** @typedef {import("./models.js").Model} Model */

export class Network {
  #backend;
  #changed;
  #loading = null; // {controller, classifier: Promise<Classifier>}
  #first; // settled once a bundle is chosen: the list of them takes a moment to come
  #chosen;

  /**
   * @param {string} backend "auto", "webgpu" or "cpu"
   * @param {(state: "loading" | "ready" | "failed") => void} changed how the loading of the chosen bundle is
   */
  constructor(backend, changed) {
    this.#backend = backend;
    this.#changed = changed;
    this.#first = new Promise((resolve) => (this.#chosen = resolve));
    /** @type {Model | null} the bundle that is chosen */
    this.model = null;
  }

  /** Gives the former network back and makes this bundle the chosen one. @param {Model} model */
  choose(model) {
    this.#release();
    // What was said of the former one.
    ["self-test", "storage", "step-down", "device-lost"].forEach(settled);
    this.model = model;
    this.#chosen();
  }

  /** The classifier of the chosen bundle; a failed attempt is made again when the next photo asks. */
  classifier() {
    if (!this.model) return this.#first.then(() => this.classifier());
    if (!this.#loading) {
      const controller = new AbortController();
      const current = { controller };
      const heard = (listener) => (said) => {
        if (this.#loading === current) listener(said);
      };
      say("loading", "Fetching the network.");
      this.#changed("loading");
      current.classifier = Classifier.load(this.model.own ?? this.model.path, {
        backend: this.#backend,
        keep: true,
        onProgress: heard(sayProgress),
        onNotice: heard(classifierNotice),
        signal: controller.signal,
      });
      this.#loading = current;
      const ended = (state) => {
        ["connection", "waiting"].forEach(settled);
        if (this.#loading !== current) return;
        if (state === "failed") this.#loading = null;
        this.#changed(state);
      };
      current.classifier.then(
        () => ended("ready"),
        () => ended("failed"),
      );
    }
    return this.#loading.classifier;
  }

  /**
   * Another bundle's classifier, beside the chosen one; the caller frees it.
   * @param {Model} model  @param {(text: string) => void} said how far it is
   */
  beside(model, said) {
    const onProgress = (progress) => said(progressText(progress) ?? "Preparing the network.");
    return Classifier.load(model.own ?? model.path, { backend: this.#backend, keep: true, onProgress });
  }

  /** Stops the loading: what has come is kept, and the next attempt goes on from there. */
  stop() {
    const reason = "Loading was stopped. What has come is kept.";
    this.#loading?.controller.abort(new DOMException(reason, "AbortError"));
  }

  #release() {
    if (!this.#loading) return;
    this.#loading.controller.abort();
    this.#loading.classifier.then((old) => old.free()).catch(() => {});
    this.#loading = null;
  }
}
