// Draws the part of a heat map that is in view: numbers and wild type above, 20 rows, the means below.
import { VOCABULARY, signed } from "../core/residues.js";

export const AXIS = 40; // px on the left, for letters
export const TOP = 48; // px above the cells: numbers, then the wild type
const ROW = 16;
const GAP = 4; // between groups
const TRACK = 44;
const MONO = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace";

/** Where rows begin, where the means are, and how high all of it is, px. */
export function places(rows) {
  let y = TOP;
  const tops = rows.map(({ gap }) => {
    y += gap ? GAP : 0;
    const top = y;
    y += ROW;
    return top;
  });
  return { tops, track: y + 12, bottom: y + 12 + TRACK + 4 };
}

/** Draws; `left` px are scrolled away. */
export function paint(canvas, scan, shown, left) {
  const context = canvas.getContext("2d");
  const width = canvas.width / devicePixelRatio;
  const where = places(shown.rows);
  context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  context.clearRect(0, 0, width, where.bottom);
  context.textBaseline = "middle";
  const scale = meanScale(scan);
  context.save();
  context.beginPath();
  context.rect(AXIS, 0, width - AXIS, where.bottom);
  context.clip();
  const first = Math.max(0, Math.floor(left / shown.cell));
  const last = Math.min(scan.length - 1, Math.ceil((left + width) / shown.cell));
  for (let index = first; index <= last; index += 1) {
    const x = AXIS + index * shown.cell - left;
    column(context, scan, shown, where, { at: shown.columns[index], x, index });
    mean(context, scan, shown, where, { at: shown.columns[index], x, scale });
  }
  marks(context, shown, where, left);
  context.restore();
  axis(context, shown, where, scale);
}

function column(context, scan, shown, where, { at, x, index }) {
  const { cell, theme, rows } = shown;
  const isChosen = shown.chosen?.at === at;
  number(context, shown, { at, x, index });
  if (isChosen) {
    context.fillStyle = theme.accent;
    context.fillRect(x, 29, cell - 1, 17);
  }
  context.fillStyle = isChosen ? theme.onAccent : theme.ink;
  context.font = `600 12px ${MONO}`;
  context.textAlign = "center";
  context.fillText(scan.sequence[at], x + (cell - 1) / 2, 38);
  const scores = scan.scores[at];
  const own = scan.own(at);
  rows.forEach((row, place) => {
    const y = where.tops[place];
    context.fillStyle = scores ? shown.colour(scores[row.column]) : theme.none;
    context.fillRect(x, y, cell - 1, ROW - 1);
    if (row.column === own) dot(context, x + (cell - 1) / 2, y + (ROW - 1) / 2, scores ? "#10181f" : theme.muted);
  });
}

function dot(context, x, y, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, y, 3, 0, 2 * Math.PI);
  context.fill();
}

/** Every tenth position in the order of the sequence; each one, upright, in another order. */
function number(context, { cell, theme, isSorted }, { at, x, index }) {
  context.fillStyle = theme.muted;
  context.font = `11px ${MONO}`;
  if (isSorted) {
    context.save();
    context.translate(x + (cell - 1) / 2, 26);
    context.rotate(-Math.PI / 2);
    context.textAlign = "left";
    context.fillText(String(at + 1), 0, 0);
    context.restore();
  } else if (index === 0 || ((at + 1) % 10 === 0 && x > AXIS)) {
    context.textAlign = index === 0 ? "left" : "center";
    context.fillText(String(at + 1), index === 0 ? x + 2 : x + (cell - 1) / 2, 14);
    context.fillRect(x + (cell - 1) / 2, 22, 1, 5);
  }
}

/** The range of the means, always with 0; without the few that are far beyond all others. */
function meanScale(scan) {
  const means = scan.scores.flatMap((row, at) => (row ? [scan.mean(at)] : [])).sort((a, b) => a - b);
  const part = (share) => means[Math.round(share * (means.length - 1))] ?? 0;
  const end = (extreme, usual) => (Math.abs(extreme) > 2.5 * Math.abs(usual) ? 1.2 * usual : extreme);
  let low = Math.min(0, end(part(0), part(0.03)));
  const high = Math.max(0, end(part(1), part(0.97)));
  if (high - low < 1e-9) low = -1;
  return { low, high, y: (value) => ((high - value) / (high - low)) * TRACK };
}

function mean(context, scan, shown, where, { at, x, scale }) {
  const value = scan.mean(at);
  if (value === null) return;
  const shownValue = Math.min(scale.high, Math.max(scale.low, value));
  const [zero, end] = [scale.y(0), scale.y(shownValue)];
  context.fillStyle = shown.chosen?.at === at ? shown.theme.accent : shown.theme.muted;
  context.fillRect(x + 2, where.track + Math.min(zero, end), shown.cell - 5, Math.max(1, Math.abs(end - zero)));
  if (shownValue === value) return;
  context.fillStyle = shown.theme.surface; // a gap says that the bar is cut
  context.fillRect(x + 1, where.track + end + (end > zero ? -8 : 5), shown.cell - 3, 3);
}

/** Frames around what is chosen, and around where the keyboard is. */
function marks(context, shown, where, left) {
  const frame = (index, row, colour, dash) => {
    if (index < 0 || row < 0) return;
    context.setLineDash(dash);
    context.lineWidth = 4;
    context.strokeStyle = shown.theme.surface;
    const box = [AXIS + index * shown.cell - left - 0.5, where.tops[row] - 0.5, shown.cell, ROW];
    if (!dash.length) context.strokeRect(...box);
    context.lineWidth = 2;
    context.strokeStyle = colour;
    context.strokeRect(...box);
    context.setLineDash([]);
  };
  const index = shown.chosen ? shown.columns.indexOf(shown.chosen.at) : -1;
  const row = shown.chosen ? shown.rows.findIndex(({ column }) => column === shown.chosen.column) : -1;
  frame(index, row, shown.theme.ink, []);
  const { cursor } = shown;
  if (cursor && (cursor.index !== index || cursor.row !== row)) frame(cursor.index, cursor.row, "#10181f", [3, 2]);
}

function axis(context, { rows, theme }, where, scale) {
  context.font = `600 12px ${MONO}`;
  context.fillStyle = theme.ink;
  context.textAlign = "center";
  rows.forEach((row, place) => context.fillText(VOCABULARY[row.column], AXIS - 12, where.tops[place] + ROW / 2));
  context.font = `10px ${MONO}`;
  context.textAlign = "right";
  context.fillStyle = theme.muted;
  const zero = scale.y(0);
  for (const value of [scale.high, 0, scale.low]) {
    if (value !== 0 && Math.abs(scale.y(value) - zero) < 11) continue; // it would lie on the 0
    context.fillText(signed(value, 1), AXIS - 5, where.track + scale.y(value));
  }
  context.fillRect(AXIS - 3, where.track, 1, TRACK);
}
