// What a network's own attention mechanism has to show of a photo, beside the map that every network has; and the words for both.

import { mapOf } from "./layers.js";

/** What is drawn over the photo: rollout, or what a residual network has in its place. */
export const MAPS = { rollout: "Rollout", activation: "What spoke for the name" };

/** What a network is made of, one behind the other: only a transformer has heads. */
export const stepOf = ({ heads }) => (heads > 0 ? "layer" : "stage");

/**
 * The values of one place out of those that lie one after the other, as many from each as its map is large.
 * @param {Float32Array} values  @param {readonly number[]} after behind how many layers the places are  @param {number} place
 * @param {readonly (readonly [number, number])[]} grids behind each layer
 * @returns {{ values: Float32Array, heads: number, patches: number, grid: readonly [number, number] }}
 */
export function partOf(values, after, place, grids) {
  const sizes = after.map((layers) => grids[layers - 1][0] * grids[layers - 1][1]);
  const sum = (sizes) => sizes.reduce((sum, size) => sum + size, 0);
  const heads = values.length / sum(sizes);
  const [start, patches] = [heads * sum(sizes.slice(0, place)), sizes[place]];
  return { values: values.subarray(start, start + heads * patches), heads, patches, grid: grids[after[place] - 1] };
}

/**
 * @typedef {{ values?: Float32Array, grid?: readonly [number, number], sampling?: import("./resampled.js").Sampling,
 *   label: string }} Own a value for each patch of a grid, or how the photo was resampled, and what that is
 *
 * @param {import("../pkg/finegrain.js").Classifier} classifier
 * @param {object} of the answer to the photo
 * @returns {Promise<Own | null>} null where the network has nothing but the map that all have
 */
export async function ownLook(classifier, of) {
  const { gatesAfter, masksAfter, grids } = classifier;
  // Of a network with both: its gates serve the modules, which vote.
  if (masksAfter.length > 0) {
    const { values, heads, patches, grid } = partOf(await classifier.masks({ of }), masksAfter, masksAfter.length - 1, grids);
    const mean = mapOf(values, 0, "mean", heads, patches);
    return { values: mean, grid, label: `Rectify’s masks after ${stepOf(classifier)} ${masksAfter.at(-1)}` };
  }
  if (gatesAfter.length > 0) {
    const { values, grid } = partOf(await classifier.gates({ of }), gatesAfter, gatesAfter.length - 1, grids);
    return { values, grid, label: `RGA’s gates after ${stepOf(classifier)} ${gatesAfter.at(-1)}` };
  }
  return of.sampling ? { sampling: of.sampling, label: "As TASN resampled the photo" } : null;
}
