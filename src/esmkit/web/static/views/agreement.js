// Predicted against measured: on the diagonal where they are equal.
import { MARK } from "../core/colour.js";
import { h, svg } from "../core/dom.js";
import { canvas, line, linear, responsive, ticks, words } from "./axis.js";
import { tip } from "./tip.js";

const LEFT = 52;
const BOTTOM = 44;
const EDGE = 12;
const WIDEST = 460;

/** A scatter plot of `points`: [{x, y, label}], x measured and y predicted, both on the same scale. */
export function agreement(points, { title, xLabel, yLabel }) {
  const box = h("div", { class: "agreement" });
  const pointer = tip();
  const values = points.flatMap(({ x, y }) => [x, y]);
  const marks = ticks(Math.min(...values), Math.max(...values));
  const ends = [marks[0], marks.at(-1)];

  responsive(box, (available) => {
    const size = Math.min(available, WIDEST);
    const picture = canvas(size, size - 20, `${title}: ${points.length} points, listed in the table below`);
    const x = linear(ends, [LEFT, size - EDGE]);
    const y = linear(ends, [size - 20 - BOTTOM, EDGE]);
    for (const mark of marks) {
      picture.append(line(x(mark), y(ends[0]), x(mark), y(ends[1])), line(x(ends[0]), y(mark), x(ends[1]), y(mark)));
      picture.append(words(mark, x(mark), y(ends[0]) + 17, { "text-anchor": "middle" }));
      picture.append(words(mark, LEFT - 7, y(mark) + 4, { "text-anchor": "end" }));
    }
    picture.append(
      line(x(ends[0]), y(ends[0]), x(ends[1]), y(ends[1]), { "stroke-opacity": 0.7, "stroke-dasharray": "5 4" }),
    );
    points.forEach((point, at) => {
      const place = { cx: x(point.x), cy: y(point.y), r: 4.5, fill: MARK, "fill-opacity": 0.85, data: { at } };
      picture.append(svg("circle", place));
    });
    picture.append(words(xLabel, (LEFT + size) / 2, size - 26, { "text-anchor": "middle" }));
    const middle = y((ends[0] + ends[1]) / 2);
    picture.append(words(yLabel, 0, 0, { "text-anchor": "middle", transform: `translate(13 ${middle}) rotate(-90)` }));
    box.replaceChildren(picture);
  });
  box.addEventListener("pointermove", (event) => {
    const point = points[event.target.dataset?.at];
    if (point) pointer.show(event, `${point.label}: measured ${point.x}, predicted ${point.y.toPrecision(4)}`);
    else pointer.hide();
  });
  box.addEventListener("pointerleave", () => pointer.hide());
  return box;
}
