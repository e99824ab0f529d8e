// Two photos side by side: where the network looked, on one scale for both.

import { preview } from "../pkg/finegrain.js";
import { heatImage, rangeOf } from "./heat.js";
import { fillList, plainName } from "./lists.js";
import { drawPhoto } from "./map.js";
import { outline } from "./stage.js";

export class Pair {
  #box;
  #other = null; // {shown, result, name}
  #opacity = 1;

  /** @param {HTMLElement} box */
  constructor(box) {
    this.#box = box;
  }

  /** Takes another photo to stand beside the first. */
  async take(classifier, file) {
    const shown = await preview(file, 800);
    try {
      const result = await classifier.classify(file, { topK: 3 });
      this.close();
      this.#other = { shown, result, name: file.name ?? "the other photo" };
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

  /** Draws both, if there are two; says in a sentence how they compare. */
  draw(first) {
    if (!this.#other) return "";
    const both = [first, this.#other];
    const ranges = both.map(({ result }) => rangeOf(result.rollout));
    const range = [Math.min(...ranges.map(([low]) => low)), Math.max(...ranges.map(([, high]) => high))];
    this.#box.hidden = false;
    this.#box.replaceChildren(...both.map((photo) => this.#figure(photo, range)));
    const [a, b] = both.map(({ result }) => plainName(result.predictions[0].label));
    return a === b ? `Both photos: ${a}.` : `This photo: ${a}; the other: ${b}.`;
  }

  #figure({ shown, result, name }, range) {
    const figure = document.createElement("figure");
    const canvas = document.createElement("canvas");
    const { crop, grid, selected, rollout, predictions, sampling } = result;
    const scale = 640 / Math.max(crop.width, crop.height);
    [canvas.width, canvas.height] = [crop.width, crop.height].map((v) => Math.max(1, Math.round(v * scale)));
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${name}: attention over the photo, most probable ${plainName(predictions[0].label)}`);
    const context = canvas.getContext("2d");
    const all = [0, 0, canvas.width, canvas.height];
    drawPhoto(context, shown, crop);
    context.globalAlpha = this.#opacity;
    context.drawImage(heatImage(rollout, grid, range, sampling), ...all);
    context.globalAlpha = 1;
    if (selected.length > 0) outline(context, all, { selected, grid }, 2);
    const caption = document.createElement("figcaption");
    const list = document.createElement("ol");
    list.className = "short";
    fillList(list, predictions.slice(0, 3));
    caption.append(name, list);
    figure.append(canvas, caption);
    return figure;
  }
}
