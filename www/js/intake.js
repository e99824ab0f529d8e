// The ways in which photos and bundles come: file inputs, drop anywhere, paste, examples.

import { filesOfDrop } from "./drop.js";

/**
 * @typedef {{
 *   photo: (file: Promise<Blob>) => void, photos: (files: File[]) => void,
 *   bundle: (own: File | File[]) => void, link: (address: string) => void,
 * }} Takers `photo` is called at once, also while the photo is still on its way
 */

/**
 * @param {{input: HTMLInputElement, veil: HTMLElement, samples: HTMLElement}} elements
 * @param {Takers} take
 */
export function listen({ input, veil, samples }, take) {
  input.addEventListener("change", () => {
    handOver([...input.files], take);
    input.value = ""; // the same file can be chosen again
  });

  document.addEventListener("paste", (event) => {
    const images = [...(event.clipboardData?.files ?? [])].filter(({ type }) => type.startsWith("image/"));
    if (images.length > 0) {
      event.preventDefault();
      handOver(images, take);
      return;
    }
    // Text that goes into a field is the field's.
    if (event.target.closest?.("input, textarea")) return;
    const address = addressIn(event.clipboardData?.getData("text/plain"));
    if (address) take.link(address);
  });

  listenToDrops(veil, async (transfer) => {
    const address = addressIn(transfer.getData("text/uri-list"));
    try {
      const files = await filesOfDrop(transfer);
      if (files.length > 0) handOver(files, take);
      else if (address) take.link(address);
    } catch (error) {
      take.photo(Promise.reject(error));
    }
  });

  samples.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-sample]");
    if (button) take.photo(fetchSample(button.dataset.sample));
  });
}

/** Tells photos and bundles apart by their names. */
function handOver(files, take) {
  const zip = files.find(({ name }) => /\.zip$/i.test(name ?? ""));
  if (files.length === 0) return;
  if (files.some(({ name }) => name === "manifest.json")) take.bundle(files);
  else if (zip) take.bundle(zip);
  else if (files.length === 1) take.photo(Promise.resolve(files[0]));
  else take.photos(files);
}

function listenToDrops(veil, dropped) {
  // `dragenter` and `dragleave` come for every element on the way; `depth` tells when the page itself is left.
  let depth = 0;
  const shown = () => veil.classList.toggle("shown", depth > 0);
  const wanted = (event) => ["Files", "text/uri-list"].some((type) => event.dataTransfer?.types.includes(type));
  document.addEventListener("dragenter", (event) => {
    if (!wanted(event)) return;
    depth += 1;
    shown();
  });
  document.addEventListener("dragleave", (event) => {
    if (!wanted(event)) return;
    depth = Math.max(0, depth - 1);
    shown();
  });
  document.addEventListener("dragover", (event) => {
    if (wanted(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!wanted(event)) return;
    event.preventDefault();
    depth = 0;
    shown();
    dropped(event.dataTransfer);
  });
}

/** The first address in a text, where the text is one or a list of them. */
function addressIn(text = "") {
  const [first = ""] = text.split(/\r?\n/).filter((line) => line && !line.startsWith("#"));
  return /^https?:\/\/\S+$/i.test(first.trim()) ? first.trim() : null;
}

async function fetchSample(name) {
  const response = await fetch(`samples/${name}`).catch(() => null);
  if (!response?.ok) throw new Error(`the example ${name} cannot be fetched; check the connection`);
  return new File([await response.blob()], name);
}
