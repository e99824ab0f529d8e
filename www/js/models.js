// The bundles that the page offers: those of models/index.json, and those from the person's own disk.

import { storage } from "../pkg/finegrain.js";

/**
 * @typedef {{
 *   id: string, title: string, classes: number, bytes: number, path?: string, own?: File | File[] | string,
 *   accuracy?: number, test_photos?: number, memory?: number, precision?: string,
 * }} Model `bytes` is what is fetched, `memory` what running it takes; `own` is a bundle from the person's own disk, or the
 *   address of the copy that this browser keeps of it
 */

/** @returns {Promise<Model[]>} */
export async function fetchModels() {
  let response;
  try {
    response = await fetch("models/index.json", { cache: "no-cache" });
  } catch (error) {
    throw new Error(`the list of models cannot be fetched: the server cannot be reached (${error.message})`);
  }
  if (!response.ok) throw new Error(`the list of models cannot be fetched: the server answered ${response.status}`);
  const { models } = await response.json().catch(() => ({}));
  if (!Array.isArray(models) || models.length === 0) throw new Error("models/index.json lists no models");
  return models;
}

/** Whether an address is that of a copy of a bundle from the person's own disk. */
export const isOwn = (url) => url?.startsWith("own:") ?? false;

/** The bundles from the person's own disk that this browser keeps. @returns {Promise<Model[]>} */
export async function keptModels() {
  const { bundles } = await storage();
  const own = bundles.filter(({ url }) => isOwn(url));
  return own.map(({ url, title, classes, bytes }) => ({ id: url, title, classes, bytes, own: url }));
}

/**
 * An entry like those for a bundle that was just loaded from the person's own disk.
 * @param {File | File[]} own @param {import("../pkg/finegrain.js").Classifier} classifier
 * @returns {Model}
 */
export function ownModel(own, { title, labels, kept }) {
  const bytes = [own].flat().reduce((sum, { size }) => sum + size, 0);
  return { id: kept ?? "own", title, classes: labels.length, bytes, own: kept ?? own };
}

/** A title without what it says of the classes: "Birds: 100 species" is "Birds". */
export const shortTitle = (title) => title.split(":")[0];

/** Fills the switch with one choice for each model and calls `chosen` with the model picked. */
export function buildSwitch(fieldset, models, current, chosen) {
  for (const model of models) addChoice(fieldset, model, model.id === current.id, chosen);
}

/** Takes the choice of the model with that id away, if there is one. */
export function removeChoice(fieldset, id) {
  fieldset.querySelector(`input[value="${CSS.escape(id)}"]`)?.closest("label").remove();
}

/** Adds a choice to the switch, or takes the place of the one with the same id. */
export function addChoice(fieldset, model, checked, chosen) {
  removeChoice(fieldset, model.id);
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name: "model", value: model.id, checked });
  input.addEventListener("change", () => chosen(model));
  const title = document.createElement("span");
  // Of what one trains oneself there may be several versions, also beside the page's own.
  title.textContent = model.own ? `${shortTitle(model.title)} (own)` : shortTitle(model.title);
  label.append(input, title);
  label.title = `${model.title}. ${facts(model).join(", ")}`;
  fieldset.append(label);
}

/** Size, accuracy and needs of a bundle, for people; what nobody measured is left out. @param {Model} model */
export function facts({ classes, bytes, accuracy, test_photos: photos, memory, own }) {
  const megabytes = (count, digits = 1) => `${(count / 1e6).toFixed(digits)} MB`;
  const known = [`${classes} classes`];
  if (bytes > 0) known.push(own ? megabytes(bytes) : `${megabytes(bytes)} to fetch once`);
  if (accuracy > 0) known.push(`right on ${(100 * accuracy).toFixed(1)} % of ${photos ?? "its"} test photos`);
  if (memory > 0) known.push(`needs about ${megabytes(memory, 0)} of memory`);
  return known;
}
