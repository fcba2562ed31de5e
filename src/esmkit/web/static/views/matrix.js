// Residues against residues: a square picture with axes, a cross under the pointer, zoom, keys, and files to keep.
import { isDark, themed } from "../core/colour.js";
import { h } from "../core/dom.js";
import { png as pngOf } from "../core/save.js";
import { tip } from "./tip.js";

const EDGE = { left: 54, top: 10, right: 12, bottom: 40 };
const LARGEST = 620;
const LEAST_SPAN = 10;
const EXPORTED = { width: 900, ratio: 2, ink: "#17212b", muted: "#55636f", ground: "#ffffff" };
const HELP = "Arrow keys move, with Shift by ten; plus and minus zoom, 0 shows all, Escape leaves.";

/**
 * A square picture of `size` x `size` cells, rows from the top.
 *
 * `paint(pixels, dark)` fills a Uint32Array of cells, row by row. `describe(row, column)` says what a cell is. `marks()`
 * gives cells to ring: [{row, column, colour}], colour a custom property. `onchoose(row, column)` is told of a click or key,
 * with nulls when left; `onhover` of the cell under the pointer. Lives until `signal` ends.
 * Gives {element, redraw(), refresh() of all but the cells, choose(row, column), guide(position), png(), svg(title)}.
 */
