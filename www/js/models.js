// The bundles that the page offers, from models/index.json.

/** @returns {Promise<{id: string, title: string, path: string, classes: number, bytes: number}[]>} */
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
  for (const model of models) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "model", value: model.id, checked: model.id === current.id });
    input.addEventListener("change", () => chosen(model));
    const title = document.createElement("span");
    [title.textContent] = model.title.split(":"); // "Birds: 100 species" is "Birds" here
    label.append(input, title);
    label.title = `${model.title} (${model.classes} classes), ${(model.bytes / 1e6).toFixed(1)} MB`;
    fieldset.append(label);
  }
}
