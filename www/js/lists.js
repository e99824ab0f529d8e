// Classes with their probabilities. Labels come from a bundle: they are shown as text only.

/** How a class is shown to people: "012.Yellow_headed_Blackbird" is "Yellow headed Blackbird". */
export function plainName(label) {
  return label.replace(/^\d+\./, "").replaceAll("_", " ");
}

export function percent(probability) {
  if (probability > 0 && probability < 0.001) return "< 0.1 %";
  return `${(100 * probability).toFixed(1)} %`;
}

/** Fills a list with one row for each class; each row carries the exact label and number. */
export function fillList(list, predictions) {
  list.replaceChildren(...predictions.map(row));
}

function row({ label, probability }) {
  const item = document.createElement("li");
  item.dataset.label = label;
  item.dataset.probability = String(probability);
  const name = element("span", "name", plainName(label));
  const bar = element("span", "bar", "");
  bar.setAttribute("aria-hidden", "true");
  bar.style.setProperty("--share", String(probability));
  item.append(name, bar, element("span", "percent", percent(probability)));
  return item;
}

function element(kind, className, text) {
  const made = document.createElement(kind);
  made.className = className;
  made.textContent = text;
  return made;
}
