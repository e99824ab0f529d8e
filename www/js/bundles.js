// The dialog about the networks: what each one is, how to open one's own, and how to be rid of it.

import { facts, isOwn, mechanismLine } from "./models.js";

/**
 * @param {HTMLDialogElement} dialog
 * @param {{
 *   models: () => import("./models.js").Model[], own: (own: File | File[]) => void,
 *   remove: (model: import("./models.js").Model) => Promise<void>,
 * }} page
 * @returns {() => void} opens the dialog
 */
export function bundlesDialog(dialog, { models, own, remove }) {
  const [zip, folder] = ["own-zip", "own-folder"].map((id) => dialog.querySelector(`#${id}`));
  const taken = (input, files) => {
    input.value = ""; // the same one can be chosen again
    if (files.length === 0) return;
    dialog.close();
    own(input === zip ? files[0] : files);
  };
  for (const input of [zip, folder]) input.addEventListener("change", () => taken(input, [...input.files]));
  dialog.querySelector("[data-action=cancel]").addEventListener("click", () => dialog.close());
  const list = dialog.querySelector("dl");
  const fill = () => list.replaceChildren(...models().flatMap((model) => describe(model, removed)));
  const removed = async (model) => {
    await remove(model);
    fill();
    dialog.querySelector("[data-action=cancel]").focus();
  };
  return () => {
    fill();
    dialog.showModal();
  };
}

/** Titles come from bundles: they are shown as text only. */
function describe(model, remove) {
  const [title, text] = [document.createElement("dt"), document.createElement("dd")];
  title.textContent = model.title;
  const known = facts(model).join(", ");
  const isKept = isOwn(model.id) && !model.cleared;
  const left = model.cleared ? "another one is chosen or this page is left" : "this page is left";
  const place = isKept ? "kept on this device" : `in memory until ${left}`;
  text.textContent = model.own ? `Your own, ${place}: ${known}.` : [mechanismLine(model), `${known}.`].filter(Boolean).join(" ");
  if (!isKept) return [title, text];
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "plain", textContent: "Remove" });
  button.setAttribute("aria-label", `Remove ${model.title}`);
  button.addEventListener("click", () => {
    button.disabled = true;
    remove(model);
  });
  text.append(button);
  return [title, text];
}
