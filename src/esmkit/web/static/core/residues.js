// The 20 amino acids: names, kinds, colours, and what 20 numbers about them say.

/** In the order of the model's vocabulary, as every answer of the API has them. */
export const VOCABULARY = [..."LAGVSERTIDPKQNFYMHWC"];
/** By kind, as esmkit's own pictures have them. */
export const KINDS = [
  { name: "small", residues: [..."GPA"] },
  { name: "aliphatic", residues: [..."VLIMC"] },
  { name: "aromatic", residues: [..."FWY"] },
  { name: "polar", residues: [..."STNQ"] },
  { name: "basic", residues: [..."HKR"] },
  { name: "acidic", residues: [..."DE"] },
];
export const NAMES = {
  A: "alanine",
  C: "cysteine",
  D: "aspartate",
  E: "glutamate",
  F: "phenylalanine",
  G: "glycine",
  H: "histidine",
  I: "isoleucine",
  K: "lysine",
  L: "leucine",
  M: "methionine",
  N: "asparagine",
  P: "proline",
  Q: "glutamine",
  R: "arginine",
  S: "serine",
  T: "threonine",
  V: "valine",
  W: "tryptophan",
  Y: "tyrosine",
  X: "any residue",
  B: "aspartate or asparagine",
  Z: "glutamate or glutamine",
  U: "selenocysteine",
  O: "pyrrolysine",
  "-": "a gap",
};
const BY_KIND = [
  ["AVLIMC", "#2b2b2b"],
  ["FWY", "#b8860b"],
  ["GP", "#7a7a7a"],
  ["STNQ", "#2e8b57"],
  ["HKR", "#1f5fbf"],
  ["DE", "#c62828"],
];
/** Of letters in a logo, on white; the same as in esmkit's own logos. */
export const COLOURS = Object.fromEntries(
  BY_KIND.flatMap(([letters, colour]) => [...letters].map((letter) => [letter, colour])),
);

/** Probabilities from logits, or from scores, which are log-probabilities up to a constant. */
export function softmax(values) {
  const top = Math.max(...values);
  const weights = values.map((value) => Math.exp(value - top));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** Bits; 0 is certainty, log2(20) = 4.32 is indifference. */
export const entropyBits = (probabilities) =>
  -probabilities.reduce((sum, p) => sum + (p > 0 ? p * Math.log2(p) : 0), 0);

/** A number with its sign, as it is printed: −3.21, +0.40, 0.00. */
export function signed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return (value < 0 ? "−" : "+") + text;
}

/** A probability: 0.117, 0.0021, <0.0001. */
export function probability(value) {
  if (value < 0.0001) return "<0.0001";
  return value.toFixed(value < 0.01 ? 4 : 3);
}

/** Ranges such as "3-7, 12" as numbers from 1 to `last`; throws with what cannot be read. */
export function ranges(text, last) {
  const found = new Set();
  for (const part of text.split(/[\s,;]+/).filter(Boolean)) {
    const [, from, to = from] = part.match(/^(\d+)(?:[-–](\d+))?$/) ?? [];
    if (!from) throw new Error(`“${part}” is no position and no range; write 3-7, 12`);
    if (Number(from) < 1 || Number(to) > last || Number(from) > Number(to)) {
      throw new Error(`“${part}” is outside: positions run from 1 to ${last}`);
    }
    for (let position = Number(from); position <= Number(to); position += 1) found.add(position);
  }
  return [...found].sort((a, b) => a - b);
}

/** The shortest such text: [3, 4, 5, 12] is "3-5,12". */
export function rangesText(positions) {
  const parts = [];
  for (const position of positions) {
    const last = parts.at(-1);
    if (last && last[1] === position - 1) last[1] = position;
    else parts.push([position, position]);
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}
