// The one place that tells people and tests how things are.

const find = (id) => document.getElementById(id);

/** The next thing to say is about this state: "loading", "running", "ready" or "error". */
export const state = () => document.documentElement.dataset.state;

/** Says how things are. `spoken` is for who cannot see the list of classes. */
export function say(next, text, spoken = "") {
  document.documentElement.dataset.state = next;
  const aside = document.createElement("span");
  aside.className = "unseen";
  aside.textContent = spoken && `${spoken} `;
  find("status").replaceChildren(aside, text);
  if (next !== "loading") find("progress").removeAttribute("value");
}

/** An error's message as a sentence for people. */
export function sentence(text) {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

export function fail(error) {
  // What a person stops is no mistake.
  if (error.name === "AbortError") return say("ready", sentence(error.message));
  console.warn(error);
  say("error", sentence(error.message));
}

/** How far the loading of a network is, in words. */
export function progressText({ stage, loaded, total }) {
  const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
  return {
    download: `Fetching the network: ${megabytes(loaded)} of ${megabytes(total)} MB.`,
    verify: "Checking the network.",
    upload: "Loading the network.",
    compile: total > 0 ? `Preparing the graphics device: ${loaded} of ${total}.` : "Preparing the network.",
  }[stage];
}

export function sayProgress(progress) {
  const text = progressText(progress);
  // A sentence about a bad photo is not talked over by the loading that goes on; and where all was ready a look has the device
  // that was lost replaced, after which nobody would say so again.
  if (!text || ["error", "ready"].includes(state())) return;
  say("loading", text);
  const { loaded, total } = progress;
  const bar = find("progress");
  if (total > 0) bar.value = loaded / total;
  else bar.removeAttribute("value");
}

/** The next frame has been drawn: what was said is on the screen before the work begins. A hidden page draws none. */
export function painted() {
  return new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve));
    setTimeout(resolve, 100);
  });
}
