// A worker that does a part of each photo of another worker (threads.js is that one's end).

import { Share } from "./share.js";

const MODULES = { cpu: () => import("./cpu.js"), cpu_fma: () => import("./cpu_fma.js") };

let helper;
let share;
let memory;

const answers = {
  async load({ name, manifest, files, hashed, common, index, count }) {
    const { default: start, Helper } = await MODULES[name]();
    ({ memory } = await start());
    share = new Share(common, index, count);
    helper = Helper.load(manifest, files, hashed);
  },
  help() {
    try {
      helper.help(share);
    } catch (error) {
      // The others learn it where they wait for this one; after a trap nothing here can be trusted any more.
      share.break();
      throw error;
    }
  },
  memory: () => memory.buffer.byteLength,
};

onmessage = async ({ data: { type, ...message } }) => {
  try {
    const value = await answers[type](message);
    if (type !== "help") postMessage({ value });
  } catch (error) {
    console.error(error);
    postMessage({ error: String(error?.message ?? error) });
  }
};
