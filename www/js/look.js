// "How it looked": the section that opens an answer up. It asks nothing of the network before it is opened.

import { branch } from "../pkg/finegrain.js";
import { apart, nameSides } from "./apart.js";
import { Pair } from "./compare.js";
import { heatImage } from "./heat.js";
import { GLCA, Layers, mapOf, nameOf } from "./layers.js";
import { fillList, plainName } from "./lists.js";
import { PhotoMap } from "./map.js";
import { MAPS, ownLook, partOf, stepOf } from "./mechanism.js";
import { Ratio } from "./ratio.js";
import { largest } from "./resampled.js";

// Answers to the latest looks.
const KEPT = 12;

const find = (id) => document.getElementById(id);
const chosen = (name) => document.querySelector(`#look input[name="${name}"]:checked`).value;
const choose = (name, value) => {
  document.querySelector(`#look input[name="${name}"][value="${value}"]`).checked = true;
};

export class Look {
  #stage;
  #answered;
  #map;
  #layers;
  #ratio;
  #pair;
  #networks;
  #seen = null; // {classifier, photo, result, ratio, kept, own} of the answer on the page
  #query = null; // the patch that looks, or null for the class token
  #turn = 0;

  /**
   * @param {import("./stage.js").Stage} stage
   * @param {(result: object, branch: string) => void} answered shows an answer on the page
   * @param {{ others: () => import("./models.js").Model[], name: (model?: import("./models.js").Model) => string,
   *   load: (model: object, said: (text: string) => void) => Promise<object> }} networks
   *   that can stand beside the page's
   */
  constructor(stage, answered, networks) {
    this.#stage = stage;
    this.#answered = answered;
    this.#networks = networks;
    this.#map = new PhotoMap(find("look-frame"), find("look-map"), (patch) => this.#from(patch));
    this.#layers = new Layers(find("thumbs"), () => this.#draw());
    this.#ratio = new Ratio(find("ratio"), find("ratio-said"), (ratio) => this.#withRatio(ratio));
    this.#pair = new Pair(find("pair"));
    find("look").addEventListener("toggle", () => this.#draw());
    for (const name of ["mode", "side"]) this.#on(`input[name="${name}"]`, () => this.#draw());
    this.#on('input[name="branch"]', () => {
      this.#showAnswer();
      this.#draw();
    });
    for (const slider of ["#depth", "#gate", "#mask", "#mask-head"]) this.#on(slider, () => this.#draw());
    const opacity = () => {
      this.#map.opacity = this.#pair.opacity = find("look-opacity").value / 100;
      if (this.#seen) this.#drawPair();
    };
    this.#on("#look-opacity", opacity);
    opacity();
    find("look-class").addEventListener("click", () => {
      this.#from(null);
      find("look-map").focus();
    });
    find("other").addEventListener("change", ({ target }) => {
      const [file] = target.files;
      const take = () => this.#pair.take(this.#seen.classifier, file, "photos", { name: file.name ?? "the other photo" });
      if (file) this.#beside("photo", take);
      target.value = "";
    });
    find("second").addEventListener("change", ({ target }) => {
      const model = this.#networks.others().find(({ id }) => id === target.value);
      if (model) this.#beside("network", () => this.#bySecond(model));
      target.value = "";
    });
    this.#on('input[name="pair-view"]', () => this.#seen && this.#drawPair());
  }

