// The page: choose a model, take photos, show what the network says.

import { branch, Classifier, preview } from "../pkg/finegrain.js";
import { drawLegend } from "./heat.js";
import { listen } from "./intake.js";
import { fillList, percent, plainName } from "./lists.js";
import { Look } from "./look.js";
import { buildSwitch, fetchModels } from "./models.js";
import { classifierNotice, settled } from "./notices.js";
import { keepPage, persist, showKept } from "./offline.js";
import { Stage } from "./stage.js";

const find = (id) => document.getElementById(id);
const MOST_PROBABLE = "Most probable";
/** No class reaches the threshold that was chosen on held-out photos. */
const NOT_RECOGNISED = "Not recognised; most like";

const query = new URLSearchParams(location.search);
const backend = query.get("backend") ?? "auto";
const stage = new Stage(find("stage"), find("attention"));
const look = new Look(stage, showAnswer);

let model = null; // the entry of index.json that is chosen
let loading = null; // {controller, classifier: Promise<Classifier>} of that model
let photo = null; // the file on the stage
let turn = 0; // the latest photo or model wins; what comes late is dropped

/** The one place that tells people and tests how things are. `spoken` is for who cannot see the list of classes. */
function say(state, text, spoken = "") {
  document.documentElement.dataset.state = state;
  const aside = document.createElement("span");
  aside.className = "unseen";
  aside.textContent = spoken && `${spoken} `;
  find("status").replaceChildren(aside, text);
  if (state !== "loading") find("progress").removeAttribute("value");
}

function sentence(text) {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

function fail(error) {
  console.warn(error);
  say("error", sentence(error.message));
}

function onProgress({ stage: step, loaded, total }) {
  const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
  const text = {
    download: `Fetching the network: ${megabytes(loaded)} of ${megabytes(total)} MB.`,
    verify: "Checking the network.",
    upload: "Loading the network.",
    compile: total > 0 ? `Preparing the graphics device: ${loaded} of ${total}.` : "Preparing the network.",
  }[step];
  // A sentence about a bad photo is not talked over by the loading that goes on.
  if (!text || document.documentElement.dataset.state === "error") return;
  say("loading", text);
  const bar = find("progress");
  if (total > 0) bar.value = loaded / total;
  else bar.removeAttribute("value");
}

/** The classifier of the chosen model; a failed attempt is made again when the next photo asks. */
function classifier() {
  if (!loading) {
    const controller = new AbortController();
    const current = { controller };
    const progress = (event) => {
      if (loading === current) onProgress(event);
    };
    const onNotice = (said) => {
      if (loading === current) classifierNotice(said);
    };
    say("loading", "Fetching the network.");
    current.classifier = Classifier.load(model.path, { backend, onProgress: progress, onNotice, signal: controller.signal });
    current.classifier.catch(() => {
      if (loading === current) loading = null;
    });
    current.classifier.catch(() => {}).then(() => ["connection", "waiting"].forEach(settled));
    loading = current;
  }
  return loading.classifier;
}

function release() {
  if (!loading) return;
  loading.controller.abort();
  loading.classifier.then((old) => old.free()).catch(() => {});
  loading = null;
}

async function choose(next) {
  release();
  model = next;
  const mine = ++turn;
  query.set("model", model.id);
  history.replaceState(null, "", `?${query}`);
  for (const button of document.querySelectorAll("[data-sample]")) button.hidden = button.dataset.model !== model.id;
  find("classes").textContent = `its ${model.classes} classes`;
  clear();
  try {
    const ready = await classifier();
    if (mine !== turn) return;
    if (photo) await run(mine);
    else say("ready", `Ready, ${device(ready)}`);
  } catch (error) {
    if (mine === turn) fail(error);
  }
}

async function take(arriving) {
  const mine = ++turn;
  say("running", "Opening the photo.");
  try {
    try {
      const blob = await arriving;
      const shown = await preview(blob);
      if (mine === turn) place(blob, shown);
      else shown.bitmap.close();
    } catch (error) {
      // No answer to an earlier photo stands beside an error about this one.
      if (mine === turn) place(null, null);
      throw error;
    }
    if (mine === turn) await run(mine);
  } catch (error) {
    if (mine === turn) fail(error);
  }
}

/** Classifies the photo on the stage, once the model is there. */
async function run(mine) {
  if (!model) throw new Error("no model is chosen; reload the page");
  const ready = await classifier();
  if (mine !== turn) return;
  say("running", "Looking.");
  await painted();
  const result = await ready.classify(photo, { topK: 5 });
  if (mine !== turn) return;
  showAnswer(result, "both");
  look.open(ready, { file: photo }, result);
  const [best] = result.predictions;
  const took = `${Math.round(result.timings.total)} ms`;
  const named = `${plainName(best.label)}, ${percent(best.probability)}.`;
  say("ready", `Took ${took} ${device(ready)}`, result.recognised === false ? `${NOT_RECOGNISED}: ${named}` : named);
}

/** Shows a result, or what one of its branches says alone. */
function showAnswer(result, name) {
  stage.explain(result);
  const alone = { sa: ", first look alone", glca: ", second look alone" }[name] ?? "";
  find("answer-title").textContent = (result.recognised === false ? NOT_RECOGNISED : MOST_PROBABLE) + alone;
  fillList(find("predictions"), branch(result, name));
  fillList(find("sa"), result.sa);
  fillList(find("glca"), result.glca);
  find("branches").hidden = result.glca.length === 0;
  find("how-many").textContent = `the ${result.selected.length} of ${result.rollout.length} patches with the highest rollout`;
}

function place(blob, shown) {
  clear();
  photo = blob;
  stage.show(shown, blob?.name ?? "pasted");
  find("invitation").hidden = blob !== null;
}

function clear() {
  look.close();
  stage.explain(null);
  find("answer-title").textContent = MOST_PROBABLE;
  for (const id of ["predictions", "sa", "glca"]) find(id).replaceChildren();
  find("branches").hidden = true;
}

/** What runs the network, and why it is not the GPU; ends a sentence. */
function device({ backend: used, adapter, reason }) {
  if (used === "webgpu") return `on WebGPU (${adapter}).`;
  return `on the ${adapter}.${reason ? ` ${sentence(reason)}` : ""}`;
}

/** The next frame has been drawn: what was said is on the screen before the work begins. A hidden page draws none. */
function painted() {
  return new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve));
    setTimeout(resolve, 100);
  });
}

function start() {
  drawLegend(find("legend"));
  // Browsers keep what was set before a reload: read it, then listen.
  const layers = () => stage.layers({ opacity: find("opacity").value / 100, queries: find("queries").checked });
  find("opacity").addEventListener("input", layers);
  find("queries").addEventListener("change", layers);
  layers();
  listen({ input: find("photo"), veil: find("drop"), samples: document.querySelector(".samples") }, take);
}

start();
try {
  const models = await fetchModels();
  const wanted = query.get("model");
  const first = models.find(({ id }) => id === wanted) ?? models[0];
  buildSwitch(find("models"), models, first, choose);
  if (wanted && first.id !== wanted) console.warn(`there is no model "${wanted}"; showing ${first.id}`);
  await choose(first);
  await persist();
  await Promise.all([showKept(), keepPage()]);
} catch (error) {
  fail(error);
}
