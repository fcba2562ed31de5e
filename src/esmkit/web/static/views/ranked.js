// Values in the order of their rank, with what is uncertain about them as whiskers.
import { GROUPS, MARK } from "../core/colour.js";
import { h, svg } from "../core/dom.js";
import { canvas, line, linear, responsive, ticks, words } from "./axis.js";
import { tip } from "./tip.js";

const LEFT = 52;
const BOTTOM = 40;
const TOP = 14;
const HEIGHT = 220;

/**
 * A dot for each of `points`: [{value, sd, note}], the first on the left; `sd` may be missing.
 * `reference` is {value, title}, a line to compare with. `onchoose(index)` is told of clicks. The
 * result has `mark(index)`.
 */
export function ranked(points, { title, yLabel, reference = null, onchoose = () => {} }) {
  const box = h("div", { class: "ranked" });
  const pointer = tip();
  const spread = points.flatMap(({ value, sd = 0 }) => [value - sd, value + sd]);
  if (reference) spread.push(reference.value);
  const marks = ticks(Math.min(...spread), Math.max(...spread), 4);
  const ends = [marks[0], marks.at(-1)];
  let chosen = null;

  responsive(box, (width) => {
    const picture = canvas(width, HEIGHT, `${title}: ${points.length} values, listed in the table below`);
    const y = linear(ends, [HEIGHT - BOTTOM, TOP]);
    const slot = Math.min(64, (width - LEFT - 8) / points.length);
    const x = (at) => LEFT + slot * (at + 0.5);
    for (const mark of marks) {
      picture.append(line(LEFT, y(mark), width, y(mark)), words(mark, LEFT - 7, y(mark) + 4, { "text-anchor": "end" }));
    }
    if (reference) picture.append(...drawnReference(reference, y, width));
    points.forEach((point, at) => picture.append(...drawn(point, at, x, y, slot)));
    const every = [1, 2, 5, 10, 20, 50].find((step) => step * slot >= 26) ?? 50;
    points.forEach((_, at) => {
      if (at % every === every - 1 || at === 0) {
        picture.append(words(at + 1, x(at), HEIGHT - BOTTOM + 17, { "text-anchor": "middle" }));
      }
    });
    picture.append(words("rank", LEFT, HEIGHT - 5));
    const place = `translate(13 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)`;
    picture.append(words(yLabel, 0, 0, { "text-anchor": "middle", transform: place }));
    box.replaceChildren(picture);
    mark(chosen);
  });

  function drawn({ value, sd }, at, x, y, slot) {
    const area = {
      x: x(at) - slot / 2,
      y: TOP,
      width: slot,
      height: HEIGHT - BOTTOM - TOP,
      fill: "transparent",
      data: { at },
    };
    const whisker = sd
      ? line(x(at), y(value - sd), x(at), y(value + sd), { "stroke-opacity": 0.55, "stroke-width": 1.5 })
      : null;
    const radius = Math.max(2, Math.min(5, slot / 2.6));
    const dot = svg("circle", { cx: x(at), cy: y(value), r: radius, fill: MARK, class: "dot" });
    return [whisker, dot, svg("rect", area)].filter(Boolean);
  }
  function mark(index) {
    chosen = index;
    box.querySelectorAll(".dot").forEach((dot, at) => dot.setAttribute("fill", at === index ? GROUPS[1] : MARK));
  }
  const pointed = (event) => points[event.target.dataset?.at];
  box.addEventListener("pointermove", (event) => {
    if (pointed(event)) pointer.show(event, pointed(event).note);
    else pointer.hide();
  });
  box.addEventListener("pointerleave", () => pointer.hide());
  box.addEventListener("click", (event) => pointed(event) && onchoose(Number(event.target.dataset.at)));
  box.mark = mark;
  return box;
}

function drawnReference({ value, title }, y, width) {
  const end = { "text-anchor": "end", "fill-opacity": 0.75 };
  return [
    line(LEFT, y(value), width, y(value), { "stroke-opacity": 0.8, "stroke-dasharray": "5 4" }),
    words(title, width - 2, y(value) - 5, end),
  ];
}
