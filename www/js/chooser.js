// The choice of a network: a switch with one choice for each subject, and below it, where several networks have that subject, one
// for each of them. Nothing of a network is fetched before it is chosen.

import { alike, facts, mechanismLine, mechanismTitle, subjectOf, subjectTitle } from "./models.js";

/** @typedef {import("./models.js").Model} Model */

export class Chooser {
  #subjects;
  #mechanisms;
  #said;
  #chosen;
  /** @type {Model[]} */
  #models = [];
  #latest = new Map(); // subject -> id of the network that was used for it last
  #offered = ""; // the ids of the networks that can be chosen for the subject in use

  /**
   * @param {{ subjects: HTMLFieldSetElement, mechanisms: HTMLFieldSetElement, said: HTMLElement }} places
   * @param {(model: Model) => void} chosen by the person
   */
  constructor({ subjects, mechanisms, said }, chosen) {
    this.#subjects = subjects;
    this.#mechanisms = mechanisms;
    this.#said = said;
    this.#chosen = chosen;
  }

  /** What can be chosen from now on. Choices that stay are left as they are, and the focus with them. @param {Model[]} models */
  offer(models) {
    this.#models = models;
    const subjects = new Set(models.map(subjectOf));
    for (const input of this.#subjects.querySelectorAll("input")) {
      if (!subjects.has(input.value)) input.closest("label").remove();
    }
    for (const subject of subjects) {
      const model = this.#latestOf(subject);
      const label = this.#input(this.#subjects, subject)?.closest("label") ?? this.#add(subject);
      describe(label, subjectTitle(model, models), `${model.title}. ${facts(model).join(", ")}`);
    }
  }

  /** This network is in use. @param {Model} model */
  mark(model) {
    const subject = subjectOf(model);
    this.#latest.set(subject, model.id);
    check(this.#input(this.#subjects, subject));
    const several = alike(model, this.#models);
    const isOne = several.length < 2;
    const offered = JSON.stringify(several.map(({ id }) => id));
    if (offered !== this.#offered) this.#fill(isOne ? [] : several);
    this.#offered = offered;
    this.#mechanisms.hidden = isOne;
    check(this.#input(this.#mechanisms, model.id));
    this.#said.textContent = mechanismLine(model);
  }

  #add(subject) {
    const label = choice("model", subject, () => this.#chosen(this.#latestOf(subject)));
    this.#subjects.append(label);
    return label;
  }

  /** @param {Model[]} several */
  #fill(several) {
    for (const label of this.#mechanisms.querySelectorAll("label")) label.remove();
    for (const model of several) {
      const label = choice("mechanism", model.id, () => this.#chosen(model));
      const text = [mechanismLine(model, false), `${model.title}. ${facts(model).join(", ")}`].filter(Boolean).join(" ");
      describe(label, mechanismTitle(model, several), text);
      this.#mechanisms.append(label);
    }
  }

  /** Of a subject that comes back, the network that was used last; at first the one that it is named after. */
  #latestOf(subject) {
    const several = this.#models.filter((model) => subjectOf(model) === subject);
    const wanted = this.#latest.get(subject) ?? subject;
    return several.find(({ id }) => id === wanted) ?? several[0];
  }

  #input(fieldset, value) {
    return fieldset.querySelector(`input[value="${CSS.escape(value)}"]`);
  }
}

function choice(name, value, pressed) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name, value });
  input.addEventListener("change", pressed);
  label.append(input, document.createElement("span"));
  return label;
}

/** The title is on the input, which lies over the label: a pointer sees it, and a screen reader says it after the name. */
function describe(label, name, text) {
  label.querySelector("span").textContent = name;
  label.querySelector("input").title = text;
}

function check(input) {
  if (input) input.checked = true;
}
