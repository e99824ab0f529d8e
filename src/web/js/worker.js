// The worker: one network, its download, its device. The page's end is link.js.

import { chooseBackend } from "./backend.js";
import { previewOf } from "./pixels.js";
import { prepare, Session } from "./session.js";

const session = new Session((type, message) => postMessage({ type, ...message }));

const answers = {
  async prepare({ backend }) {
    const choice = await chooseBackend(backend);
    await prepare(choice.backend);
    return choice;
  },
  load: ({ url, own, options }) => session.load(url, own, options),
  preview: ({ blob, side }) => previewOf(blob, side),
  classify: ({ source, ...about }) => session.classify(source, about),
  ratio: ({ ratio, topK }) => session.ratio(ratio, topK),
  look: ({ kind, about }) => session.look(kind, about),
  memory: () => session.memory(),
  free: () => session.free(),
};

onmessage = async ({ data: { id, type, ...message } }) => {
  try {
    const value = await answers[type](message);
    postMessage({ id, type: "done", value }, value?.bitmap ? [value.bitmap] : []);
  } catch (error) {
    // A trap in wasm carries no sentence of its own (the panic itself is in the console); a helper's is one as well.
    const fatal = error instanceof WebAssembly.RuntimeError || error?.name === "ThreadError";
    const text = fatal
      ? "the network stopped unexpectedly; it is started again with the next photo"
      : String(error?.message ?? error);
    if (fatal) console.error(error);
    postMessage({ id, type: "failed", name: error?.name ?? "Error", text, fatal });
  }
};
