// Attention maps, fetched in pieces that a browser and a server take easily, and what contacts make of them.

const HALF_BYTES = 2;
const PIECE_BYTES = 24_000_000; // of one answer
const AT_ONCE_BYTES = 48_000_000; // fetched without being asked
const MOST_BYTES = 400_000_000; // of all small maps of a model
const SMALL = 56; // cells of a small map, at most
export const LONGEST_GRID = 1200; // residues; above, single maps only

/** How much the small maps of `layers` layers would take from the server, in bytes. */
export const gridBytes = (model, size, layers = model.layers) => layers * model.heads * size * size * HALF_BYTES;

/** "all", "one layer" or "none": what may be shown of a protein without being asked for, and at most. */
export function bounds(model, size) {
  const few = size <= LONGEST_GRID;
  const most = !few ? "none" : gridBytes(model, size) <= MOST_BYTES ? "all" : "one layer";
  return { most, first: most === "all" && gridBytes(model, size) > AT_ONCE_BYTES ? "one layer" : most };
}

/** The pieces in which layers are asked for: [{layers, heads}], each with heads of one layer, or all heads of some. */
export function pieces(model, size, layers) {
  const map = size * size * HALF_BYTES;
  const all = Array.from({ length: model.heads }, (_, at) => at + 1);
  const whole = Math.floor(PIECE_BYTES / (map * model.heads));
  if (whole >= 1) return chunks(layers, whole).map((part) => ({ layers: part, heads: all }));
  const some = chunks(all, Math.max(1, Math.floor(PIECE_BYTES / map)));
  return layers.flatMap((layer) => some.map((heads) => ({ layers: [layer], heads })));
}

function chunks(list, size) {
  const parts = [];
  for (let at = 0; at < list.length; at += size) parts.push(list.slice(at, at + size));
  return parts;
}

/** Fetches a piece and calls `take(layer, head, values)` for each of its maps, of half precision. */
export async function fetchPiece(work, { layers, heads }, signal, take) {
  const params = { include: ["attentions"], layers, heads };
  const [{ attention_maps: maps }] = await work.arrays("encode", [{ sequence: work.sequence }], params, {
    half: true,
    signal,
  });
  const [, , size] = maps.shape;
  layers.forEach((layer, l) =>
    heads.forEach((head, k) => {
      const from = (l * heads.length + k) * size * size;
      take(layer, head, maps.values.subarray(from, from + size * size));
    }),
  );
}

/** One map at full precision: Float32Array. */
export async function fetchMap(work, layer, head) {
  const params = { include: ["attentions"], layers: [layer], heads: [head] };
  const [{ attention_maps: maps }] = await work.arrays("encode", [{ sequence: work.sequence }], params);
  return maps.values;
}

/** A map in so few cells as a small picture has: the largest value of each, as sparse maps vanish in means. */
export function shrunk(values, size) {
  const side = Math.min(size, SMALL);
  const small = new Float32Array(side * side);
  for (let row = 0; row < size; row += 1) {
    const to = Math.floor((row * side) / size) * side;
    for (let column = 0; column < size; column += 1) {
      const at = to + Math.floor((column * side) / size);
      small[at] = Math.max(small[at], values[row * size + column]);
    }
  }
  return { side, values: small };
}

/** Both directions added: A + A^T. */
export function symmetrised(values, size) {
  return values.map((value, at) => value + values[(at % size) * size + Math.floor(at / size)]);
}

/** Less what rows and columns have on average (APC): B - row sum x column sum / total. */
export function corrected(values, size) {
  const rows = new Float64Array(size);
  const columns = new Float64Array(size);
  let total = 0;
  for (let at = 0; at < values.length; at += 1) {
    rows[Math.floor(at / size)] += values[at];
    columns[at % size] += values[at];
    total += values[at];
  }
  if (!total) return values;
  return values.map((value, at) => value - (rows[Math.floor(at / size)] * columns[at % size]) / total);
}

/** The value below which a share of the numbers is, by absolute size; of a sample where there are many. */
export function quantile(values, share) {
  const step = Math.ceil(values.length / 200_000);
  const sample = Float32Array.from({ length: Math.floor(values.length / step) }, (_, at) =>
    Math.abs(values[at * step]),
  ).sort();
  return sample[Math.min(sample.length - 1, Math.floor(share * sample.length))] || sample.at(-1) || 1;
}
