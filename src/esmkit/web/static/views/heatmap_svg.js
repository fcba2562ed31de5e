// The heat map of a scan for papers: vectors, in lines of 60 positions or more, on white whatever the theme.
import { css, diverging } from "../core/colour.js";
import { svg } from "../core/dom.js";
import { VOCABULARY, signed } from "../core/residues.js";

const PER_LINE = 60;
const PER_LONG_LINE = 150; // of long proteins, so that the picture stays a page and no ribbon
const CELL = 13;
const LEFT = 46;
const HEAD = 34;
const GAP = 3;
const FONT = "DejaVu Sans Mono, Menlo, Consolas, monospace";

/** An SVG element; `columns` and `rows` as in `heatmap`. */
export function heatmapSvg(scan, { columns, rows }, { title, note }) {
  const perLine = columns.length > 600 ? PER_LONG_LINE : PER_LINE;
  const lines = Math.ceil(columns.length / perLine);
  const groups = rows.filter(({ gap }) => gap).length;
  const inside = 20 * CELL + groups * GAP + 8 + CELL;
  const lineHeight = HEAD + inside + 14;
  const width = LEFT + Math.max(Math.min(perLine, columns.length), 40) * CELL + 10;
  const height = 30 + lines * lineHeight + 56;
  const limit = scan.limit();
  const scale = diverging(limit);
  const colour = (score) => css(scale(score)).replaceAll(" ", ","); // the old form of rgb(), for all programs
  const parts = columns.flatMap((at, index) =>
    column(scan, rows, at, {
      x: LEFT + (index % perLine) * CELL,
      y: 30 + Math.floor(index / perLine) * lineHeight + HEAD,
      colour,
    }),
  );
  for (let line = 0; line < lines; line += 1) parts.push(...letters(rows, 30 + line * lineHeight + HEAD));
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, "font-family": FONT, "font-size": 9, fill: "#17212b" },
    svg("rect", { width, height, fill: "#ffffff" }),
    svg("text", { x: LEFT, y: 18, "font-size": 12, "font-weight": "bold" }, title),
    ...parts,
    ...legend(colour, limit, LEFT, 30 + lines * lineHeight + 8),
    svg("text", { x: LEFT + 300, y: 30 + lines * lineHeight + 17 }, note),
  );
}

function column(scan, rows, at, { x, y, colour }) {
  const scores = scan.scores[at];
  const parts = [text(scan.sequence[at], x + CELL / 2, y - 4, { "font-weight": "bold" })];
  parts.push(
    svg(
      "text",
      { transform: `translate(${x + CELL / 2 + 2.5} ${y - 14}) rotate(-90)`, "font-size": 7, fill: "#55636f" },
      at + 1,
    ),
  );
  let top = y;
  for (const row of rows) {
    top += row.gap ? GAP : 0;
    parts.push(
      svg("rect", {
        x,
        y: top,
        width: CELL - 0.6,
        height: CELL - 0.6,
        fill: scores ? colour(scores[row.column]) : "#e8ebee",
      }),
    );
    if (row.column === scan.own(at)) parts.push(svg("circle", { cx: x + CELL / 2, cy: top + CELL / 2, r: 2 }));
    top += CELL;
  }
  const mean = scan.mean(at);
  if (mean !== null)
    parts.push(svg("rect", { x, y: top + 8, width: CELL - 0.6, height: CELL - 0.6, fill: colour(mean) }));
  return parts;
}

function letters(rows, y) {
  let top = y;
  const found = rows.map(({ column: letter, gap }) => {
    top += gap ? GAP : 0;
    const part = text(VOCABULARY[letter], LEFT - 9, top + 10);
    top += CELL;
    return part;
  });
  return [...found, svg("text", { x: LEFT - 4, y: top + 18, "text-anchor": "end" }, "mean")];
}

function legend(colour, limit, x, y) {
  const steps = Array.from({ length: 41 }, (_, at) => -limit + (at * limit) / 20);
  const bar = steps.map((value, at) => svg("rect", { x: x + at * 6, y, width: 6.2, height: 10, fill: colour(value) }));
  const ticks = [0, 10, 20, 30, 40].map((at) => text(signed(steps[at], 1), x + at * 6 + 3, y + 22));
  return [...bar, ...ticks];
}

const text = (content, x, y, more = {}) => svg("text", { x, y, "text-anchor": "middle", ...more }, content);
