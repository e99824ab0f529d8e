// Several photos: a tile for each with its answer, classified one after the other.

import { preview } from "../pkg/finegrain.js";
import { percent, plainName } from "./lists.js";
import { fail, say, sentence } from "./status.js";
import { csv, json, save } from "./table.js";

const THUMBNAIL = 240;
/** More than anyone looks through; each costs a thumbnail's memory. */
const MOST = 1000;

/**
 * One photo and what is known of it.
 * @typedef {{file: Blob, name: string, region: object | null, result: object | null, error: string | null}} Photo
 */

/** @returns {Photo} */
export function photoOf(file) {
  return { file, name: file.name ?? "pasted", region: null, result: null, error: null };
}

export class Gallery {
  #section;
  #list;
  #asks;
  #tiles = new Map(); // Photo -> its button
  #run = 0; // the latest run; another one, or none, ends it

  /**
   * @param {HTMLElement} section
   * @param {{
   *   classifier: () => Promise<import("../pkg/finegrain.js").Classifier>,
   *   show: (photo: Photo) => void, answered: (photo: Photo) => void, bundle: () => {id: string, title: string},
   * }} asks what the rest of the page does
   */
  constructor(section, asks) {
    this.#section = section;
    this.#list = section.querySelector("ul");
    this.#asks = asks;
    const on = (action, press) => section.querySelector(`[data-action="${action}"]`).addEventListener("click", press);
    on("stop", () => (this.#running ? this.stop() : this.run()));
    on("csv", () => save("finegrain.csv", "text/csv", csv(this.photos, asks.bundle())));
    on("json", () => save("finegrain.json", "application/json", json(this.photos, asks.bundle())));
    on("clear", () => this.clear());
    this.#list.addEventListener("click", ({ target }) => {
      const photo = this.#photoAt(target);
      if (photo) this.select(photo);
    });
    this.#list.addEventListener("keydown", (event) => this.#walk(event));
  }

