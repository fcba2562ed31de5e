// Where the residues of a structure stand in the protein that was given.

const [MATCH, MISMATCH, OPEN, EXTEND] = [4, -3, -8, -1];
const SAME_START = 20;

/**
 * Places a sequence on a protein's: {places, how, identity, aligned}. `places` has an entry per residue of `found`, -1
 * where it stands nowhere; `identity` is the share of equal residues among the `aligned` ones. X counts as any residue
 * in exact matches.
 */
export function place(found, protein) {
  const start = exactStart(found, protein);
  const places =
    start === null ? aligned(found, protein) : Int32Array.from(found, (_, at) => inside(at + start, protein));
  let [equal, total] = [0, 0];
  places.forEach((to, at) => {
    if (to < 0 || found[at] === "X" || protein[to] === "X") return;
    total += 1;
    equal += found[at] === protein[to];
  });
  return {
    places,
    how: start === null ? "aligned" : "exact",
    start,
    identity: total ? equal / total : 0,
    aligned: total,
  };
}

const inside = (at, protein) => (at >= 0 && at < protein.length ? at : -1);

/** By how much the one is shifted on the other where all that overlaps is equal; null if there is no such place. */
function exactStart(found, protein) {
  const least = Math.min(SAME_START, found.length, protein.length);
  const span = (shift) => [Math.max(0, -shift), Math.min(found.length, protein.length - shift)];
  const overlap = (shift) => span(shift)[1] - span(shift)[0];
  const from = least - found.length;
  const shifts = Array.from({ length: protein.length - least - from + 1 }, (_, at) => from + at);
  shifts.sort((a, b) => overlap(b) - overlap(a));
  return shifts.find((shift) => fits(found, protein, shift, span(shift))) ?? null;
}

function fits(found, protein, shift, [first, end]) {
  for (let at = first; at < end; at += 1) {
    if (found[at] !== protein[at + shift] && found[at] !== "X" && protein[at + shift] !== "X") return false;
  }
  return true;
}

/** The best alignment with affine gaps, free at the ends (Gotoh 1982). */
function aligned(found, protein) {
  const [rows, columns] = [found.length, protein.length];
  const width = columns + 1;
  const steps = new Uint8Array((rows + 1) * width); // bits: best is 0 pair, 1 up, 2 left; 4 up goes on; 8 left goes on
  let best = new Float32Array(width);
  const up = new Float32Array(width).fill(-Infinity);
  let end = { score: 0, row: 0, column: 0 };
  for (let row = 1; row <= rows; row += 1) {
    const next = new Float32Array(width);
    let left = -Infinity;
    for (let column = 1; column <= columns; column += 1) {
      const pair = best[column - 1] + (found[row - 1] === protein[column - 1] ? MATCH : MISMATCH);
      const upOn = up[column] + EXTEND > best[column] + OPEN;
      up[column] = upOn ? up[column] + EXTEND : best[column] + OPEN;
      const leftOn = left + EXTEND > next[column - 1] + OPEN;
      left = leftOn ? left + EXTEND : next[column - 1] + OPEN;
      const top = Math.max(pair, up[column], left);
      next[column] = top;
      steps[row * width + column] = (top === pair ? 0 : top === up[column] ? 1 : 2) | (upOn ? 4 : 0) | (leftOn ? 8 : 0);
      const isEdge = row === rows || column === columns;
      if (isEdge && top > end.score) end = { score: top, row, column };
    }
    best = next;
  }
  return traced(steps, width, end, rows);
}

function traced(steps, width, { row, column }, rows) {
  const places = new Int32Array(rows).fill(-1);
  let state = 0;
  while (row > 0 && column > 0) {
    const step = steps[row * width + column];
    if (state === 0) state = step & 3;
    if (state === 0) {
      places[row - 1] = column - 1;
      row -= 1;
      column -= 1;
    } else if (state === 1) {
      state = step & 4 ? 1 : 0;
      row -= 1;
    } else {
      state = step & 8 ? 2 : 0;
      column -= 1;
    }
  }
  return places;
}
