// The camera: a live picture, what the network sees in it, and a photo when the button is pressed.

import { percent, plainName } from "./lists.js";

/** What a camera that cannot be had is told as; by the error's name. */
const REASONS = {
  NotAllowedError: "The camera may not be used here; allow it for this page in the browser’s settings, or choose a photo.",
  NotFoundError: "No camera was found on this device; choose a photo instead.",
  NotReadableError: "The camera is in use by another program; close that, or choose a photo.",
};

/**
 * @param {HTMLDialogElement} dialog
 * @param {{take: (photo: Promise<File>) => void, classifier: () => Promise<import("../pkg/finegrain.js").Classifier>, fail: (error: Error) => void}} page
 * @returns {() => Promise<void>} opens the camera
 */
export function cameraDialog(dialog, { take, classifier, fail }) {
  const video = dialog.querySelector("video");
  const [named, live] = [dialog.querySelector("output"), dialog.querySelector("input[type=checkbox]")];
  const shutter = dialog.querySelector("[data-action=take]");
  let stream = null;
  let opening = 0; // the latest one counts: the browser may still be asking for an earlier one
  let watching = 0; // likewise

  /** The lamp beside the lens goes out. */
  const stop = () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = video.srcObject = null;
    named.textContent = "";
  };
  dialog.addEventListener("close", stop);
  dialog.querySelector("[data-action=cancel]").addEventListener("click", () => dialog.close());
  shutter.addEventListener("click", () => {
    const photo = still(video);
    dialog.close();
    take(photo);
  });
  live.addEventListener("change", () => {
    named.textContent = "";
    if (live.checked && stream) watch(stream);
  });

  /** Names what the camera sees, one frame after the other, until it is closed. */
  const watch = async (watched) => {
    const mine = ++watching;
    const ended = () => mine !== watching || stream !== watched || !live.checked;
    try {
      const ready = await classifier();
      while (!ended()) {
        const { predictions: [best], recognised } = await seen(ready, video);
        if (ended()) return;
        named.textContent =
          recognised === false ? "Nothing that is recognised." : `${plainName(best.label)}, ${percent(best.probability)}`;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    } catch (error) {
      if (stream === watched) named.textContent = `${error.message}.`;
    }
  };

  return async () => {
    if (dialog.open) return;
    const mine = ++opening;
    shutter.disabled = true;
    dialog.showModal();
    try {
      const opened = await openCamera();
      // Closed while the browser was asking, and perhaps opened again since.
      if (mine !== opening || !dialog.open) {
        for (const track of opened.getTracks()) track.stop();
        return;
      }
      stream = video.srcObject = opened;
      await video.play();
      shutter.disabled = false;
      shutter.focus();
      if (live.checked) watch(opened);
    } catch (error) {
      if (mine !== opening || !dialog.open) return;
      dialog.close();
      fail(error);
    }
  };
}

async function seen(classifier, video) {
  const frame = await createImageBitmap(video);
  try {
    return await classifier.classify(frame, { topK: 1 });
  } finally {
    frame.close();
  }
}

async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("The camera needs a page on https or localhost; choose a photo instead.");
  }
  try {
    // The camera at the back of a phone, and as many pixels as a photo of a bird on a branch can use.
    const video = { facingMode: { ideal: "environment" }, width: { ideal: 1920 }, height: { ideal: 1440 } };
    return await navigator.mediaDevices.getUserMedia({ video, audio: false });
  } catch (error) {
    throw new Error(REASONS[error.name] ?? `The camera could not be opened (${error.message}); choose a photo instead.`);
  }
}

/** What the camera shows now, as a file. */
async function still(video) {
  const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  if (!blob) throw new Error("The camera gave no picture; try again.");
  const time = new Date().toISOString().slice(0, 19).replace("T", " ").replaceAll(":", ".");
  return new File([blob], `camera ${time}.jpg`, { type: "image/jpeg" });
}
