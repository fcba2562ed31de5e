// The map as a picture of its own: SVG with axes and legend, and the same as PNG.
import { css } from "../core/colour.js";
import { svg } from "../core/dom.js";
import { svgText } from "../core/save.js";
import { ticks } from "../views/plane.js";
import { outline } from "../views/shapes.js";
import { shortNumber } from "./legend.js";

const SIDE = 640;
const LEFT = 60;
const TOP = 36;
const LEGEND = 240;
const LINE = 19;
const MOST_GROUPS = 32;
const INK = { text: "#17212b", muted: "#55636f", line: "#d9dfe4", accent: "#0b6670" };
// A picture goes into papers: light, whatever the page shows.

/** What is seen of a chart now, as an SVG element; `seen` is the plane of the scatter plot. */
export function pictureOf(chart, seen) {
  const plane = Object.assign(Object.create(seen), { width: SIDE, height: SIDE });
  const picture = svg("svg", {
    viewBox: `0 0 ${LEFT + SIDE + 16 + LEGEND} ${TOP + SIDE + 56}`,
    width: LEFT + SIDE + 16 + LEGEND,
    height: TOP + SIDE + 56,
    "font-family": "system-ui, Helvetica, Arial, sans-serif",
    "font-size": 12,
    fill: INK.text,
  });
  const inside = svg(
    "g",
    { transform: `translate(${LEFT} ${TOP})` },
    frame(chart, plane),
    svg("g", { "clip-path": "url(#inside)" }, points(chart, plane)),
  );
  picture.append(
    svg("defs", {}, svg("clipPath", { id: "inside" }, svg("rect", { width: SIDE, height: SIDE }))),
    svg("rect", { width: "100%", height: "100%", fill: "#ffffff" }),
    svg(
      "text",
      { x: LEFT, y: 22, "font-weight": 600 },
      `${chart.size.toLocaleString("en")} proteins, ${chart.about.model.title}, ${chart.about.method.toUpperCase()}`,
    ),
    inside,
    svg("text", { x: LEFT + SIDE / 2, y: TOP + SIDE + 42, "text-anchor": "middle" }, chart.axis(0)),
    svg("text", { transform: `translate(16 ${TOP + SIDE / 2}) rotate(-90)`, "text-anchor": "middle" }, chart.axis(1)),
    svg("g", { transform: `translate(${LEFT + SIDE + 24} ${TOP})` }, legend(chart)),
  );
  return picture;
}

/** An SVG element as PNG, at twice its size. */
export async function pngOf(picture) {
  const image = new Image();
  const address = URL.createObjectURL(new Blob([svgText(picture)], { type: "image/svg+xml" }));
  try {
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = 2 * picture.getAttribute("width");
    canvas.height = 2 * picture.getAttribute("height");
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  } finally {
    URL.revokeObjectURL(address);
  }
}

function frame(chart, plane) {
  const parts = [];
  if (chart.about.method === "pca") {
    const [left, high] = plane.fromWindow(0, 0);
    const [right, low] = plane.fromWindow(SIDE, SIDE);
    for (const { value, text } of ticks(left, right, 6)) {
      const [x] = plane.toWindow(value, 0);
      parts.push(
        svg("path", { d: `M${x} 0V${SIDE}`, stroke: INK.line }),
        svg("text", { x, y: SIDE + 16, "text-anchor": "middle", fill: INK.muted }, text),
      );
    }
    for (const { value, text } of ticks(low, high, 6)) {
      const [, y] = plane.toWindow(0, value);
      parts.push(
        svg("path", { d: `M0 ${y}H${SIDE}`, stroke: INK.line }),
        svg("text", { x: -6, y: y + 4, "text-anchor": "end", fill: INK.muted }, text),
      );
    }
  }
  return [...parts, svg("rect", { width: SIDE, height: SIDE, fill: "none", stroke: INK.muted })];
}

function points(chart, plane) {
  const { coding, shown, selected } = chart;
  const some = selected.size > 0;
  const radius = chart.size > 800 ? 3 : 4.2;
  const order = chart.records
    .map((_, point) => point)
    .filter((point) => shown[point])
    .sort((a, b) => selected.has(a) - selected.has(b));
  return order.map((point) => {
    const isStrong = !some || selected.has(point);
    const mark = svg("path", {
      d: outline(coding.shapes[point], ...plane.toWindow(chart.xs[point], chart.ys[point]), radius),
      fill: coding.fills[point],
      stroke: INK.text,
      "stroke-width": some && isStrong ? 1.2 : 0.4,
      opacity: isStrong ? 0.92 : 0.22,
    });
    mark.append(svg("title", {}, chart.records[point].id));
    return mark;
  });
}

function legend(chart) {
  const { coding, hidden, column } = chart;
  const parts = [svg("text", { y: 12, "font-weight": 600 }, short(column, 34))];
  if (coding.kind === "numbers") parts.push(...numberBar(coding));
  const groups = coding.groups.filter((group, at) => !hidden.has(at) && group.fill !== null);
  const top = coding.kind === "numbers" ? 74 : 34;
  groups.slice(0, MOST_GROUPS).forEach((group, at) => {
    const y = top + at * LINE;
    parts.push(
      svg("path", { d: outline(group.shape, 7, y - 4, 4.6), fill: group.fill, stroke: INK.text, "stroke-width": 0.4 }),
    );
    parts.push(svg("text", { x: 20, y }, `${short(group.name, 26)} (${group.count.toLocaleString("en")})`));
  });
  if (groups.length > MOST_GROUPS)
    parts.push(
      svg("text", { x: 20, y: top + MOST_GROUPS * LINE, fill: INK.muted }, `and ${groups.length - MOST_GROUPS} more`),
    );
  return parts;
}

function numberBar({ low, high, scale }) {
  const cells = Array.from({ length: 40 }, (_, at) =>
    svg("rect", { x: at * 5, y: 24, width: 5.5, height: 12, fill: css(scale(low + ((high - low) * at) / 39)) }),
  );
  return [
    ...cells,
    svg("text", { y: 52 }, shortNumber(low)),
    svg("text", { x: 200, y: 52, "text-anchor": "end" }, shortNumber(high)),
  ];
}

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
