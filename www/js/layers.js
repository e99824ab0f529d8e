// The chooser of layer and head: a thumbnail for each.

import { thumbnail } from "./heat.js";

/** The last column: the second look. */
export const GLCA = "glca";

export class Layers {
  #box;
  #chosen;
  #buttons = []; // {button, layer, head}
  #shape = "";

  /** @param {HTMLElement} box  @param {() => void} chosen another layer or head is the current one */
  constructor(box, chosen) {
    this.#box = box;
    this.#chosen = chosen;
    this.layer = 0;
    this.head = "mean";
    box.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Thumbnails for a network of that shape; the current choice stays where there is one. */
  build({ layers, heads, ratio }) {
    const shape = `${layers} ${heads} ${ratio}`;
    if (shape === this.#shape) return;
    this.#shape = shape;
    this.#buttons = [];
    this.layer = layers - 1;
    this.head = "mean";
    const named = [...Array(layers).keys(), ...(ratio === null ? [] : [GLCA])];
    this.#box.style.setProperty("--rows", String(heads + 1));
    this.#box.replaceChildren(namesOf(heads), ...named.map((layer) => this.#group(layer, heads)));
    this.#mark();
  }

  #group(layer, heads) {
    const group = document.createElement("div");
    group.className = "layer";
    const title = document.createElement("span");
    title.textContent = layer === GLCA ? "2nd" : String(layer + 1);
    title.setAttribute("aria-hidden", "true");
    group.append(title);
    for (const head of ["mean", ...Array(heads).keys()]) {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("role", "radio");
      button.setAttribute("aria-label", nameOf(layer, head));
      button.title = nameOf(layer, head);
      button.append(document.createElement("canvas"));
      button.addEventListener("click", () => this.choose(layer, head));
      this.#buttons.push({ button, layer, head });
      group.append(button);
    }
    return group;
  }

  choose(layer, head) {
    this.layer = layer;
    this.head = head;
    this.#mark();
    this.#chosen();
  }

  /**
   * Draws every thumbnail.
   * @param {(layer: number | "glca", head: number | "mean") => Float32Array | null} values null: there is no such map
   * @param {[number, number]} grid
   */
  draw(values, grid) {
    for (const { button, layer, head } of this.#buttons) {
      const map = values(layer, head);
      button.disabled = map === null;
      if (map) thumbnail(button.firstChild, map, grid);
      else button.firstChild.width = 1; // empty
    }
  }

  #mark() {
    for (const { button, layer, head } of this.#buttons) {
      const is = layer === this.layer && head === this.head;
      button.setAttribute("aria-checked", String(is));
      button.tabIndex = is ? 0 : -1;
    }
  }

  /** As the keyboard sees them: layers from left to right, heads from top to bottom. */
  #key(event) {
    const at = this.#buttons.findIndex(({ layer, head }) => layer === this.layer && head === this.head);
    const rows = Number(this.#box.style.getPropertyValue("--rows"));
    const step = { ArrowRight: rows, ArrowLeft: -rows, ArrowDown: 1, ArrowUp: -1 }[event.key];
    const next = step && this.#buttons[at + step];
    if (!step) return;
    event.preventDefault();
    if (!next || next.button.disabled) return;
    this.choose(next.layer, next.head);
    next.button.focus();
  }
}

/** The heads' names beside the thumbnails; the buttons carry their own. */
function namesOf(heads) {
  const names = document.createElement("div");
  names.className = "layer names";
  names.setAttribute("aria-hidden", "true");
  const texts = ["", "all", ...Array.from({ length: heads }, (_, head) => String(head + 1))];
  names.append(...texts.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
  return names;
}

export function nameOf(layer, head) {
  const where = layer === GLCA ? "Second look" : `Layer ${layer + 1}`;
  return `${where}, ${head === "mean" ? "all heads" : `head ${head + 1}`}`;
}

/** The map of one layer and head out of rows that lie one after the other, `[layers, heads, patches]`. */
export function mapOf(values, index, head, heads, patches) {
  const rows = values.subarray(index * heads * patches, (index + 1) * heads * patches);
  if (head !== "mean") return rows.subarray(head * patches, (head + 1) * patches);
  const mean = new Float32Array(patches);
  rows.forEach((value, i) => (mean[i % patches] += value / heads));
  return mean;
}
