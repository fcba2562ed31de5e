// Residues against residues: a square picture with axes, a cross under the pointer, zoom, keys, and files to keep.
import { isDark, themed } from "../core/colour.js";
import { h } from "../core/dom.js";
import { png } from "../core/save.js";
import { inside, layout, paper, plot, svgOf } from "./matrix_plot.js";
import { tip } from "./tip.js";

const { EDGE, sideOf, heightOf } = layout;
const LARGEST = 620;
const LEAST_SPAN = 10;
const THICK = 1.25;
const HELP = "Arrow keys move, with Shift by ten; plus and minus zoom, 0 shows all, Escape leaves.";

/**
 * A square picture of `size` x `size` cells, rows from the top.
 *
 * `paint(pixels, dark)` fills a Uint32Array of cells, row by row. `describe(row, column)` says what a cell is.
 * `marks()` gives cells to ring: [{row, column, colour}], colour a custom property. `onchoose(row, column)` is told of
 * a click or key, with nulls when left; `onhover` of the cell under the pointer. Lives until `signal` ends. Gives
 * {element, redraw(), refresh() of all but the cells, choose(row, column), guide(position), png(), svg(title)}.
 */
export function matrix({
  size,
  label,
  axis = "Residue",
  paint,
  describe,
  marks = () => [],
  onchoose = () => {},
  onhover = () => {},
  signal,
}) {
  const cells = h("canvas", { width: size, height: size });
  const canvas = h("canvas", {
    tabindex: 0,
    role: "application",
    "aria-roledescription": "map",
    "aria-label": `${label}. ${HELP}`,
  });
  const said = h("p", { class: "matrix-said small", role: "status" });
  const button = (text, name, onclick) =>
    h("button", { type: "button", class: "ghost", "aria-label": name, title: name, onclick }, text);
  const tools = h(
    "div",
    { class: "row matrix-tools" },
    button("+", "Zoom in", () => zoom(2)),
    button("−", "Zoom out", () => zoom(0.5)),
    button("All", "Show the whole map", () => zoom(0)),
  );
  const element = h("div", { class: "matrix" }, canvas, h("div", { class: "row spread" }, said, tools));
  const pointer = tip();
  let view = { x: 0, y: 0, span: size };
  let hovered = null;
  let chosen = null;
  let line = null;
  let asked = 0;
  let isStale = true;

  function fill(dark) {
    isStale = dark !== isDark();
    const context = cells.getContext("2d");
    const image = context.createImageData(size, size);
    paint(new Uint32Array(image.data.buffer), dark);
    context.putImageData(image, 0, 0);
  }
  function later() {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(show);
  }
  function show() {
    const width = Math.min(element.clientWidth, LARGEST + EDGE.left + EDGE.right);
    if (width < EDGE.left + EDGE.right + 20) return;
    if (isStale) fill(isDark());
    const ratio = devicePixelRatio || 1;
    Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(heightOf(width) * ratio) });
    Object.assign(canvas.style, {
      width: `${width}px`,
      height: `${heightOf(width)}px`,
      touchAction: view.span < size ? "none" : "pan-y",
    });
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const colour = remembered(themed);
    plot(context, width, map(), { ink: colour("--ink"), muted: colour("--muted"), named: colour });
    cross(context, width, chosen, colour("--accent"));
    if (hovered) cross(context, width, hovered, colour("--line-strong"));
    if (line !== null) cross(context, width, [line, line], colour("--warn"));
  }
  const map = () => ({ cells, size, view, axis, marks: marks() });
  function cross(context, width, at, colour) {
    if (!at) return;
    const side = sideOf(width);
    const cell = side / view.span;
    const [row, column] = at;
    const [x, y] = [EDGE.left + (column + 0.5 - view.x) * cell, EDGE.top + (row + 0.5 - view.y) * cell];
    inside(context, side, () => {
      Object.assign(context, { fillStyle: colour, globalAlpha: 0.75 });
      context.fillRect(EDGE.left, y - THICK / 2, side, THICK);
      context.fillRect(x - THICK / 2, EDGE.top, THICK, side);
    });
  }
  function cellAt({ clientX, clientY }) {
    const box = canvas.getBoundingClientRect();
    const cell = sideOf(box.width) / view.span;
    const column = Math.floor((clientX - box.left - EDGE.left) / cell + view.x);
    const row = Math.floor((clientY - box.top - EDGE.top) / cell + view.y);
    const isSeen = (at, from) => at >= Math.floor(from) && at < Math.min(size, from + view.span);
    return isSeen(row, view.y) && isSeen(column, view.x) ? [row, column] : null;
  }
  function choose(row, column, { tell = false } = {}) {
    chosen = row === null ? null : [row, column];
    line = null;
    said.textContent = chosen ? describe(row, column) : "";
    if (chosen) into(row, column);
    later();
    if (tell) onchoose(row, column);
  }
  function into(row, column) {
    if (column < view.x || column >= view.x + view.span) view.x = bounded(column - view.span / 2);
    if (row < view.y || row >= view.y + view.span) view.y = bounded(row - view.span / 2);
  }
  const bounded = (from) => Math.min(Math.max(0, from), size - view.span);
  function zoom(factor) {
    const [row, column] = chosen ?? hovered ?? [view.y + view.span / 2, view.x + view.span / 2];
    const span = factor ? Math.min(size, Math.max(Math.min(size, LEAST_SPAN), view.span / factor)) : size;
    view = { ...view, span };
    Object.assign(view, { x: bounded(column - span / 2), y: bounded(row - span / 2) });
    later();
  }
  function key(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    if (move) {
      const [row, column] = chosen ?? [0, -1];
      const steps = event.shiftKey ? 10 : 1;
      const clipped = (value) => Math.min(size - 1, Math.max(0, value));
      choose(clipped(row + move[0] * steps), clipped(column + move[1] * steps), { tell: true });
    } else if (event.key === "+" || event.key === "=") zoom(2);
    else if (event.key === "-") zoom(0.5);
    else if (event.key === "0") zoom(0);
    else if (event.key === "Escape") choose(null, null, { tell: true });
    else return;
    event.preventDefault();
  }
  function hover(cell, event) {
    const same = cell?.[0] === hovered?.[0] && cell?.[1] === hovered?.[1];
    hovered = cell;
    if (cell) pointer.show(event, describe(...cell));
    else pointer.hide();
    if (same) return;
    onhover(...(cell ?? [null, null]));
    later();
  }
  let drag = null;
  canvas.addEventListener("keydown", key);
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, y: event.clientY, view: { ...view }, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag && view.span < size) {
      const cell = sideOf(canvas.clientWidth) / view.span;
      drag.moved ||= Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 4;
      view.x = bounded(drag.view.x - (event.clientX - drag.x) / cell);
      view.y = bounded(drag.view.y - (event.clientY - drag.y) / cell);
      later();
    }
    hover(drag?.moved ? null : cellAt(event), event);
  });
  canvas.addEventListener("pointerup", (event) => {
    const cell = drag && !drag.moved ? cellAt(event) : null;
    drag = null;
    if (cell) choose(...cell, { tell: true });
  });
  canvas.addEventListener("pointercancel", () => (drag = null));
  canvas.addEventListener("pointerleave", (event) => hover(null, event));
  canvas.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
      event.preventDefault();
      zoom(event.deltaY < 0 ? 1.25 : 0.8);
    },
    { passive: false },
  );
  function redraw() {
    isStale = true;
    later();
  }
  document.addEventListener("themechange", redraw, { signal });
  signal?.addEventListener("abort", () => pointer.remove());
  new ResizeObserver(later).observe(element);
  redraw();

  /** The map as it is drawn on white; its cells are painted anew for the theme when next shown. */
  function white() {
    fill(false);
    return map();
  }
  return {
    element,
    redraw,
    refresh: later,
    choose,
    svg: (title) => svgOf(title, white()),
    png: () => png(paper(white())),
    guide(position) {
      line = position;
      later();
    },
  };
}

/** A function that works only once per name; a picture asks for the same few colours very often. */
function remembered(work) {
  const known = new Map();
  return (name) => known.get(name) ?? known.set(name, work(name)).get(name);
}
