// How fast the networks are in this browser: measured in front of the person, to be copied as JSON or as Markdown.

import { Classifier } from "../pkg/finegrain.js";
import { fetchModels, keptModels } from "./models.js";

/** What is classified: one of the page's examples, so that everybody measures the same. */
const PHOTO = "samples/mallard.png";

const find = (id) => document.getElementById(id);
const say = (text) => (find("status").textContent = text);
const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/** @type {{network: string, backend: string, adapter: string, load: number, first: number, median: number, fastest: number,
 *  runs: number, wasm: number, gpu: number, download: number}[]} times in milliseconds, sizes in bytes */
const results = [];
let controller = null;

/** The middle of some times; of an even number, the mean of both. */
function median(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return (sorted[Math.floor(half)] + sorted[Math.ceil(half) - 1]) / 2;
}

/** Loads a network and classifies the photo `runs` + 1 times. */
async function measure(model, backend, runs, photo, signal) {
  const begin = performance.now();
  const onProgress = ({ stage }) => say(`${model.title}: ${stage}.`);
  const classifier = await Classifier.load(model.own ?? model.path, { backend, onProgress, signal });
  try {
    const load = performance.now() - begin;
    const times = [];
    for (let run = 0; run <= runs; run += 1) {
      signal.throwIfAborted();
      const { timings } = await classifier.classify(photo);
      times.push(timings.total);
      find("progress").value = (run + 1) / (runs + 1);
      say(`${model.title} on ${classifier.adapter}: run ${run} of ${runs}.`);
    }
    if (classifier.backend !== backend) throw new Error(`the network went over to ${classifier.adapter} meanwhile; measure again`);
    const [first, ...warm] = times;
    const { wasm, gpu } = await classifier.memory();
    const { adapter } = classifier;
    const fastest = Math.min(...warm);
    return { network: model.title, backend, adapter, load, first, median: median(warm), fastest, runs, wasm, gpu, download: model.bytes };
  } finally {
    classifier.free();
  }
}

/** What a row shows, in the order of the columns. */
function cells({ network, adapter, load, first, median: middle, fastest, wasm, gpu }) {
  const memory = gpu > 0 ? `${megabytes(wasm)} + ${megabytes(gpu)}` : megabytes(wasm);
  return [network, adapter, ...[load, first, middle, fastest].map(milliseconds), memory];
}

function show(result) {
  results.push(result);
  const row = find("rows").insertRow();
  for (const text of cells(result)) row.insertCell().textContent = text;
  for (const id of ["markdown", "json"]) find(id).disabled = false;
}

/** A table for an issue or a README; a name cannot break out of its cell. */
function markdown() {
  const line = (texts) => `| ${texts.map((text) => text.replace(/[|\\]/g, "\\$&")).join(" | ")} |`;
  const heads = [...document.querySelectorAll("thead th")].map((head) => head.textContent);
  return [line(heads), line(heads.map(() => "---")), ...results.map((result) => line(cells(result)))].join("\n");
}

function json() {
  const { userAgent, hardwareConcurrency: cores } = navigator;
  return JSON.stringify({ program: "finegrain", date: new Date().toISOString(), userAgent, cores, photo: PHOTO, results }, null, 2);
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied as ${what}.`);
  } catch (error) {
    say(`The browser does not let the page copy (${error.message}).`);
  }
}

function busy(is) {
  for (const id of ["bundle", "runs", "start"]) find(id).disabled = is;
  find("stop").hidden = !is;
  find("progress").hidden = !is;
}

async function run(models) {
  const chosen = [...document.querySelectorAll("[name=backend]:checked")].map(({ value }) => value);
  if (chosen.length === 0) return say("Choose at least one back end.");
  const model = models.find(({ id }) => id === find("bundle").value);
  controller = new AbortController();
  busy(true);
  const failures = [];
  try {
    const response = await fetch(PHOTO, { signal: controller.signal });
    if (!response.ok) throw new Error(`${PHOTO} cannot be fetched: the server answered ${response.status}`);
    const photo = await response.blob();
    for (const backend of chosen) {
      try {
        show(await measure(model, backend, find("runs").valueAsNumber, photo, controller.signal));
      } catch (error) {
        if (controller.signal.aborted) throw error;
        failures.push(error.message); // the other back end can be measured all the same
      }
    }
    say(failures.length > 0 ? failures.join("; ") : "Done.");
  } catch (error) {
    say(controller.signal.aborted ? "Stopped." : error.message);
  } finally {
    busy(false);
  }
}

try {
  const models = [...(await fetchModels()), ...(await keptModels())];
  for (const { id, title } of models) find("bundle").add(new Option(title, id));
  find("settings").addEventListener("submit", (event) => {
    event.preventDefault();
    run(models);
  });
  find("stop").addEventListener("click", () => controller?.abort());
  find("markdown").addEventListener("click", () => copy(markdown(), "Markdown"));
  find("json").addEventListener("click", () => copy(json(), "JSON"));
  busy(false);
  say("Choose a network and measure.");
} catch (error) {
  say(error.message);
}
