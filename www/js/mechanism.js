// What a network's own attention mechanism has to show of a photo, beside rollout, which every network has.

/**
 * @typedef {{ values: Float32Array, grid: number[], label: string }} Own a value for each patch, and what they are
 *
 * @param {import("../pkg/finegrain.js").Classifier} classifier
 * @param {object} of the answer to the photo
 * @returns {Promise<Own | null>} null where the network has nothing but rollout
 */
export async function ownLook(classifier, of) {
  const last = classifier.gatesAfter.at(-1);
  if (last === undefined) return null;
  const gates = await classifier.gates({ of });
  const values = gates.slice(gates.length - of.rollout.length);
  return { values, grid: of.grid, label: `RGA’s gates after layer ${last}` };
}
