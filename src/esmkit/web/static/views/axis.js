// What pictures with axes share: round numbers, places, and drawing anew when the window changes.
import { svg } from "../core/dom.js";

/** Round numbers that cover a range, about `many` of them. */
export function ticks(low, high, many = 5) {
  const span = high - low || Math.abs(high) || 1;
  const rough = span / many;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough * 0.999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: Math.max(1, last - first) + 1 }, (_, at) =>
    Number(((first + at) * step).toPrecision(12)),
  );
}

/** From a range of values to a range of places. */
export const linear =
  ([low, high], [from, to]) =>
  (value) =>
    from + ((value - low) / (high - low || 1)) * (to - from);

/** Calls `draw(width)` now and whenever the width of a box changes. */
export function responsive(box, draw) {
  let last = 0;
  const again = () => {
    const width = Math.floor(box.clientWidth);
    if (!width || width === last) return;
    last = width;
    draw(width);
  };
  new ResizeObserver(again).observe(box);
  again();
}

/** Text of a picture; `more` are attributes. */
export const words = (text, x, y, more = {}) => svg("text", { x, y, fill: "currentColor", ...more }, String(text));

/** A thin line. */
export const line = (x1, y1, x2, y2, more = {}) =>
  svg("line", { x1, y1, x2, y2, stroke: "currentColor", "stroke-opacity": 0.25, ...more });

/** An SVG element of a size, with the fonts of pictures. */
export const canvas = (width, height, label) =>
  svg("svg", {
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: "img",
    "aria-label": label,
    "font-family": "system-ui, sans-serif",
    "font-size": 12,
  });