  get photos() {
    return [...this.#tiles.keys()];
  }

  get isOpen() {
    return this.#tiles.size > 0;
  }

  #running = false;

  /** Adds photos and looks at them; the first of them comes onto the stage. @param {Photo[]} photos */
  add(photos) {
    const room = MOST - this.#tiles.size;
    const taken = photos.slice(0, Math.max(0, room));
    this.#section.hidden = false;
    for (const photo of taken) {
      const tile = makeTile(photo);
      this.#tiles.set(photo, tile);
      const item = document.createElement("li");
      item.append(tile);
      this.#list.append(item);
    }
    if (taken.length > 0) this.select(taken[0]);
    this.run();
    if (taken.length < photos.length) fail(new Error(`the gallery holds ${MOST} photos; clear it to see the others`));
  }

  /** Puts a photo onto the stage. */
  select(photo) {
    for (const [other, tile] of this.#tiles) {
      tile.tabIndex = other === photo ? 0 : -1;
      if (other === photo) tile.setAttribute("aria-current", "true");
      else tile.removeAttribute("aria-current");
    }
    this.#asks.show(photo);
  }

  /** Shows what has become of a photo that is here. */
  update(photo) {
    const tile = this.#tiles.get(photo);
    if (!tile) return;
    const [best] = photo.result?.predictions ?? [];
    const [name, share] = [tile.querySelector(".best"), tile.querySelector(".share")];
    name.textContent = photo.error ?? (best ? plainName(best.label) : "…");
    share.textContent = best ? percent(best.probability) : "";
    tile.dataset.state = photo.error ? "error" : best ? "ready" : "waiting";
    tile.dataset.label = best?.label ?? "";
    this.#count();
  }

  /** Looks at every photo that has no answer yet. */
  async run() {
    const mine = ++this.#run;
    const next = () => this.photos.find(({ result, error }) => !result && !error);
    if (!next()) return this.#end(mine);
    this.#mark(true);
    say("running", this.#tiles.size === 1 ? "Looking at 1 photo." : `Looking at ${this.#tiles.size} photos, one after the other.`);
    try {
      const classifier = await this.#asks.classifier();
      for (let photo = next(); photo && mine === this.#run; photo = next()) {
        say("running", `Looking at photo ${this.#done + 1} of ${this.#tiles.size}.`);
        await this.#look(photo, classifier, mine);
      }
      this.#end(mine);
    } catch (error) {
      if (mine !== this.#run) return;
      this.#mark(false);
      fail(error);
    }
  }

  async #look(photo, classifier, mine) {
    const { region } = photo;
    try {
      await this.#draw(photo);
      if (mine !== this.#run) return;
      const result = await classifier.classify(photo.file, { topK: 5, ...(region && { region }) });
      // Another network, or another part of the photo, was chosen meanwhile.
      if (mine !== this.#run || region !== photo.region) return;
      photo.result = result;
    } catch (error) {
      if (mine !== this.#run) return;
      photo.error = sentence(error.message);
    }
    this.update(photo);
    this.#asks.answered(photo);
  }

  async #draw(photo) {
    const canvas = this.#tiles.get(photo)?.querySelector("canvas");
    if (!canvas || canvas.dataset.drawn) return;
    const { bitmap } = await preview(photo.file, THUMBNAIL);
    Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
    const context = canvas.getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    canvas.dataset.drawn = "yes";
  }

  /** Stops after the photo in hand; `run` goes on. */
  stop() {
    if (!this.#running) return;
    this.#run += 1;
    this.#mark(false);
    say("ready", `Stopped: ${this.#done} of ${this.#tiles.size} photos have been looked at.`);
  }

  /** Forgets all answers: another network is chosen. */
  forget() {
    this.#run += 1;
    this.#mark(false);
    for (const photo of this.#tiles.keys()) {
      photo.result = photo.error = null;
      this.update(photo);
    }
  }

  /** Takes all photos away; the one on the stage stays there. */
  clear() {
    if (this.#running) this.stop();
    this.#tiles.clear();
    this.#list.replaceChildren();
    this.#section.hidden = true;
  }

  #end(mine) {
    if (mine !== this.#run) return;
    this.#mark(false);
    const broken = this.photos.filter(({ error }) => error).length;
    const named = this.photos.length - broken;
    const of = (count) => (count === 1 ? "1 photo" : `${count} photos`);
    say("ready", broken ? `${of(named)} looked at; ${broken} could not be used.` : `${of(named)} looked at.`);
  }

  get #done() {
    return this.photos.filter(({ result, error }) => result || error).length;
  }

  #mark(running) {
    this.#running = running;
    this.#section.dataset.running = String(running);
    this.#count();
  }

  #count() {
    const [done, all] = [this.#done, this.#tiles.size];
    Object.assign(this.#section.querySelector("progress"), { max: Math.max(1, all), value: done });
    this.#section.querySelector(".count").textContent = `${done} of ${all}`;
    const button = this.#section.querySelector('[data-action="stop"]');
    button.textContent = this.#running ? "Stop" : "Go on";
    button.disabled = !this.#running && done === all;
  }

  #photoAt(target) {
    const tile = target.closest("button");
    return this.photos.find((photo) => this.#tiles.get(photo) === tile);
  }

  /** One stop of the Tab key for the whole gallery; arrows walk within. */
  #walk(event) {
    const tiles = [...this.#tiles.values()];
    const at = tiles.indexOf(event.target.closest("button"));
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const row = tiles.findIndex((tile) => tile.offsetTop > tiles[0].offsetTop);
    const columns = row > 0 ? row : tiles.length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -at, End: tiles.length - 1 - at };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const next = tiles[at + steps[event.key]];
    if (!next) return;
    for (const tile of tiles) tile.tabIndex = tile === next ? 0 : -1;
    next.focus();
  }
}

/** Names come from files, labels from a bundle: both are shown as text only. */
function makeTile({ name }) {
  const tile = document.createElement("button");
  tile.type = "button";
  tile.tabIndex = -1;
  tile.dataset.state = "waiting";
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  canvas.setAttribute("aria-hidden", "true");
  const part = (className, text) => {
    const made = document.createElement("span");
    Object.assign(made, { className, textContent: text });
    return made;
  };
  tile.append(canvas, part("best", "…"), part("share", ""), part("file-name", name));
  return tile;
}
