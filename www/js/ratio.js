// The slider of R: each position gets an answer, but only the latest one waits for its turn.

export class Ratio {
  #input;
  #said;
  #run;
  #running = false;
  #wanted = null;

  /**
   * @param {HTMLInputElement} input in per cent  @param {HTMLOutputElement} said
   * @param {(ratio: number) => Promise<void>} run shows the answer for that share
   */
  constructor(input, said, run) {
    this.#input = input;
    this.#said = said;
    this.#run = run;
    input.addEventListener("input", () => {
      this.#wanted = Number(input.value) / 100;
      this.#next();
    });
  }

  async #next() {
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#wanted !== null) {
        const ratio = this.#wanted;
        this.#wanted = null;
        await this.#run(ratio);
      }
    } finally {
      this.#running = false;
    }
  }

  /** Says what the answer on the page was made with. */
  show(ratio, { selected, rollout }) {
    if (this.#wanted === null) this.#input.value = String(Math.round(100 * ratio));
    const text = `${selected.length} of ${rollout.length}`;
    this.#said.textContent = text;
    this.#input.setAttribute("aria-valuetext", `${Math.round(100 * ratio)} per cent, ${text} patches`);
  }

  /** Forgets a position that still waits: another photo has come. */
  stop() {
    this.#wanted = null;
  }
}
