// One protein under one model, and what has been computed of it; the tabs of the workbench share it.
import { call } from "../core/api.js";
import { callArrays } from "../core/tensors.js";

/** A residue that is pointed at or chosen in one view is shown in the others. */
export class Selection extends EventTarget {
  #chosen = null;

  /** Place in the sequence, counted from 0; null for none. */
  get chosen() {
    return this.#chosen;
  }

  choose(position) {
    this.#chosen = position;
    this.dispatchEvent(new CustomEvent("choose", { detail: position }));
  }
}

export class Work {
  #encoded = null;
  #contacts = null;
  #stop = new AbortController();

  /**
   * @param model entry of `frame.models`
   * @param record {id, description, sequence} that the tabs are about
   * @param records all proteins given, for comparisons
   * @param options what views remember (`option`, `remember`); part of the link that is shared
   * @param onremember called when an option has changed
   */
  constructor(model, record, records, options, onremember) {
    Object.assign(this, { model, record, records, options, onremember });
    this.selection = new Selection();
    /** Shows another tab: `view("masked")`; set by the page. */
    this.view = () => {};
  }

  get sequence() {
    return this.record.sequence;
  }

  /** Ends whatever runs for this protein; its views are thrown away. */
  stop() {
    this.#stop.abort();
  }

  get signal() {
    return this.#stop.signal;
  }

  /** Calls an action of the model for this work; stops with it. */
  call(action, items, params, more = {}) {
    return call(this.model.slug, action, items, params, { signal: this.signal, ...more });
  }

  /** The same, its answer as numbers: per item the arrays by name, {shape, values}; see `callArrays`. */
  arrays(action, items, params, more = {}) {
    return callArrays(this.model.slug, action, items, params, { signal: this.signal, ...more });
  }

  /** The embedding (mean) and logits of the protein; computed once. */
  encoded() {
    this.#encoded ??= this.call("encode", [{ sequence: this.sequence }], {
      include: ["mean", "logits"],
    }).then(([result]) => result);
    return this.#encoded;
  }

  /** Predicted contacts, {size, values: Float32Array size x size}; computed once, apart, as a map is large in long proteins. */
  contacts() {
    this.#contacts ??= this.arrays("encode", [{ sequence: this.sequence }], { include: ["contacts"] }).then(
      ([{ contacts }]) => ({ size: contacts.shape[0], values: contacts.values }),
    );
    return this.#contacts;
  }

  option(name, otherwise) {
    return this.options[name] ?? otherwise;
  }

  remember(name, value) {
    this.options[name] = value;
    this.onremember();
  }
}

/** Natural logarithms of the probabilities of the 20 amino acids, per residue, from the logits of `encode`. */
export function logProbabilities(logits) {
  return logits.map((row) => {
    const top = Math.max(...row);
    const logSum = top + Math.log(row.reduce((sum, value) => sum + Math.exp(value - top), 0));
    return row.map((value) => value - logSum);
  });
}
