// A line per protein: a dot on an axis for a number, or the shares of classes as a bar.
import { GROUPS, MARK, inkOn } from "../core/colour.js";
import { h, svg } from "../core/dom.js";
import { canvas, line, linear, responsive, ticks, words } from "./axis.js";

const ROW = 26;
const TOP = 24;
const EDGE = 14;
const SHORTEST = 8; // letters of a name

const shortened = (text, most) => (text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text);

/** Numbers: `rows` are [{label, value}]. */
export function dots(rows, { title, unit }) {
  return lined(rows, title, (picture, left, width, y) => {
    const marks = ticks(Math.min(...rows.map(({ value }) => value)), Math.max(...rows.map(({ value }) => value)), 4);
    const x = linear([marks[0], marks.at(-1)], [left + EDGE, width - EDGE - 4]);
    for (const mark of marks) {
      picture.append(line(x(mark), TOP - 6, x(mark), y(rows.length) - ROW / 2));
      picture.append(words(mark, x(mark), 12, { "text-anchor": "middle" }));
    }
    rows.forEach(({ label, value }, at) => {
      const text = `${label}: ${value.toPrecision(4)} ${unit}`;
      picture.append(line(x(marks[0]), y(at), x(marks.at(-1)), y(at), { "stroke-opacity": 0.15 }));
      picture.append(svg("circle", { cx: x(value), cy: y(at), r: 5, fill: MARK }, svg("title", {}, text)));
    });
  });
}

/** Probabilities of classes: `rows` are [{label, shares: {class: probability}}]. */
export function shares(rows, { title, classes }) {
  const legend = classes.map((name, at) =>
    h(
      "span",
      { class: "row small" },
      svg(
        "svg",
        { width: 12, height: 12, "aria-hidden": "true" },
        svg("rect", { width: 12, height: 12, rx: 2, fill: GROUPS[at % GROUPS.length] }),
      ),
      name,
    ),
  );
  const picture = lined(rows, title, (drawing, left, width, y) => {
    const x = linear([0, 1], [left + EDGE, width - EDGE - 4]);
    for (const mark of [0, 0.5, 1]) drawing.append(words(mark, x(mark), 12, { "text-anchor": "middle" }));
    rows.forEach(({ label, shares: own }, at) => drawing.append(...bar(label, own, classes, x, y(at))));
  });
  return h("div", { class: "stack" }, h("div", { class: "row legend" }, legend), picture);
}

function bar(label, own, classes, x, y) {
  let from = 0;
  return classes.flatMap((name, at) => {
    const share = own[name] ?? 0;
    const [left, right] = [x(from), x(from + share)];
    from += share;
    const colour = GROUPS[at % GROUPS.length];
    const ink = inkOn([1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16)));
    const place = { x: left, y: y - 8, width: Math.max(0, right - left), height: 16, fill: colour };
    const text = `${label}: ${name} ${share.toFixed(3)}`;
    const written =
      right - left > 34
        ? words(share.toFixed(2), (left + right) / 2, y + 4, { fill: ink, "text-anchor": "middle", "font-size": 11 })
        : null;
    return [svg("rect", place, svg("title", {}, text)), written].filter(Boolean);
  });
}

/** The frame of both: names on the left, `paint(picture, left, width, y)` draws the rest. */
function lined(rows, title, paint) {
  const box = h("div", { class: "rows" });
  const longest = Math.max(...rows.map(({ label }) => label.length));
  responsive(box, (width) => {
    const letters = Math.max(SHORTEST, Math.min(longest, Math.floor((width * 0.35) / 7.5)));
    const left = letters * 7.5 + 6;
    const y = (at) => TOP + ROW * (at + 0.5);
    const picture = canvas(
      width,
      TOP + ROW * rows.length,
      `${title}: ${rows.length} proteins, listed in the table below`,
    );
    rows.forEach(({ label }, at) => {
      picture.append(words(shortened(label, letters), left, y(at) + 4, { "text-anchor": "end" }));
    });
    paint(picture, left, width, y);
    box.replaceChildren(picture);
  });
  return box;
}
