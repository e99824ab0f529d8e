// Two answers side by side: another photo by the same network, or the same photo by another network.

import { preview } from "../pkg/finegrain.js";
import { heatImage, rangeOf } from "./heat.js";
import { fillList, plainName } from "./lists.js";
import { drawPhoto } from "./map.js";
import { MAPS, ownLook } from "./mechanism.js";
import { outline } from "./stage.js";

/**
 * @typedef {{ shown: object, result: object, name: string, own: import("./mechanism.js").Own | null }} Side
 */

export class Pair {
  #box;
  #other = null; // Side, and {between: "photos" | "networks"}
  #opacity = 1;
  #isOwn = false;

  /** @param {HTMLElement} box */
  constructor(box) {
    this.#box = box;
  }

  /**
   * Takes an answer to stand beside the first.
   * @param {"photos" | "networks"} between what differs
   * @param {Blob} file  @param {{ name: string, region?: object | null }} about
   */
  async take(classifier, file, between, { name, region }) {
    const shown = await preview(file, 800);
    try {
      const result = await classifier.classify(file, { topK: 3, ...(region && { region }) });
      const own = await ownLook(classifier, result);
      this.close();
      this.#other = { shown, result, name, own, between };
    } catch (error) {
      shown.bitmap.close();
      throw error;
    }
  }

  close() {
    this.#other?.shown.bitmap.close();
    this.#other = null;
    this.#box.hidden = true;
    this.#box.replaceChildren();
  }

  set opacity(opacity) {
    this.#opacity = opacity;
  }

  /** Whether to draw what the mechanisms have of their own instead of the map that all have. */
  set isOwn(isOwn) {
    this.#isOwn = isOwn;
  }

  get between() {
    return this.#other?.between ?? null;
  }

  /** Whether there is more to see than that. @param {Side} first */
  hasOwn(first) {
    return this.#other !== null && (first.own ?? this.#other.own) !== null;
  }

  /** Draws both, if there are two; says in a sentence how they compare. @param {Side} first */
  draw(first) {
    if (!this.#other) return "";
    const both = [first, this.#other];
    const { between } = this.#other;
    const ranges = both.map(({ result }) => rangeOf(result.rollout));
    // Of one network the numbers mean the same in both photos; those of two networks are each on a scale of their own.
    const one = [Math.min(...ranges.map(([low]) => low)), Math.max(...ranges.map(([, high]) => high))];
    this.#box.hidden = false;
    this.#box.replaceChildren(...both.map((side, i) => this.#figure(side, between === "photos" ? one : ranges[i])));
    const [a, b] = both.map(({ result }) => plainName(result.predictions[0].label));
    if (a === b) return `Both ${between}: ${a}.`;
    return between === "photos" ? `This photo: ${a}; the other: ${b}.` : `${first.name}: ${a}; ${this.#other.name}: ${b}.`;
  }

  #figure({ shown, result, name, own }, range) {
    const figure = document.createElement("figure");
    const canvas = document.createElement("canvas");
    const { crop, grid, selected, rollout, map, predictions, recognised, sampling } = result;
    const ownMap = this.#isOwn ? own : null;
    const seen = ownMap?.label ?? MAPS[map];
    const scale = 640 / Math.max(crop.width, crop.height);
    [canvas.width, canvas.height] = [crop.width, crop.height].map((v) => Math.max(1, Math.round(v * scale)));
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${name}: ${seen} over the photo, most probable ${plainName(predictions[0].label)}`);
    const context = canvas.getContext("2d");
    const all = [0, 0, canvas.width, canvas.height];
    drawPhoto(context, shown, crop, ownMap?.sampling);
    context.globalAlpha = this.#opacity;
    if (!ownMap) context.drawImage(heatImage(rollout, grid, range, sampling), ...all);
    else if (ownMap.values) context.drawImage(heatImage(ownMap.values, ownMap.grid), ...all);
    context.globalAlpha = 1;
    if (!ownMap && selected.length > 0) outline(context, all, { selected, grid }, 2);
    const caption = document.createElement("figcaption");
    const list = document.createElement("ol");
    list.className = "short";
    fillList(list, predictions.slice(0, 3));
    const doubt = recognised === false ? ", which does not recognise it; most like" : "";
    caption.append(`${name}${doubt}`, element("small", seen), list);
    figure.append(canvas, caption);
    return figure;
  }
}

function element(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}
