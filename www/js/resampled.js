// A photo as a network with TASN saw it: rows and columns where its attention put them.

/** @typedef {{rows: Float32Array, columns: Float32Array}} Sampling `Result.sampling`: shares of the crop's height and width */

/**
 * Where even places along the photo lie among patches.
 * @param {number} places how many  @param {number} patches  @param {Float32Array | undefined} shares of the sampling, if there is one
 * @returns {number[]} counted in patches, 0 being the centre of the first one
 */
export function amongPatches(places, patches, shares) {
  let before = 0;
  return Array.from({ length: places }, (_, place) => {
    const at = (place + 0.5) / places;
    if (!shares) return at * patches - 0.5;
    while (before + 1 < shares.length && shares[before + 1] <= at) before += 1;
    const step = (shares[before + 1] ?? 1) - shares[before];
    const further = step > 0 ? Math.min(1, Math.max(0, (at - shares[before]) / step)) : 0;
    return ((before + further + 0.5) * patches) / shares.length - 0.5;
  });
}

/** Where the middle of a patch lies along the photo, as a share of it. */
export function middleOf(patch, patches, shares) {
  const at = (patch + 0.5) / patches;
  return shares ? shares[Math.floor(at * shares.length)] : at;
}

/** How many times as large as in the whole photo the part is shown that attention favoured most. */
export function largest({ rows, columns }) {
  const most = (shares) => {
    const steps = Array.from(shares.subarray(1), (share, i) => share - shares[i]);
    return 1 / (shares.length * Math.min(...steps.filter((step) => step > 0), 1));
  };
  return Math.max(most(rows), most(columns));
}

/** Draws a canvas over `context`'s, its rows and columns where `sampling` puts them: strip by strip, one axis after the other. */
export function drawResampled(context, photo, { rows, columns }) {
  const { width, height } = context.canvas;
  // A strip takes whole pixels, else its edges would show; the last step makes it fit.
  const [along, down] = [Math.ceil(width / columns.length), Math.ceil(height / rows.length)];
  const wide = new OffscreenCanvas(columns.length * along, photo.height);
  strips(columns, photo.width, (from, length, i) =>
    wide.getContext("2d").drawImage(photo, from, 0, length, photo.height, i * along, 0, along, photo.height));
  const whole = new OffscreenCanvas(wide.width, rows.length * down);
  strips(rows, photo.height, (from, length, i) =>
    whole.getContext("2d").drawImage(wide, 0, from, wide.width, length, 0, i * down, wide.width, down));
  context.drawImage(whole, 0, 0, width, height);
}

/** Each row or column reaches half the way to its neighbours. */
function strips(shares, size, draw) {
  const between = (i) => {
    if (i === 0) return Math.max(0, shares[0] - (shares[1] - shares[0]) / 2);
    if (i === shares.length) return Math.min(1, shares[i - 1] + (shares[i - 1] - shares[i - 2]) / 2);
    return (shares[i - 1] + shares[i]) / 2;
  };
  for (let i = 0; i < shares.length; i += 1) {
    const from = between(i) * size;
    draw(from, Math.max(1e-3, between(i + 1) * size - from), i);
  }
}
