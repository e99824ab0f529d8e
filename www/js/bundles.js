// The dialog about the networks: what each one is, and how to open one's own.

import { facts } from "./models.js";

/**
 * @param {HTMLDialogElement} dialog
 * @param {{models: () => import("./models.js").Model[], own: (own: File | File[]) => void}} page
 * @returns {() => void} opens the dialog
 */
export function bundlesDialog(dialog, { models, own }) {
  const [zip, folder] = ["own-zip", "own-folder"].map((id) => dialog.querySelector(`#${id}`));
  const taken = (input, files) => {
    input.value = ""; // the same one can be chosen again
    if (files.length === 0) return;
    dialog.close();
    own(input === zip ? files[0] : files);
  };
  for (const input of [zip, folder]) input.addEventListener("change", () => taken(input, [...input.files]));
  dialog.querySelector("[data-action=cancel]").addEventListener("click", () => dialog.close());
  return () => {
    dialog.querySelector("dl").replaceChildren(...models().flatMap(describe));
    dialog.showModal();
  };
}

/** Titles come from bundles: they are shown as text only. */
function describe(model) {
  const [title, text] = [document.createElement("dt"), document.createElement("dd")];
  title.textContent = model.title;
  text.textContent = `${facts(model).join(", ")}.`;
  return [title, text];
}

/**
 * An entry like those of the index for a bundle that is loaded from the user's own disk.
 * @param {File | File[]} own @param {import("../pkg/finegrain.js").Classifier} classifier
 */
export function ownModel(own, classifier) {
  const files = Array.isArray(own) ? own : [own];
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  return { id: "own", title: classifier.title, classes: classifier.labels.length, bytes, own };
}
