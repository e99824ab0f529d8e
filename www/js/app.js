// The page: choose a network, take photos, show what it says of them. Each feature is a module of its own.

import { clearStorage, preview } from "../pkg/finegrain.js";
import { clearAnswer, showAnswer, spokenAnswer } from "./answer.js";
import { bundlesDialog } from "./bundles.js";
import { cameraDialog } from "./camera.js";
import { Chooser } from "./chooser.js";
import { CropFrame } from "./crop.js";
import { Gallery, photoOf } from "./gallery.js";
import { drawLegend } from "./heat.js";
import { listen } from "./intake.js";
import { linkDialog } from "./link.js";
import { Look } from "./look.js";
import { fetchModels, isOwn, keptModels, nameOf, ownModel, subjectOf } from "./models.js";
import { Network } from "./network.js";
import { notice, settled } from "./notices.js";
import { keepPage, persist, showKept } from "./offline.js";
import { Stage } from "./stage.js";
import { fail, painted, say, sentence } from "./status.js";

const find = (id) => document.getElementById(id);

const query = new URLSearchParams(location.search);
const network = new Network(query.get("backend") ?? "auto", loading);
const stage = new Stage(find("stage"), find("attention"));
const crop = new CropFrame(find("crop-layer"), find("attention"), (region) => lookAt(region));
const chooser = new Chooser({ subjects: find("models"), mechanisms: find("mechanisms"), said: find("mechanism-said") }, choose);
const look = new Look(stage, showBranch, {
  others: () => models.filter((model) => model !== network.model),
  name: (model = network.model) => nameOf(model, models),
  // What was fetched for it is kept as well, and the foot of the page tells so.
  load: (model, said) => network.beside(model, said).finally(() => showKept(forgetCleared).catch(console.warn)),
});
const gallery = new Gallery(find("gallery"), {
  classifier: () => network.classifier(),
  show: (photo) => show(photo),
  answered: (photo) => photo === current && photo.result && showResult(),
  bundle: () => network.model,
});

let models = []; // what can be chosen
let chosen = null; // the model that was chosen last; one on trial is none yet
let current = null; // the photo on the stage (gallery.js: Photo)
let size = null; // its width and height
let turn = 0; // the latest photo or network wins; what comes late is dropped
let coming = 0; // photos on their way to the stage

async function choose(next) {
  const former = network.model;
  if (former !== next) network.choose(next);
  if (former !== next && former?.cleared) forget(former); // it was in memory only
  chosen = next;
  chooser.mark(next);
  const isAwaited = coming > 0; // by a photo on its way, which asks for the answer itself
  const mine = isAwaited ? turn : ++turn;
  settled("bundle");
  if (next.id === "own") query.delete("model"); // in memory only: not there the next time
  else query.set("model", next.id);
  history.replaceState(null, "", `?${query}`);
  for (const button of document.querySelectorAll("[data-sample]")) button.hidden = button.dataset.subject !== subjectOf(next);
  find("classes").textContent = `its ${next.classes} classes`;
  gallery.forget();
  if (current) current.result = null;
  explain();
  try {
    const ready = await network.classifier();
    if (mine !== turn) return;
    if (isAwaited) return;
    if (gallery.isOpen) await gallery.run();
    else if (current) await run(mine);
    else say("ready", `Ready, ${device(ready)}`);
  } catch (error) {
    if (mine === turn) fail(error);
  } finally {
    showKept(forgetCleared).catch(console.warn);
  }
}

/** A bundle from the person's own disk, which this browser keeps; where it cannot be used the former network comes back. */
async function openOwn(own) {
  const former = chosen;
  const model = { id: "own", title: "Your own", classes: 0, bytes: 0, own };
  network.choose(model);
  if (coming === 0) turn += 1; // a photo on its way asks for the answer itself
  gallery.forget();
  explain();
  let reason;
  try {
    const classifier = await network.classifier();
    // Photos may come and go meanwhile; only another network ends its trial.
    if (network.model !== model) return;
    Object.assign(model, ownModel(own, classifier));
    offer([...models.filter(({ id }) => id !== model.id), model]);
    persist().catch(console.warn);
  } catch (error) {
    if (network.model !== model) return;
    reason = sentence(error.message);
  }
  await choose(reason && former ? former : model);
  if (reason) notice("bundle", `Your bundle cannot be used. ${reason}`);
}

/** Takes one of the person's own bundles away, from this page and from the browser's storage. */
async function removeOwn(model) {
  await clearStorage(model.own).catch(console.warn);
  forget(model);
  if (network.model === model) choose(models[0]);
  else await showKept(forgetCleared);
}

function forget(model) {
  offer(models.filter((other) => other !== model));
}

function offer(next) {
  models = next;
  chooser.offer(models);
}

/** All is cleared: of the own ones only the one in use stays, until another one is chosen or the page is left. */
function forgetCleared() {
  for (const model of models.filter(({ id }) => isOwn(id))) {
    if (model === network.model) model.cleared = true;
    else forget(model);
  }
}

/** One photo, which may still be on its way. It joins the gallery where there is one. */
async function take(arriving) {
  const mine = ++turn;
  say("running", "Opening the photo.");
  try {
    coming += 1;
    try {
      const photo = photoOf(await arriving);
      if (mine !== turn) return;
      if (gallery.isOpen) gallery.add([photo]);
      else await open(photo, mine);
    } catch (error) {
      // No answer to an earlier photo stands beside an error about this one.
      if (mine === turn) place(null, null);
      throw error;
    } finally {
      coming -= 1;
    }
    if (mine === turn) await run(mine);
  } catch (error) {
    if (mine === turn) fail(error);
  }
}

