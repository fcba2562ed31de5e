// Which pairs of residues are predicted to touch, which do in a structure, and how often the first is right.
import { cBeta, distance } from "../core/structures.js";

const CONTACT = 8; // Å between C-beta atoms; nearer residues touch
const LEAST = 6; // positions; nearer residues touch in every protein
/** Positions between the residues of a pair: from, and below. */
export const RANGES = { all: [LEAST, Infinity], short: [LEAST, 12], medium: [12, 24], long: [24, Infinity] };
/** How many pairs are taken: the length of the protein through this. */
export const TOPS = { L: 1, "L/2": 2, "L/5": 5 };
export const MOST_LISTED = 20_000;

/** C-beta distances in Å: Float32Array size x size, NaN where the structure does not say. */
export function distances(chain, places, size) {
  const values = new Float32Array(size * size).fill(NaN);
  const atoms = chain.residues
    .map((residue) => ({ at: places[residue.place], xyz: cBeta(residue) }))
    .filter(({ at, xyz }) => at >= 0 && xyz);
  for (const a of atoms) {
    for (const b of atoms) values[a.at * size + b.at] = distance(a.xyz, b.xyz);
  }
  return values;
}

export const touches = (angstroms) => angstroms < CONTACT;

/**
 * Pairs of at least `separation` positions and `threshold`, the most probable first: {count, pairs: [{i, j, p}]}, from
 * 0.
 */
export function contactsAbove(map, separation, threshold) {
  const places = placesOf(map, [separation, Infinity]).filter((at) => map.values[at] >= threshold);
  const { size, values } = map;
  const first = topPlaces(places, values, Math.min(places.length, MOST_LISTED)).slice(0, MOST_LISTED);
  return {
    count: places.length,
    pairs: first.map((at) => ({ i: Math.floor(at / size), j: at % size, p: values[at] })),
  };
}

/**
 * Where to begin: a `threshold` so low that about one pair for five residues is above, and the end of the scale of
 * colours, `top`: 1, or less where no pair that matters is probable, so that a weak map can be read too.
 */
export function starting(map) {
  const sorted = Float32Array.from(placesOf(map, RANGES.all), (at) => map.values[at]).sort();
  const least = sorted.at(-Math.max(1, Math.floor(map.size / 5))) ?? 0.5;
  return {
    threshold: Math.min(0.5, Math.max(0.01, Math.floor(least * 100) / 100)),
    top: Math.min(1, Math.max(0.2, Math.ceil((sorted.at(-1) ?? 1) * 10) / 10)),
  };
}

/**
 * Per range, of the L, L/2 and L/5 most probable pairs the share that touch, and of all pairs (`chance`): as `esmkit
 * train contacts` counts. Null where the structure has no such pairs.
 */
export function precision(map, angstroms) {
  return Object.fromEntries(Object.entries(RANGES).map(([name, range]) => [name, ofRange(map, angstroms, range)]));
}

function ofRange(map, angstroms, range) {
  const places = placesOf(map, range).filter((at) => !Number.isNaN(angstroms[at]));
  const near = places.filter((at) => touches(angstroms[at])).length;
  const first = topPlaces(places, map.values, map.size);
  const share = (count) => {
    const taken = first.slice(0, Math.max(1, Math.floor(map.size / count)));
    return taken.length ? taken.filter((at) => touches(angstroms[at])).length / taken.length : null;
  };
  const tops = Object.entries(TOPS).map(([name, count]) => [name, share(count)]);
  return Object.fromEntries([...tops, ["chance", places.length ? near / places.length : null]]);
}

/** The `count` places with the highest values, highest first, ties in their order. */
function topPlaces(places, values, count) {
  const sorted = Float32Array.from(places, (at) => values[at]).sort();
  const least = sorted[Math.max(0, sorted.length - count)] ?? Infinity;
  return [...places.filter((at) => values[at] >= least)].sort((a, b) => values[b] - values[a]);
}

/** Where the pairs of a range are in the map, in the order of its rows: Int32Array. */
function placesOf({ size }, [least, below]) {
  const places = new Int32Array((size * (size - 1)) / 2);
  let count = 0;
  for (let i = 0; i < size; i += 1) {
    const end = Math.min(size, i + below);
    for (let j = i + least; j < end; j += 1) places[count++] = i * size + j;
  }
  return places.subarray(0, count);
}
