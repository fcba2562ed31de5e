// All single substitutions of a protein: asked for in pieces, so that they show as they come, and can be stopped.
import { VOCABULARY, entropyBits, softmax } from "../core/residues.js";

export const METHODS = {
  masked_marginal: "Masked marginals",
  wt_marginal: "One pass",
};
const PIECE_MS = 1200; // so much work is asked for at a time
const MOST = 128;

/** Events: "progress" when scores came, or when it began, stopped or failed. */
export class Scan extends EventTarget {
  state = "idle"; // running, stopped, failed, done
  error = null;
  done = 0;
  #sorted = null;
  #abort = null;
  #spent_ms = 0;

  constructor(work, method) {
    super();
    Object.assign(this, { work, method, sequence: work.sequence, length: work.sequence.length });
    /** Per position 20 scores in the order of VOCABULARY; null until they are there. */
    this.scores = Array(this.length).fill(null);
  }

  get total() {
    return 19 * this.done;
  }

  get secondsLeft() {
    return this.done ? ((this.#spent_ms / this.done) * (this.length - this.done)) / 1000 : null;
  }

  /** Goes on from where it is. */
  async start() {
    if (this.state === "running" || this.state === "done") return;
    this.#abort = new AbortController();
    this.#turn("running");
    try {
      await (this.method === "wt_marginal" ? this.#ask(this.length) : this.#pieces());
      this.#turn("done");
    } catch (error) {
      this.error = error;
      this.#turn(error.name === "AbortError" ? "stopped" : "failed");
    }
  }

  stop() {
    this.#abort?.abort();
  }

  async #pieces() {
    let count = 4;
    while (this.done < this.length) {
      const took = await this.#ask(Math.min(count, this.length - this.done));
      count = Math.round(Math.min(MOST, 2 * count, Math.max(1, (count * PIECE_MS) / took)));
    }
  }

  /** The next so many positions; how many milliseconds they took. */
  async #ask(count) {
    const begun = performance.now();
    const first = this.done + 1;
    const positions = Array.from({ length: count }, (_, at) => first + at);
    const signal = AbortSignal.any([this.work.signal, this.#abort.signal]);
    const params = count === this.length ? { method: this.method } : { method: this.method, positions };
    const [found] = await this.work.call("mutations", [{ sequence: this.sequence }], params, { signal });
    found.positions.forEach((position, at) => (this.scores[position - 1] = found.scores[at]));
    const took = performance.now() - begun;
    this.#spent_ms += took;
    this.done += count;
    this.#sorted = null;
    this.#turn("running");
    return took;
  }

  #turn(state) {
    this.state = state;
    this.dispatchEvent(new Event("progress"));
  }

  /** Column of the residue that is there. */
  own(at) {
    return VOCABULARY.indexOf(this.sequence[at]);
  }

  name(at, column) {
    return `${this.sequence[at]}${at + 1}${VOCABULARY[column]}`;
  }

  /** All substitutions that are there: [{at, column, score}], highest first. */
  sorted() {
    this.#sorted ??= this.scores
      .flatMap((row, at) =>
        (row ?? []).map((score, column) => ({ at, column, score })).filter(({ column }) => column !== this.own(at)),
      )
      .sort((a, b) => b.score - a.score);
    return this.#sorted;
  }

  /** How many substitutions have a higher score, plus 1. */
  rank(score) {
    const all = this.sorted();
    let [low, high] = [0, all.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (all[middle].score > score) low = middle + 1;
      else high = middle;
    }
    return low + 1;
  }

  /** Mean over the 19 substitutions; the 0 of the residue itself adds nothing. */
  mean(at) {
    return this.scores[at] ? this.scores[at].reduce((sum, score) => sum + score, 0) / 19 : null;
  }

  /** What one position says as a whole; null until it is there. */
  position(at) {
    const row = this.scores[at];
    if (!row) return null;
    const own = this.own(at);
    const others = row.map((score, column) => ({ score, column })).filter(({ column }) => column !== own);
    others.sort((a, b) => b.score - a.score);
    const probabilities = softmax(row);
    return {
      at,
      mean: this.mean(at),
      best: others[0],
      others,
      probabilities,
      entropy: entropyBits(probabilities),
    };
  }

  /** Where the colours end, the same on both sides of 0: few scores lie beyond. */
  limit() {
    const sizes = this.sorted()
      .map(({ score }) => Math.abs(score))
      .sort((a, b) => a - b);
    if (!sizes.length) return 1;
    return Math.max(0.5, Math.ceil(sizes[Math.floor(0.98 * (sizes.length - 1))] * 2) / 2);
  }

  /** The protein with one residue changed. */
  mutant(at, column) {
    return this.sequence.slice(0, at) + VOCABULARY[column] + this.sequence.slice(at + 1);
  }
}
