// What a network's own attention mechanism has to show of a photo, beside rollout, which every network has.

import { mapOf } from "./layers.js";

/**
 * @typedef {{ values?: Float32Array, sampling?: import("./resampled.js").Sampling, label: string }} Own a value for each patch,
 *   or how the photo was resampled, and what that is
 *
 * @param {import("../pkg/finegrain.js").Classifier} classifier
 * @param {object} of the answer to the photo
 * @returns {Promise<Own | null>} null where the network has nothing but rollout
 */
export async function ownLook(classifier, of) {
  const patches = of.rollout.length;
  if (classifier.gatesAfter.length > 0) {
    const values = (await classifier.gates({ of })).slice(-patches);
    return { values, label: `RGA’s gates after layer ${classifier.gatesAfter.at(-1)}` };
  }
  if (classifier.masksAfter.length > 0) {
    const masks = await classifier.masks({ of });
    const heads = masks.length / classifier.masksAfter.length / patches;
    const values = mapOf(masks, classifier.masksAfter.length - 1, "mean", heads, patches);
    return { values, label: `Rectify’s masks after layer ${classifier.masksAfter.at(-1)}` };
  }
  return of.sampling ? { sampling: of.sampling, label: "As TASN resampled the photo" } : null;
}
