// The answer beside the photo: the classes, what is sure where they are not, and what the network is known to mix up.

import { branch } from "../pkg/finegrain.js";
import { fillList, percent, plainName } from "./lists.js";

const find = (id) => document.getElementById(id);
const MOST_PROBABLE = "Most probable";
/** No class reaches the threshold that was chosen on held-out photos. */
const NOT_RECOGNISED = "Not recognised; most like";
/** A group of classes is sure where no class is (src/bundle/levels.rs has the rule). */
const UNSURE = "Not sure which one; most probable";

/** What is added to the title where one branch answers alone. */
const ALONE = { sa: ", first look alone", glca: ", second look alone" };

/**
 * @param {import("../pkg/finegrain.js").Result} result
 * @param {"both" | "sa" | "glca"} name whose answer
 */
export function showAnswer(result, name) {
  find("answer-title").textContent = title(result) + (ALONE[name] ?? "");
  fillList(find("predictions"), branch(result, name));
  fillList(find("sa"), result.sa);
  fillList(find("glca"), result.glca);
  find("branches").hidden = result.glca.length === 0;
  find("coarser").textContent = coarserText(result.coarser);
  find("confused").textContent = result.confused.map(confusedText).join(" ");
  const isCalibrated = typeof result.recognised === "boolean";
  find("calibrated").textContent = isCalibrated ? "calibrated on photos that were held out" : "not calibrated";
  for (const map of ["rollout", "activation"]) find(`meaning-${map}`).hidden = map !== result.map;
  // No other mechanism has local queries, and no residual network.
  find("meaning-queries").hidden = result.selected.length === 0;
  find("how-many").textContent = `the ${result.selected.length} of ${result.rollout.length} patches with the highest rollout`;
}

export function clearAnswer() {
  find("answer-title").textContent = MOST_PROBABLE;
  for (const id of ["predictions", "sa", "glca", "coarser", "confused"]) find(id).replaceChildren();
  find("branches").hidden = true;
}

/** The answer in a sentence, for who cannot see the list. */
export function spokenAnswer(result) {
  const [best] = result.predictions;
  const named = `${plainName(best.label)}, ${percent(best.probability)}.`;
  const heading = title(result);
  return [coarserText(result.coarser), heading === MOST_PROBABLE ? named : `${heading}: ${named}`].filter(Boolean).join(" ");
}

/** What is sure where the class is not: "Surely make: Audi (97.1 %)." Empty where there is nothing of the kind. */
function coarserText(coarser) {
  if (coarser.length === 0) return "";
  const parts = coarser.map(({ level, label, probability }) => `${level} ${plainName(label)} (${percent(probability)})`);
  return `Sure: ${parts.join(", ")}.`;
}

function title({ recognised, coarser }) {
  if (coarser.length > 0) return UNSURE;
  return recognised === false ? NOT_RECOGNISED : MOST_PROBABLE;
}

function confusedText({ right, named, photos, of }) {
  return `On test photos it took ${plainName(right)} for ${plainName(named)} in ${photos} of ${of}.`;
}