/** A photo of the gallery, whose answer may be there already. */
async function show(photo) {
  const mine = ++turn;
  try {
    await open(photo, mine);
    if (mine === turn && photo.result) showResult();
  } catch {
    if (mine === turn) place(null, null); // its tile says what is wrong with it
  }
}

/** Puts a photo onto the stage, unless another one has come meanwhile. */
async function open(photo, mine) {
  const shown = await preview(photo.file);
  if (mine === turn) place(photo, shown);
  else shown.bitmap.close();
}

/** Another part of the photo on the stage, or all of it (null). */
async function lookAt(region) {
  if (!current) return;
  const mine = ++turn;
  Object.assign(current, { region, result: null, error: null });
  explain();
  try {
    await run(mine);
  } catch (error) {
    if (mine === turn) fail(error);
  }
}

/** Classifies the photo on the stage, once the network is there. */
async function run(mine) {
  const ready = await network.classifier();
  if (mine !== turn) return;
  const [photo, { region }, { model }] = [current, current, network];
  say("running", "Looking.");
  await painted();
  const result = await ready.classify(photo.file, { topK: 5, ...(region && { region }) });
  // It may be another photo's turn by now, and this one's answer is still its answer.
  if (network.model === model && photo.region === region) {
    photo.result = result;
    gallery.update(photo);
  }
  if (mine !== turn) return;
  showResult();
  say("ready", `Took ${Math.round(result.timings.total)} ms ${device(ready)}`, spokenAnswer(result));
}

function showResult() {
  const photo = current;
  const { result } = photo;
  showBranch(result, "both");
  cropButtons();
  const open = (ready) => photo.result === result && photo === current && look.open(ready, photo, result);
  network.classifier().then(open).catch(fail);
}

/** Shows a result, or what one of its branches says alone. */
function showBranch(result, name) {
  stage.explain(result);
  showAnswer(result, name);
}

function place(photo, shown) {
  explain(photo === null);
  current = photo;
  size = shown && { width: shown.width, height: shown.height };
  stage.show(shown, photo?.name);
  find("invitation").hidden = photo !== null;
  if (photo?.region) crop.open(size, photo.region);
  else crop.close();
  cropButtons();
}

/** Takes the answer away; `forGood` where none is on its way. */
function explain(forGood = false) {
  look.close(forGood);
  stage.explain(null);
  clearAnswer();
  cropButtons();
}

function cropButtons() {
  find("crop").disabled = current === null;
  find("crop").setAttribute("aria-pressed", String(crop.isOpen));
  find("uncrop").disabled = !current?.region;
  find("zoom").disabled = !current?.result?.zoom;
}

function toggleCrop() {
  if (crop.isOpen) crop.close();
  else {
    crop.open(size, current.region);
    crop.focus();
  }
  cropButtons();
}

/** What runs the network, and why it is not the GPU; ends a sentence. */
function device({ backend: used, adapter, reason }) {
  if (used === "webgpu") return `on WebGPU (${adapter}).`;
  return `on the ${adapter}.${reason ? ` ${sentence(reason)}` : ""}`;
}

/** A way to stop the loading, or to try it again. */
function loading(state) {
  const button = find("loading");
  button.hidden = state === "ready";
  button.textContent = state === "loading" ? "Stop" : "Try again";
  button.onclick = () => (state === "loading" ? network.stop() : choose(network.model));
}

function start() {
  drawLegend(find("legend"));
  // Browsers keep what was set before a reload: read it, then listen.
  const layers = () => stage.layers({ opacity: find("opacity").value / 100, queries: find("queries").checked });
  find("opacity").addEventListener("input", layers);
  find("queries").addEventListener("change", layers);
  layers();
  const takers = { photo: take, photos: (files) => gallery.add(files.map(photoOf)), bundle: openOwn };
  takers.link = linkDialog(find("link-dialog"), take);
  const openCamera = cameraDialog(find("camera-dialog"), { take, classifier: () => network.classifier(), fail });
  const openBundles = bundlesDialog(find("bundles-dialog"), { models: () => models, own: openOwn, remove: removeOwn });
  find("link").addEventListener("click", () => takers.link());
  find("camera").addEventListener("click", () => openCamera());
  find("bundles").addEventListener("click", () => openBundles());
  find("crop").addEventListener("click", toggleCrop);
  find("zoom").addEventListener("click", () => crop.open(size, current.result.zoom, true));
  find("uncrop").addEventListener("click", () => {
    crop.close();
    lookAt(null);
  });
  listen({ input: find("photo"), veil: find("drop"), samples: document.querySelector(".samples") }, takers);
}

start();
try {
  const kept = keptModels().catch((error) => {
    console.warn(error); // what another tab clears at this moment
    return [];
  });
  offer([...(await fetchModels()), ...(await kept)]);
  const wanted = query.get("model");
  const first = models.find(({ id }) => id === wanted) ?? models[0];
  if (wanted && first.id !== wanted) console.warn(`there is no model "${wanted}"; showing ${first.id}`);
  await choose(first);
  persist().catch(console.warn);
  await keepPage();
} catch (error) {
  fail(error);
}
