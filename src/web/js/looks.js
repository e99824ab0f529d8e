// What can be asked of a photo that was classified: the arguments, checked before they go to the worker.

/** The answer of one branch of a result, which holds all three: nothing is run. */
export function branch(result, name) {
  const lists = { both: result.predictions, sa: result.sa, glca: result.glca };
  if (!Object.hasOwn(lists, name)) throw new RangeError(`branch "${name}" is not one of: both, sa, glca`);
  return lists[name];
}

export function topKOf(topK) {
  if (!Number.isInteger(topK) || topK < 1) throw new RangeError(`topK is ${topK}, it must be a whole number from 1 on`);
}

export function ratioOf(ratio) {
  if (!(ratio > 0 && ratio <= 1)) throw new RangeError(`the ratio R is ${ratio}, it must be above 0 and at most 1`);
}

/** The two do not go together: R is GLCA's, and early answers are Attend and Rectify's. */
export function earlyOf(early, ratio) {
  if (!(early > 0 && early <= 1)) throw new RangeError(`early is ${early}, it must be a probability above 0 and at most 1`);
  if (ratio !== undefined) throw new TypeError("early and ratio are for different networks: leave one of them out");
}

/** @param {"class" | number | undefined} query */
export function patchOf(query = "class") {
  if (query === "class") return undefined;
  if (Number.isInteger(query) && query >= 0) return query;
  throw new RangeError(`the query is ${query}, it must be "class" or the index of a patch`);
}

/** @param {string} label  @param {readonly string[]} labels */
export function classOf(label, labels) {
  const index = labels.indexOf(label);
  if (index < 0) throw new RangeError(`this network has no class "${label}"`);
  return index;
}
