// The heat map of a mutational scan, 20 residues by positions: a canvas as wide as the window, along the protein.
import { css, diverging, themed } from "../core/colour.js";
import { h } from "../core/dom.js";
import { AXIS, paint, places } from "./heatmap_paint.js";
import { overview } from "./heatmap_overview.js";
import { tip } from "./tip.js";

const NARROWEST = 16;
const WIDEST = 26;
const STEPS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
  PageUp: [-10, 0],
  PageDown: [10, 0],
};

/**
 * The map of a `Scan`.
 *
 * `about(at, column)` is the text beside the pointer, `onpick(at, column)` is told what was chosen; column null: the
 * position. `signal` ends its listening. Gives {element, arrange({columns, rows}), refresh(), pick({at, column})}:
 * `columns` are places in the sequence from left to right, `rows` [{column, gap}] from top to bottom, `gap` where a new
 * group begins.
 */
export function heatmap(scan, { about, onpick, label, signal }) {
  const canvas = h("canvas", { class: "heatmap-canvas", "aria-hidden": "true" });
  const wide = h("div", { class: "heatmap-wide" }, canvas);
  const scroller = h(
    "div",
    {
      class: "scroll heatmap",
      tabindex: 0,
      role: "application",
      "aria-roledescription": "heat map",
      "aria-label": label,
    },
    wide,
  );
  const small = overview((share) => (scroller.scrollLeft = share * wide.clientWidth - scroller.clientWidth / 2));
  const said = h("p", { class: "visually-hidden", "aria-live": "polite" });
  const element = h("div", { class: "stack heatmap-box" }, small.element, scroller, said);
  const pointer = tip();
  const shown = { columns: [], rows: [], cell: NARROWEST, chosen: null, cursor: null, isSorted: false };
  let asked = 0;

  function arrange({ columns, rows }) {
    Object.assign(shown, { columns, rows, isSorted: columns.some((at, index) => at !== index) });
    refresh();
  }
  function resize() {
    const width = scroller.clientWidth;
    if (!width || !shown.rows.length) return;
    shown.cell = Math.max(NARROWEST, Math.min(WIDEST, Math.floor((width - AXIS) / scan.length)));
    const { bottom } = places(shown.rows);
    const total = AXIS + scan.length * shown.cell + 1;
    Object.assign(wide.style, { width: `${total}px`, height: `${bottom}px` });
    Object.assign(canvas.style, { width: `${Math.min(width, total)}px`, height: `${bottom}px` });
    canvas.width = Math.round(Math.min(width, total) * devicePixelRatio);
    canvas.height = Math.round(bottom * devicePixelRatio);
    small.element.hidden = total <= width;
  }
  function refresh() {
    resize();
    const colour = diverging(scan.limit());
    Object.assign(shown, { colour: (score) => css(colour(score)), theme: theme() });
    small.fill(scan, shown, colour);
    draw();
  }
  function draw() {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      if (!scroller.clientWidth) return;
      paint(canvas, scan, shown, scroller.scrollLeft);
      small.frame(scroller.scrollLeft / wide.clientWidth, scroller.clientWidth / wide.clientWidth);
    });
  }

  /** What lies under the pointer: {index, row}; row null beside the cells. */
  function under({ clientX, clientY }) {
    const box = canvas.getBoundingClientRect();
    const x = clientX - box.left;
    const index = Math.floor((x - AXIS + scroller.scrollLeft) / shown.cell);
    if (x < AXIS || index < 0 || index >= scan.length) return null;
    const y = clientY - box.top;
    const row = places(shown.rows).tops.findIndex((top) => y >= top && y < top + NARROWEST);
    return { index, row: row < 0 ? null : row };
  }
  const meant = ({ index, row }) => ({
    at: shown.columns[index],
    column: row === null ? null : shown.rows[row].column,
  });
  function choose(place) {
    const { at, column } = meant(place);
    if (scan.scores[at]) onpick(at, column);
  }
  function reveal(index) {
    const left = index * shown.cell;
    const room = scroller.clientWidth - AXIS;
    if (left < scroller.scrollLeft || left + shown.cell > scroller.scrollLeft + room)
      scroller.scrollLeft = left - room / 2;
  }
  function move(event) {
    const step = STEPS[event.key];
    const start = shown.cursor ?? { index: Math.round(scroller.scrollLeft / shown.cell), row: 0 };
    if (event.key === "Enter" || event.key === " ") {
      if (shown.cursor) choose(shown.cursor);
    } else if (step || event.key === "Home" || event.key === "End") {
      const index = { Home: 0, End: scan.length - 1 }[event.key] ?? start.index + (shown.cursor ? step[0] : 0);
      const row = start.row + (shown.cursor && step ? step[1] : 0);
      shown.cursor = {
        index: Math.max(0, Math.min(scan.length - 1, index)),
        row: Math.max(0, Math.min(shown.rows.length - 1, row)),
      };
      const { at, column } = meant(shown.cursor);
      said.textContent = about(at, column);
      reveal(shown.cursor.index);
      draw();
    } else return;
    event.preventDefault();
  }

  /** Marks what is chosen; `column` null: the position. */
  function pick(chosen) {
    shown.chosen = chosen;
    if (chosen) {
      const index = shown.columns.indexOf(chosen.at);
      const row = shown.rows.findIndex(({ column }) => column === chosen.column);
      shown.cursor = { index, row: row < 0 ? (shown.cursor?.row ?? 0) : row };
      reveal(index);
    }
    draw();
  }
  canvas.addEventListener("pointermove", (event) => {
    const place = under(event);
    canvas.style.cursor = place ? "pointer" : "";
    if (!place) return pointer.hide();
    const { at, column } = meant(place);
    pointer.show(event, about(at, column));
  });
  canvas.addEventListener("pointerleave", () => pointer.hide());
  canvas.addEventListener("click", (event) => {
    const place = under(event);
    if (place) choose(place);
  });
  scroller.addEventListener("keydown", move);
  scroller.addEventListener("blur", () => {
    shown.cursor = null;
    draw();
  });
  scroller.addEventListener("scroll", () => {
    pointer.hide();
    draw();
  });
  document.addEventListener("themechange", refresh, { signal });
  let width = 0;
  new ResizeObserver(() => {
    refresh();
    if (!width && scroller.clientWidth && shown.chosen) reveal(shown.columns.indexOf(shown.chosen.at)); // chosen elsewhere
    width = scroller.clientWidth;
  }).observe(scroller);
  return { element, arrange, refresh, pick };
}

const theme = () => ({
  ink: themed("--ink"),
  muted: themed("--muted"),
  line: themed("--line"),
  none: themed("--raised"),
  accent: themed("--accent"),
  onAccent: themed("--on-accent"),
  surface: themed("--surface"),
});