  #on(selector, listener) {
    for (const input of document.querySelectorAll(`#look ${selector}`)) input.addEventListener("input", listener);
  }

  /**
   * An answer is on the page.
   * @param {{file: Blob, region?: object | null}} photo what was classified, and which part of it (null: all)
   */
  open(classifier, photo, result) {
    this.#seen = { classifier, photo, result, ratio: classifier.ratio, kept: new Map(), own: null };
    this.#offerNetworks();
    this.#query = null;
    choose("branch", "both");
    const plain = classifier.ratio === null;
    for (const id of ["look-branch", "look-ratio"]) find(id).hidden = plain;
    // A residual network has no attention: no layers and heads to look into, nothing to be traced back.
    const hasAttention = classifier.heads > 0;
    for (const mode of ["layers", "apart"]) {
      find(`${mode}-mode`).hidden = !hasAttention;
      if (!hasAttention && chosen("mode") === mode) choose("mode", "rollout");
    }
    find("map-name").textContent = MAPS[result.map];
    const depth = find("depth");
    depth.max = String(classifier.layers);
    depth.value = depth.max;
    if (hasAttention) this.#layers.build(classifier);
    this.#offer("gates", "gate", classifier.gatesAfter.length);
    this.#offer("masks", "mask", classifier.masksAfter.length);
    find("resampled-mode").hidden = !result.sampling;
    if (!result.sampling && chosen("mode") === "resampled") choose("mode", "rollout");
    Object.assign(find("look-inside"), { hidden: false, inert: false });
    find("look-empty").hidden = true;
    this.#showAnswer(false);
    this.#draw();
  }

  /** Offers a way to look where the network has `places` for it; the slider starts at the last one. */
  #offer(mode, slider, places) {
    find(`${mode}-mode`).hidden = places === 0;
    if (places === 0 && chosen("mode") === mode) choose("mode", "rollout");
    const max = String(places);
    if (find(slider).max !== max) Object.assign(find(slider), { max, value: max });
  }

  /**
   * There is none any more. What was there keeps its place, unseen, so that nothing moves while the next one comes.
   * @param {boolean} forGood none will come
   */
  close(forGood) {
    if (forGood) find("look-inside").hidden = true;
    this.#seen = null;
    this.#turn += 1;
    this.#ratio.stop();
    this.#map.show(null);
    this.#pair.close();
    find("pair-view").hidden = true;
    find("beside-said").textContent = "";
    find("look-inside").inert = true;
    find("look-empty").hidden = false;
  }

  /** The answer of the branch that is chosen; the page's own list follows unless it has just been made. */
  #showAnswer(tell = true) {
    const { result, ratio } = this.#seen;
    const name = chosen("branch");
    fillList(find("look-answer"), branch(result, name).slice(0, 3));
    if (ratio !== null) this.#ratio.show(ratio, result);
    if (tell) this.#answered(result, name);
  }

  /** Asks about the photo on the page; where another one was classified meanwhile, it is classified again. */
  async #ask(question) {
    const seen = this.#seen;
    try {
      return await question(seen.classifier, seen.result);
    } catch (error) {
      if (error.name !== "OtherPhotoError" || this.#seen !== seen) throw error;
      const { file, region } = seen.photo;
      const options = { ...(region && { region }), ...(seen.ratio !== null && { ratio: seen.ratio }) };
      // Both are queued at once: no other photo comes between them, not even in a gallery that runs.
      const again = seen.classifier.classify(file, options);
      const answer = question(seen.classifier);
      answer.catch(() => {}); // where the photo itself fails, that is what is told
      seen.result = await again;
      return answer;
    }
  }

  /** The same, asked once: switching back and forth runs nothing again. */
  #once(key, question) {
    const { kept } = this.#seen;
    if (!kept.has(key)) {
      const answer = this.#ask(question);
      kept.set(key, answer);
      answer.catch(() => kept.delete(key));
      if (kept.size > KEPT) kept.delete(kept.keys().next().value);
    }
    return kept.get(key);
  }

  async #withRatio(ratio) {
    const seen = this.#seen;
    try {
      const result = await this.#ask((classifier, of) => classifier.setRatio(ratio, { of }));
      if (this.#seen !== seen) return;
      Object.assign(seen, { result, ratio });
      this.#showAnswer();
      await this.#draw();
    } catch (error) {
      this.#fail(error, seen);
    }
  }

  #from(patch) {
    this.#query = patch;
    this.#draw();
  }

  /** Draws what is chosen. The latest choice wins: what comes late is dropped. */
  async #draw() {
    const mine = (this.#turn += 1);
    const mode = chosen("mode");
    for (const name of ["rollout", "layers", "apart", "gates", "masks"]) find(`look-${name}`).hidden = name !== mode;
    if (this.#seen?.classifier.heads === 0) find("look-rollout").hidden = true;
    this.#map.pickable = mode === "layers";
    const seen = this.#seen;
    if (!seen || !find("look").open) return;
    this.#drawPair();
    try {
      const views = {
        rollout: () => this.#rollout(),
        layers: () => this.#attention(),
        apart: () => this.#apart(),
        gates: () => this.#gates(),
        masks: () => this.#masks(),
        resampled: () => this.#resampled(),
      };
      const view = await views[mode]();
      if (mine !== this.#turn) return;
      const { crop, grid, sampling } = seen.result;
      find("look-caption").textContent = view.label;
      this.#map.show({ photo: this.#stage.photo, crop, grid, sampling, query: null, grey: false, cells: [], ...view });
    } catch (error) {
      if (mine === this.#turn) this.#fail(error, seen);
    }
  }

  async #rollout() {
    const { classifier, result } = this.#seen;
    if (result.map === "activation") {
      const label = `What spoke for ${plainName(result.predictions[0].label)} in the last stage`;
      return { image: heatImage(result.rollout, result.grid), label };
    }
    const layer = Number(find("depth").value) - 1;
    const last = layer === classifier.layers - 1;
    find("depth-said").textContent = `${layer + 1} of ${classifier.layers}`;
    const values = last ? result.rollout : await this.#once(`rollout ${layer}`, (network, of) => network.rollout({ layer, of }));
    const label = last
      ? "Rollout from the last layer, and the patches that get a second look"
      : `Rollout from layer ${layer + 1}: what its summary can be traced back to`;
    return { image: heatImage(values, result.grid), cells: last ? result.selected : [], label };
  }

  async #attention() {
    const query = this.#query;
    const { classifier, result, ratio } = this.#seen;
    const about = { query: query ?? "class" };
    // The second look has the class token and the local queries only.
    const looks = classifier.ratio !== null && (query === null || result.selected.includes(query));
    const all = await this.#once(`attention ${query}`, (network, of) => network.attention({ ...about, of }));
    const second = (network, of) => network.attention({ ...about, layer: GLCA, of });
    const glca = looks ? await this.#once(`second look ${query} ${ratio}`, second) : null;
    if (query !== this.#query) return {};
    const patches = result.rollout.length;
    const values = (layer, head) => {
      if (layer !== GLCA) return mapOf(all, layer, head, classifier.heads, patches);
      return glca && mapOf(glca, 0, head, classifier.heads, patches);
    };
    this.#layers.draw(values, result.grid);
    if (!values(this.#layers.layer, "mean")) this.#layers.choose(classifier.layers - 1, "mean");
    const { layer, head } = this.#layers;
    const from = query === null ? "the summary (class token)" : placeOf(query, result.grid);
    find("look-query").textContent =
      query === null
        ? "Where the network’s summary takes its information from. Tap a patch of the photo to look from there."
        : `Looking from ${from}.`;
    find("look-class").hidden = query === null;
    const label = `${nameOf(layer, head)}, seen from ${from}`;
    return { image: heatImage(values(layer, head), result.grid), cells: layer === GLCA ? result.selected : [], query, label };
  }

  async #apart() {
    const { result, ratio } = this.#seen;
    const name = chosen("branch");
    const labels = branch(result, name).slice(0, 2).map(({ label }) => label);
    nameSides([find("side-first"), find("side-second")], labels);
    if (labels.length < 2) return { image: null, label: "This network has one class only" };
    const found = await this.#once(`apart ${labels.join("\n")} ${ratio}`, (network, of) => network.difference(...labels, { of }));
    const { image, said } = apart(found[name], result.grid, labels, chosen("side"));
    find("apart-said").textContent = said;
    const [first, second] = [find("side-first"), find("side-second")].map(({ textContent }) => textContent);
    return { image, grey: true, label: `What spoke for ${first} (orange) and for ${second} (blue)` };
  }

  async #gates() {
    const { classifier } = this.#seen;
    const place = Number(find("gate").value) - 1;
    const said = String(classifier.gatesAfter[place]);
    find("gate-said").textContent = `${said} of ${classifier.layers}`;
    const all = await this.#once("gates", (network, of) => network.gates({ of }));
    const { values, grid } = partOf(all, classifier.gatesAfter, place, classifier.grids);
    return { image: heatImage(values, grid), label: `What the gates after ${stepOf(classifier)} ${said} let through` };
  }

  async #masks() {
    const { classifier } = this.#seen;
    const place = Number(find("mask").value) - 1;
    const said = String(classifier.masksAfter[place]);
    const all = await this.#once("masks", (network, of) => network.masks({ of }));
    const { values, heads, patches, grid } = partOf(all, classifier.masksAfter, place, classifier.grids);
    // 0 is all of them: the mean.
    const slider = find("mask-head");
    slider.max = String(heads);
    const head = Number(slider.value);
    find("mask-said").textContent = `${said} of ${classifier.layers}`;
    find("mask-head-said").textContent = head === 0 ? "all" : `${head} of ${heads}`;
    const shown = mapOf(values, 0, head === 0 ? "mean" : head - 1, heads, patches);
    const who = head === 0 ? "the heads" : `head ${head}`;
    const label = `Where ${who} of the module after ${stepOf(classifier)} ${said} looked`;
    return { image: heatImage(shown, grid), label };
  }

  #resampled() {
    const times = largest(this.#seen.result.sampling).toFixed(1);
    return { image: null, label: `The photo as the network saw it: up to ${times} times as large where its attention was` };
  }

  /** The networks that the photo can be shown to as well. */
  #offerNetworks() {
    const others = this.#networks.others();
    find("second").replaceChildren(
      new Option("This photo by another network…", ""),
      ...others.map((model) => new Option(this.#networks.name(model), model.id)),
    );
    find("second").hidden = others.length === 0;
  }

  /** Loads another network, shows it the photo, and gives it back: two at once are more than a phone has to have. */
  async #bySecond(model) {
    const seen = this.#seen;
    const { photo } = seen;
    const said = (text) => {
      if (this.#seen === seen) find("beside-said").textContent = text;
    };
    said("Fetching the other network.");
    find("second").disabled = true;
    let second;
    try {
      second = await this.#networks.load(model, said);
      await this.#pair.take(second, photo.file, "networks", { name: this.#networks.name(model), region: photo.region });
    } finally {
      find("second").disabled = false;
      second?.free();
    }
  }

  /** @param {"photo" | "network"} what the other one is  @param {() => Promise<void>} take brings it */
  async #beside(what, take) {
    const seen = this.#seen;
    find("beside-said").textContent = "Looking at the other photo.";
    try {
      await take();
      seen.own = await this.#once("own", ownLook);
      if (this.#seen === seen) this.#drawPair();
      else this.#pair.close();
    } catch (error) {
      if (this.#seen === seen) find("beside-said").textContent = `The other ${what} was not taken: ${error.message}.`;
    }
  }

  #drawPair() {
    const { result, photo, own } = this.#seen;
    const name = this.#pair.between === "networks" ? this.#networks.name() : (photo.file.name ?? "this photo");
    const first = { shown: this.#stage.photo, result, name, own };
    const hasOwn = this.#pair.hasOwn(first);
    find("pair-view").hidden = !hasOwn;
    find("pair-map").textContent = MAPS[result.map];
    this.#pair.isOwn = hasOwn && chosen("pair-view") === "own";
    const said = this.#pair.draw(first);
    if (said) find("beside-said").textContent = said;
  }

  #fail(error, seen) {
    if (this.#seen !== seen) return;
    console.warn(error);
    find("look-caption").textContent = `This cannot be shown: ${error.message}.`;
  }
}

/** A patch in words. */
function placeOf(patch, [, columns]) {
  return `the patch in row ${Math.floor(patch / columns) + 1}, column ${(patch % columns) + 1}`;
}
