// The bundles that the page offers, from models/index.json, and those from the user's own disk.

/**
 * @typedef {{
 *   id: string, title: string, classes: number, bytes: number, path?: string, own?: File | File[],
 *   accuracy?: number, test_photos?: number, memory?: number, precision?: string,
 * }} Model `bytes` is what is fetched, `memory` what running it takes
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

/** Fills the switch with one choice for each model and calls `chosen` with the model picked. */
export function buildSwitch(fieldset, models, current, chosen) {
  for (const model of models) addChoice(fieldset, model, model.id === current.id, chosen);
}

/** Adds a choice to the switch, or takes the place of the one with the same id. */
export function addChoice(fieldset, model, checked, chosen) {
  fieldset.querySelector(`input[value="${CSS.escape(model.id)}"]`)?.closest("label").remove();
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name: "model", value: model.id, checked });
  input.addEventListener("change", () => chosen(model));
  const title = document.createElement("span");
  [title.textContent] = model.title.split(":"); // "Birds: 100 species" is "Birds" here
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
