// What a network's own attention mechanism has to show of a photo, beside rollout, which every network has.

import { mapOf } from "./layers.js";

/**
 * @typedef {{ values: Float32Array, grid: number[], label: string }} Own a value for each patch, and what they are
 *
 * @param {import("../pkg/finegrain.js").Classifier} classifier
 * @param {object} of the answer to the photo
 * @returns {Promise<Own | null>} null where the network has nothing but rollout
 */
export async function ownLook(classifier, of) {
  const patches = of.rollout.length;
  if (classifier.gatesAfter.length > 0) {
    const values = (await classifier.gates({ of })).slice(-patches);
    return { values, grid: of.grid, label: `RGA’s gates after layer ${classifier.gatesAfter.at(-1)}` };
  }
  if (classifier.masksAfter.length > 0) {
    const masks = await classifier.masks({ of });
    const heads = masks.length / classifier.masksAfter.length / patches;
    const values = mapOf(masks, classifier.masksAfter.length - 1, "mean", heads, patches);
    return { values, grid: of.grid, label: `Rectify’s masks after layer ${classifier.masksAfter.at(-1)}` };
  }
  return null;
}
