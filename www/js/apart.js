// What set the two most probable classes apart.

import { SIDES, sidesImage } from "./heat.js";
import { plainName } from "./lists.js";

/** Names the two sides, each beside its colour. */
export function nameSides(elements, labels) {
  elements.forEach((element, i) => {
    element.textContent = plainName(labels[i] ?? "");
    element.style.setProperty("--side", `rgb(${SIDES[i].join(" ")})`);
  });
}

/**
 * @param {Float32Array} values of one branch, above 0 for the first class
 * @param {[string, string]} labels
 * @param {"first" | "both" | "second"} shown
 * @returns {{image: OffscreenCanvas, said: string}} the map and what it adds up to
 */
export function apart(values, grid, labels, shown) {
  const sum = (sign) => values.reduce((sum, value) => sum + Math.max(0, sign * value), 0);
  const [first, second] = [sum(1), sum(-1)];
  const [a, b] = labels.map(plainName);
  const said =
    `Patches spoke for ${a} with ${first.toFixed(2)} and for ${b} with ${second.toFixed(2)}: what attention carried ` +
    `from each patch straight to the difference of the two scores. What the network worked out in between is not part of it.`;
  return { image: sidesImage(values, grid, shown), said };
}
