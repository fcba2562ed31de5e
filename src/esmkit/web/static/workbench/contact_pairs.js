// Which pairs of residues are predicted to touch, which do in a structure, and how often the first is right.
import { cBeta, distance } from "./structures.js";

const CONTACT = 8; // Å between C-beta atoms; nearer residues touch
const LEAST = 6; // positions; nearer residues touch in every protein
/** Positions between the residues of a pair: from, and below. */
export const RANGES = { all: [LEAST, Infinity], short: [LEAST, 12], medium: [12, 24], long: [24, Infinity] };
/** How many pairs are taken: the length of the protein through this. */
export const TOPS = { L: 1, "L/2": 2, "L/5": 5 };
const UNKNOWN = NaN;

/** C-beta distances in Å: Float32Array size x size, NaN where the structure does not say. */
export function distances(chain, places, size) {
  const values = new Float32Array(size * size).fill(UNKNOWN);
  const atoms = chain.residues
    .map((residue) => ({ at: places[residue.place], xyz: cBeta(residue) }))
    .filter(({ at, xyz }) => at >= 0 && xyz);
  for (const a of atoms) {
    for (const b of atoms) values[a.at * size + b.at] = distance(a.xyz, b.xyz);
  }
  return values;
}

export const touches = (angstroms) => angstroms < CONTACT;

/** Pairs of at least `separation` positions and `threshold`, the most probable first, at most `most`: [{i, j, p}], from 0. */
export function contactsAbove(map, separation, threshold, most = Infinity) {
  const found = [];
  eachPair(map, [separation, Infinity], (i, j, at) => {
    if (map.values[at] >= threshold) found.push({ i, j, p: map.values[at] });
  });
  found.sort((a, b) => b.p - a.p || a.i - b.i || a.j - b.j);
  return found.length > most ? found.slice(0, most) : found;
}

/** A threshold to begin with: so low that about one pair for five residues is above. */
export function startingThreshold(map) {
  const values = [];
  eachPair(map, RANGES.all, (i, j, at) => values.push(map.values[at]));
  const least = Float32Array.from(values).sort().at(-Math.max(1, Math.floor(map.size / 5))) ?? 0.5;
  return Math.min(0.5, Math.max(0.01, Math.floor(least * 100) / 100));
}

/**
 * Per range, of the L, L/2 and L/5 most probable pairs the share that touch, and of all pairs (`chance`): as `esmkit train
 * contacts` counts. Null where the structure has no such pairs.
 */
export function precision(map, angstroms) {
  return Object.fromEntries(Object.entries(RANGES).map(([name, range]) => [name, ofRange(map, angstroms, range)]));
}

function ofRange(map, angstroms, range) {
  const pairs = [];
  let near = 0;
  eachPair(map, range, (i, j, at) => {
    if (Number.isNaN(angstroms[at])) return;
    pairs.push(at);
    near += touches(angstroms[at]);
  });
  const places = Int32Array.from(pairs);
  const first = topPlaces(places, map.values, map.size);
  const share = (count) => {
    const taken = first.slice(0, Math.max(1, Math.floor(map.size / count)));
    return taken.length ? taken.filter((at) => touches(angstroms[at])).length / taken.length : null;
  };
  const tops = Object.entries(TOPS).map(([name, count]) => [name, share(count)]);
  return Object.fromEntries([...tops, ["chance", pairs.length ? near / pairs.length : null]]);
}

/** The `count` places with the highest values, highest first, ties in their order. */
function topPlaces(places, values, count) {
  const sorted = Float32Array.from(places, (at) => values[at]).sort();
  const least = sorted[Math.max(0, sorted.length - count)];
  return [...places.filter((at) => values[at] >= least)].sort((a, b) => values[b] - values[a]);
}

function eachPair({ size }, [least, below], work) {
  for (let i = 0; i < size; i += 1) {
    const end = Math.min(size, i + below);
    for (let j = i + least; j < end; j += 1) work(i, j, i * size + j);
  }
}