export function matrix({ size, label, axis = "Residue", paint, describe, marks = () => [], onchoose = () => {}, onhover = () => {}, signal }) {
  const cells = h("canvas", { width: size, height: size });
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-roledescription": "map", "aria-label": `${label}. ${HELP}` });
  const said = h("p", { class: "matrix-said small", role: "status" });
  const button = (text, name, onclick) => h("button", { type: "button", class: "ghost", "aria-label": name, title: name, onclick }, text);
  const tools = h(
    "div",
    { class: "row matrix-tools" },
    button("+", "Zoom in", () => zoom(2)), button("−", "Zoom out", () => zoom(0.5)), button("All", "Show the whole map", () => zoom(0)),
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
    const height = width - EDGE.left - EDGE.right + EDGE.top + EDGE.bottom;
    if (isStale) fill(isDark());
    const ratio = devicePixelRatio || 1;
    Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px`, touchAction: view.span < size ? "none" : "pan-y" });
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const colour = remembered(themed);
    draw(context, width, { ink: colour("--ink"), muted: colour("--muted"), named: colour });
    cross(context, width, chosen, colour("--accent"));
    if (hovered) cross(context, width, hovered, colour("--line-strong"));
    if (line !== null) for (const at of [[line, null], [null, line]]) cross(context, width, at, colour("--warn"));
  }
  const sideOf = (width) => width - EDGE.left - EDGE.right;
  function draw(context, width, colours) {
    const side = sideOf(width);
    context.imageSmoothingEnabled = side * (devicePixelRatio || 1) < view.span;
    context.imageSmoothingQuality = "high";
    context.drawImage(cells, view.x, view.y, view.span, view.span, EDGE.left, EDGE.top, side, side);
    ring(context, side, colours.named);
    context.strokeStyle = colours.muted;
    context.strokeRect(EDGE.left - 0.5, EDGE.top - 0.5, side + 1, side + 1);
    axes(side, (x1, y1, x2, y2) => {
      context.beginPath();
      context.moveTo(x1, y1);
      context.lineTo(x2, y2);
      context.stroke();
    }, (text, x, y, align, turned) => {
      context.save();
      context.translate(x, y);
      if (turned) context.rotate(-Math.PI / 2);
      Object.assign(context, { fillStyle: colours.ink, font: "12px system-ui, sans-serif", textAlign: align, textBaseline: "middle" });
      context.fillText(text, 0, 0);
      context.restore();
    });
  }
  function axes(side, stroke, write) {
    const cell = side / view.span;
    const step = niceStep(view.span);
    for (let position = Math.ceil((Math.min(view.x, view.y) + 1) / step) * step; position <= size; position += step) {
      const [x, y] = [view.x, view.y].map((from) => (position - 0.5 - from) * cell);
      if (x > 0 && x < side) {
        stroke(EDGE.left + x, EDGE.top + side, EDGE.left + x, EDGE.top + side + 5);
        write(String(position), EDGE.left + x, EDGE.top + side + 13, "center");
      }
      if (y > 0 && y < side) {
        stroke(EDGE.left - 5, EDGE.top + y, EDGE.left, EDGE.top + y);
        write(String(position), EDGE.left - 8, EDGE.top + y, "right");
      }
    }
    write(`${axis} j`, EDGE.left + side / 2, EDGE.top + side + 30, "center");
    write(`${axis} i`, 7, EDGE.top + side / 2, "center", true);
  }
  function ring(context, side, colourOf) {
    const cell = side / view.span;
    const room = Math.max(cell, 4);
    context.save();
    context.beginPath();
    context.rect(EDGE.left, EDGE.top, side, side);
    context.clip();
    context.lineWidth = 1.5;
    for (const { row, column, colour } of marks()) {
      context.strokeStyle = colourOf(colour);
      const [x, y] = [EDGE.left + (column + 0.5 - view.x) * cell, EDGE.top + (row + 0.5 - view.y) * cell];
      context.strokeRect(x - room / 2, y - room / 2, room, room);
    }
    context.restore();
  }
  function cross(context, width, at, colour) {
    if (!at) return;
    const side = sideOf(width);
    const cell = side / view.span;
    context.save();
    context.beginPath();
    context.rect(EDGE.left, EDGE.top, side, side);
    context.clip();
    context.fillStyle = colour;
    context.globalAlpha = 0.75;
    const thick = 1.25;
    if (at[0] !== null) context.fillRect(EDGE.left, EDGE.top + (at[0] + 0.5 - view.y) * cell - thick / 2, side, thick);
    if (at[1] !== null) context.fillRect(EDGE.left + (at[1] + 0.5 - view.x) * cell - thick / 2, EDGE.top, thick, side);
    context.restore();
  }
  function cellAt({ clientX, clientY }) {
    const box = canvas.getBoundingClientRect();
    const cell = sideOf(box.width) / view.span;
    const column = Math.floor((clientX - box.left - EDGE.left) / cell + view.x);
    const row = Math.floor((clientY - box.top - EDGE.top) / cell + view.y);
    const inside = (at, from) => at >= Math.floor(from) && at < Math.min(size, from + view.span);
    return inside(row, view.y) && inside(column, view.x) ? [row, column] : null;
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
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.25 : 0.8);
  }, { passive: false });
  function redraw() {
    isStale = true;
    later();
  }
  document.addEventListener("themechange", redraw, { signal });
  new ResizeObserver(later).observe(element);
  redraw();

  /** The map as seen, on white. */
  function paper() {
    fill(false);
    const { width, ratio, ground } = EXPORTED;
    const height = sideOf(width) + EDGE.top + EDGE.bottom;
    const copy = h("canvas", { width: width * ratio, height: height * ratio });
    const context = copy.getContext("2d");
    context.scale(ratio, ratio);
    context.fillStyle = ground;
    context.fillRect(0, 0, width, height);
    draw(context, width, { ...EXPORTED, named: lightOf });
    return copy;
  }
  function svg(title) {
    fill(false);
    const side = sideOf(EXPORTED.width);
    const part = h("canvas", { width: Math.ceil(view.span), height: Math.ceil(view.span) });
    part.getContext("2d").drawImage(cells, -Math.floor(view.x), -Math.floor(view.y));
    const lines = [];
    const shift = ["x", "y"].map((name) => ((view[name] - Math.floor(view[name])) * side) / view.span);
    const scaled = (side * part.width) / view.span;
    lines.push(
      `<clipPath id="map"><rect x="${EDGE.left}" y="${EDGE.top}" width="${side}" height="${side}"/></clipPath><g clip-path="url(#map)">`,
      `<image x="${EDGE.left - shift[0]}" y="${EDGE.top - shift[1]}" width="${scaled}" height="${scaled}" ` +
        `style="image-rendering:pixelated" preserveAspectRatio="none" href="${part.toDataURL()}"/>`,
    );
    const cell = side / view.span;
    for (const { row, column, colour } of marks()) {
      const [x, y] = [EDGE.left + (column - view.x) * cell, EDGE.top + (row - view.y) * cell];
      lines.push(`<rect x="${x}" y="${y}" width="${cell}" height="${cell}" fill="none" stroke="${lightOf(colour)}" stroke-width="1.5"/>`);
    }
    lines.push(`</g><rect x="${EDGE.left}" y="${EDGE.top}" width="${side}" height="${side}" fill="none" stroke="#55636f"/>`);
    axes(
      side,
      (x1, y1, x2, y2) => lines.push(`<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="#55636f"/>`),
      (text, x, y, align, turned) => {
        const anchor = { center: "middle", right: "end" }[align];
        const turn = turned ? ` transform="rotate(-90 ${x} ${y})"` : "";
        lines.push(`<text x="${x}" y="${y}" text-anchor="${anchor}" dominant-baseline="central"${turn}>${escaped(text)}</text>`);
      },
    );
    const height = side + EDGE.top + EDGE.bottom;
    return (
      `<?xml version="1.0" encoding="UTF-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${EXPORTED.width} ${height}" ` +
      `font-family="system-ui, sans-serif" font-size="12" fill="#17212b"><title>${escaped(title)}</title>` +
      `<rect width="100%" height="100%" fill="#ffffff"/>${lines.join("")}</svg>\n`
    );
  }
  return {
    element, redraw, refresh: later, choose, svg,
    png: () => pngOf(paper()),
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

const LIGHT = { "--good": "#1b6e38", "--warn": "#7d5200", "--bad": "#a8231b", "--accent": "#0b6670" };
const lightOf = (name) => LIGHT[name] ?? "#17212b";
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function niceStep(span) {
  const rough = span / 8;
  const power = 10 ** Math.floor(Math.log10(rough));
  return Math.max(1, [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough));
}
