// What is said, and what can be copied, when a device does not compute what the bundle's golden trace says.

import { BUILD } from "./build.js";

// Where each result of the trace comes from.
const PARTS = {
  "out.logits.sa": "the network up to the first answer (patch_embed, layer_norm, matmul, attention, classifier)",
  "out.rollout": "attention rollout (attention_mean, rollout)",
  "out.selected": "the choice of local queries (select)",
  "out.logits.glca": "the second look (gather, attention, matmul, classifier)",
  "out.probability": "the mean of both answers (probability)",
};

/** One or two sentences for the person. */
export function verdict(test, { backend, adapter }, { packed, tiled }) {
  const where = PARTS[firstWrong(test)?.name]?.split(" (")[0] ?? "the network";
  if (backend === "cpu") {
    return `This network's own test fails on the CPU too (${where}): do not trust its answers; the bundle may be damaged.`;
  }
  if (tiled) return `The graphics device (${adapter}) computes wrongly in the tiles that were fastest (${where}), so others are used.`;
  if (packed) return `The graphics device (${adapter}) reads packed weights wrongly (${where}), so it gets them in f32.`;
  return `The graphics device (${adapter}) computes wrongly (${where}), so the CPU is used instead.`;
}

/** A text to be sent to us, by hand. */
export function report(test, { backend, adapter }, manifest) {
  const first = firstWrong(test);
  const lines = [
    "finegrain self-test failed",
    `device: ${backend}, ${adapter}`,
    `browser: ${globalThis.navigator?.userAgent ?? "unknown"}`,
    `build: ${BUILD}`,
    `network: ${manifest.id} (${manifest.files.map(({ name, sha256 }) => `${name} ${sha256.slice(0, 16)}`).join(", ")})`,
    `first difference: ${first?.name ?? "none"}, ${PARTS[first?.name] ?? "unknown part"}`,
    `tolerance: ${test.tolerance}`,
    ...test.results.map(({ name, difference }) => `${name}: ${difference.toExponential(2)}${difference <= test.tolerance ? "" : " !"}`),
  ];
  return lines.join("\n");
}

function firstWrong({ results, tolerance }) {
  return results.find(({ difference }) => !(difference <= tolerance));
}
