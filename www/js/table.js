// What a network said of several photos, as a table for other programs.

const PREDICTIONS = 5;

/**
 * @typedef {{name: string, region: object | null, result: import("../pkg/finegrain.js").Result | null, error: string | null}} Row
 * @typedef {{id: string, title: string}} Facts the bundle
 */

/**
 * CSV (RFC 4180): a head, then one line for each photo. Every text is quoted, and where a spreadsheet would take one for
 * a formula an apostrophe stands before it.
 * @param {Row[]} rows @param {Facts} bundle
 */
export function csv(rows, bundle) {
  const places = Array.from({ length: PREDICTIONS }, (_, i) => i + 1);
  const head = ["file", "bundle", "recognised", ...places.flatMap((i) => [`label_${i}`, `probability_${i}`]), "error"];
  const lines = rows.map(({ name, result, error }) => [
    name,
    bundle.id,
    result?.recognised ?? "",
    ...places.flatMap((i) => {
      const { label = "", probability = "" } = result?.predictions[i - 1] ?? {};
      return [label, probability];
    }),
    error ?? "",
  ]);
  return [head, ...lines].map((line) => `${line.map(cell).join(",")}\r\n`).join("");
}

function cell(value) {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return `"${safe.replaceAll('"', '""')}"`;
}

/** The same as JSON, with the part of the photo that was looked at where a person chose one. */
export function json(rows, bundle) {
  const photos = rows.map(({ name, region, result, error }) => ({
    file: name,
    region,
    recognised: result?.recognised ?? null,
    predictions: result?.predictions.slice(0, PREDICTIONS) ?? [],
    coarser: result?.coarser ?? [],
    error,
  }));
  return `${JSON.stringify({ bundle: { id: bundle.id, title: bundle.title }, photos }, null, 2)}\n`;
}

/** Gives a text to the person as a file. */
export function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  // The browser has taken the file over by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
