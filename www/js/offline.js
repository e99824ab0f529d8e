// What this browser keeps of the page: the files (service worker) and the networks (their store), and how to clear them.

import { clearStorage, storage } from "../pkg/finegrain.js";
import { isOwn, shortTitle } from "./models.js";
import { notice } from "./notices.js";

/** Makes the page work offline, and offers a new version when there is one. */
export async function keepPage() {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return;
  let controlled = serviceWorker.controller !== null;
  serviceWorker.addEventListener("controllerchange", () => {
    // The first one takes over the files that are loaded already; any later one is another version.
    if (controlled) location.reload();
    controlled = true;
  });
  try {
    const registration = await serviceWorker.register("service-worker.js", { updateViaCache: "none" });
    if (registration.waiting && controlled) offer(registration.waiting);
    registration.addEventListener("updatefound", () => {
      const worker = registration.installing;
      worker?.addEventListener("statechange", () => {
        if (worker.state === "installed" && controlled) offer(worker);
      });
    });
  } catch (error) {
    console.warn(error); // then the page needs its server, as pages do
  }
}

function offer(worker) {
  const press = () => worker.postMessage({ type: "activate" });
  notice("version", "There is a new version of this page.", { label: "Reload", press });
}

/** Asks the browser not to clear the networks by itself; it may ask the person. */
export async function persist() {
  const { bundles, persisted } = await storage();
  if (bundles.length > 0 && !persisted) await navigator.storage?.persist?.().catch(() => false);
}

/** Shows what is kept in the line `#kept`, and clears it on demand. @param {() => void} cleared the own ones are gone, too */
export async function showKept(cleared) {
  const line = document.getElementById("kept");
  const { bytes, bundles } = await storage();
  if (bundles.length === 0) {
    line.replaceChildren("No network is kept on this device.");
    return;
  }
  const button = document.createElement("button");
  Object.assign(button, { type: "button", textContent: "Clear" });
  button.addEventListener("click", async () => {
    button.disabled = true;
    await clearStorage().catch(console.warn);
    cleared();
    await showKept(cleared);
  });
  const sized = bundles.map((bundle) => `${nameOf(bundle)} ${megabytes(bundle.bytes)}`).join(", ");
  const kept = "kept on this device";
  const count = bundles.length === 1 ? `1 network is ${kept}` : `${bundles.length} networks are ${kept}, ${megabytes(bytes)}`;
  line.replaceChildren(`${count}: ${sized}. `, button);
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

function nameOf({ title, url }) {
  if (!title) return "an unfinished download";
  return isOwn(url) ? `${shortTitle(title)} (own)` : shortTitle(title);
}
