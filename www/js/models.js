// The bundles that the page offers: those of models/index.json, and those from the person's own disk; and how each is called.

import { storage } from "../pkg/finegrain.js";
import { sentence } from "./status.js";

/**
 * @typedef {{
 *   id: string, title: string, classes: number, bytes: number, path?: string, own?: File | File[] | string,
 *   accuracy?: number, test_photos?: number, memory?: number, precision?: string, subject?: string, mechanism?: string | null,
 * }} Model `bytes` is what is fetched, `memory` what running it takes; `own` is a bundle from the person's own disk, or the
 *   address of the copy that this browser keeps of it; `subject` and `mechanism`: `list` in native/src/store.rs says what they are
 */

/** The mechanisms by their names in a manifest: how people call them, and what each does, as the end of a sentence. */
const MECHANISMS = {
  none: { title: "Plain", does: "self-attention and nothing else" },
  dcal: { title: "DCAL", does: "the patches that mattered most get a second look at the whole photo" },
  rga: { title: "RGA", does: "gates between the layers let through what stands out beside all the rest" },
  rectify: { title: "Attend and Rectify", does: "modules behind the layers look for themselves and vote with the classifier" },
  tasn: { title: "TASN", does: "the photo is looked at again, magnified where the first look went" },
};

/** How a mechanism is called and what it does; nothing of one that the page does not know. @param {string | null} [name] */
function known(name) {
  const [first, beside] = name?.split("+") ?? [];
  const own = Object.hasOwn(MECHANISMS, first ?? "") ? MECHANISMS[first] : undefined;
  if (!own || beside !== "rga") return own;
  return { title: `${own.title} with RGA`, does: `${MECHANISMS.rga.does}, and ${own.does}` };
}

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
  return own.map(({ url, title, classes, mechanism, bytes }) => ({ id: url, title, classes, mechanism, bytes, own: url }));
}

/**
 * An entry like those for a bundle that was just loaded from the person's own disk.
 * @param {File | File[]} own @param {import("../pkg/finegrain.js").Classifier} classifier
 * @returns {Model}
 */
export function ownModel(own, { title, labels, mechanism, kept }) {
  const bytes = [own].flat().reduce((sum, { size }) => sum + size, 0);
  return { id: kept ?? "own", title, classes: labels.length, mechanism, bytes, own: kept ?? own };
}

/** A title without what it says of the classes: "Birds: 100 species" is "Birds". */
export const shortTitle = (title) => title.split(":")[0];

/** What a network names: those with the same subject are one choice in the switch. @param {Model} model */
export const subjectOf = ({ id, own, subject }) => (own ? id : (subject ?? id));

/** The networks with the same subject as this one, itself among them. @param {Model} model  @param {Model[]} models */
export const alike = (model, models) => models.filter((other) => subjectOf(other) === subjectOf(model));

/** How the subject of a network is called: as the network that it is named after. @param {Model} model  @param {Model[]} models */
export function subjectTitle(model, models) {
  const { title, own } = models.find(({ id }) => id === subjectOf(model)) ?? model;
  // Of what one trains oneself there may be several versions, also beside the page's own.
  return own ? `${shortTitle(title)} (own)` : shortTitle(title);
}

/** How a network is called among those of its subject: by its mechanism where that tells them apart. @param {Model} model */
export function mechanismTitle(model, models) {
  const isAlone = alike(model, models).filter(({ mechanism }) => mechanism === model.mechanism).length === 1;
  return (isAlone && known(model.mechanism)?.title) || shortTitle(model.title);
}

/** How a network is called among all: "Birds", and where there are several for cars "Cars, RGA". @param {Model} model */
export function nameOf(model, models) {
  const subject = subjectTitle(model, models);
  return alike(model, models).length > 1 ? `${subject}, ${mechanismTitle(model, models)}` : subject;
}

/** "RGA: gates between the layers let through ..."; empty where nothing is known of it. @param {Model} model */
export function mechanismLine({ mechanism }, hasTitle = true) {
  const found = known(mechanism);
  if (!found) return "";
  return sentence(hasTitle ? `${found.title}: ${found.does}` : found.does);
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
