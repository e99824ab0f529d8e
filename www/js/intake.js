// The ways in which a photo comes: file input, drop anywhere, paste, example.

/**
 * @param {{input: HTMLInputElement, veil: HTMLElement, samples: HTMLElement}} elements
 * @param {(photo: Promise<Blob>) => void} take called at once with each photo, also while it is still on its way
 */
export function listen({ input, veil, samples }, take) {
  input.addEventListener("change", () => {
    const [file] = input.files;
    if (file) take(Promise.resolve(file));
    input.value = ""; // the same file can be chosen again
  });

  document.addEventListener("paste", (event) => {
    const file = event.clipboardData && firstImage(event.clipboardData);
    if (!file) return;
    event.preventDefault();
    take(Promise.resolve(file));
  });

  // `dragenter` and `dragleave` come for every element on the way; `depth` tells when the page itself is left.
  let depth = 0;
  const shown = () => veil.classList.toggle("shown", depth > 0);
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    shown();
  });
  document.addEventListener("dragleave", (event) => {
    if (!carriesFiles(event)) return;
    depth = Math.max(0, depth - 1);
    shown();
  });
  document.addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    shown();
    const file = firstImage(event.dataTransfer) ?? event.dataTransfer.files[0];
    if (file) take(Promise.resolve(file));
  });

  samples.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-sample]");
    if (button) take(fetchSample(button.dataset.sample));
  });
}

function firstImage({ files }) {
  return [...files].find((file) => file.type.startsWith("image/"));
}

async function fetchSample(name) {
  const response = await fetch(`samples/${name}`).catch(() => null);
  if (!response?.ok) throw new Error(`the example ${name} cannot be fetched; check the connection`);
  return new File([await response.blob()], name);
}
