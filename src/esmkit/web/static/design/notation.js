// How positions and variants are written, and how many variants there are.
import { h } from "../core/dom.js";

export const AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY";
const CONTEXT = 3; // residues shown on each side of a change
const SHOWN_WHOLE = 80;

/**
 * Numbers of a text such as "39-41, 54", in their order.
 * Throws an Error that says what is wrong; positions run from `first` to `last`.
 */
export function readPositions(text, first, last) {
  const found = new Set();
  for (const part of text.split(/[,;\s]+/).filter(Boolean)) {
    const range = part.match(/^(-?\d+)(?:[-–:](-?\d+))?$/);
    if (!range) throw new Error(`“${part}” is no position; write them as 39-41, 54`);
    const [from, to] = [Number(range[1]), Number(range[2] ?? range[1])];
    const outside = [from, to].find((each) => each < first || each > last);
    if (outside !== undefined) throw new Error(`position ${outside} does not exist: they run from ${first} to ${last}`);
    for (let each = Math.min(from, to); each <= Math.max(from, to); each += 1) found.add(each);
  }
  return [...found].sort((a, b) => a - b);
}

/** The text of such numbers. */
export function writePositions(numbers) {
  const parts = [];
  for (const each of numbers) {
    if (parts.length && parts.at(-1)[1] === each - 1) parts.at(-1)[1] = each;
    else parts.push([each, each]);
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(", ");
}

/** Places (from 0) at which a variant differs from its parent. */
export const changes = (parent, variant) => [...parent].flatMap((residue, at) => (residue === variant[at] ? [] : [at]));

/** Places that a written variant changes, from 0; none where it cannot be read. */
export function changedPlaces(text, wildType, offset) {
  if (text.length === wildType.length && !/\d/.test(text)) return changes(wildType, text.toUpperCase());
  return [...text.matchAll(/[A-Za-z](-?\d+)[A-Za-z]/g)].map(([, position]) => Number(position) - 1 - offset);
}

/** How many variants have `fewest` to `most` mutations; `choices` are numbers of residues by position. */
export function countVariants(choices, fewest, most) {
  let ways = [1]; // by number of mutations
  for (const many of choices) {
    ways = Array.from(
      { length: Math.min(most, ways.length) + 1 },
      (_, at) => (ways[at] ?? 0) + many * (ways[at - 1] ?? 0),
    );
  }
  return ways.slice(fewest, most + 1).reduce((sum, each) => sum + each, 0);
}

/** A number of variants for people, without digits that nobody reads. */
export const many = (count) =>
  count < 1e7 ? Math.round(count).toLocaleString("en") : `about ${count.toExponential(1).replace("e+", " × 10^")}`;

/** A sequence with its changed residues marked; a long one only around them. */
export function markedSequence(parent, variant) {
  const places = changes(parent, variant);
  const isShown = (at) => variant.length <= SHOWN_WHOLE || places.some((place) => Math.abs(place - at) <= CONTEXT);
  const parts = [];
  let plain = "";
  const flush = () => {
    if (plain) parts.push(plain);
    plain = "";
  };
  [...variant].forEach((residue, at) => {
    if (!isShown(at)) {
      if (!plain.endsWith("…")) plain += "…";
    } else if (residue !== parent[at]) {
      flush();
      parts.push(h("mark", {}, residue));
    } else {
      plain += residue;
    }
  });
  flush();
  return h("span", { class: "sequence", title: variant }, parts);
}

/** A number with three digits after the point, or three that count if it is small. */
export const short = (value) => (Math.abs(value) >= 1 || value === 0 ? value.toFixed(3) : value.toPrecision(3));

/** The same with its sign. */
export const signed = (value) => `${value < 0 ? "−" : "+"}${short(Math.abs(value))}`;
