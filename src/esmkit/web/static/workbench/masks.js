// Which residues of a protein are masked: chosen in one view, predicted in another, part of the link.

const known = new WeakMap();

/** Event "change" when others are masked. */
class Masks extends EventTarget {
  constructor(work) {
    super();
    this.work = work;
    const saved = work.option("masks", null);
    const isValid = (at) => Number.isInteger(at) && at >= 0 && at < work.sequence.length;
    this.chosen = new Set(saved?.of === work.record.id ? saved.at.filter(isValid) : []);
  }

  /** Places from 0, in order. */
  get places() {
    return [...this.chosen].sort((a, b) => a - b);
  }

  set(places) {
    this.chosen = new Set(places);
    this.work.remember("masks", { of: this.work.record.id, at: this.places });
    this.dispatchEvent(new Event("change"));
  }

  toggle(at) {
    const places = new Set(this.chosen);
    if (!places.delete(at)) places.add(at);
    this.set(places);
  }

  /** The sequence with `<mask>` at these places. */
  get sequence() {
    return [...this.work.sequence].map((residue, at) => (this.chosen.has(at) ? "<mask>" : residue)).join("");
  }
}

/** The masks of a protein; the same for all views. */
export function masksOf(work) {
  if (!known.has(work)) known.set(work, new Masks(work));
  return known.get(work);
}
