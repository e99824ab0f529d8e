// finegrain in a page of your own: choose a photo, read the five most probable species. Nothing leaves the browser.
import { Classifier } from "../pkg/finegrain.js";

const [input, status, list] = ["input", "p", "ol"].map((name) => document.querySelector(name));
const say = (text) => (status.textContent = text);
const percent = (share) => `${Math.round(100 * share)} %`;
try {
  // WebGPU or the CPU, whichever is faster here; the bundle is fetched once and kept in the browser's storage.
  const birds = await Classifier.load("../models/birds/", {
    onProgress: ({ stage, loaded, total }) => say(total ? `${stage}: ${percent(loaded / total)}` : stage),
    onNotice: ({ text }) => say(text),
  });
  say(`Ready on ${birds.adapter}.`);
  input.disabled = false;
  input.addEventListener("change", async () => {
    try {
      const { predictions, timings } = await birds.classify(input.files[0]);
      say(`${predictions[0].label}, after ${Math.round(timings.total)} ms.`);
      const lines = predictions.map(({ label, probability }) => `${label}: ${percent(probability)}`);
      list.replaceChildren(...lines.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
    } catch (error) {
      say(error.message); // one sentence for people
    }
  });
} catch (error) {
  say(error.message);
}
