// A bar per residue along the sequence, in lines of a width that fits the window.
import { h, svg } from "../core/dom.js";
import { tip } from "./tip.js";

const NARROWEST = 12;
const WIDEST = 18;
const HEIGHT = 76;
const LABELS = 30; // numbers and letters above the bars
const BETWEEN = 14;
const LEFT = 44;
const COLOUR = "#2f9e9b";
const FLAGGED = "#d55e00";
const STEPS = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: (line) => -line, ArrowDown: (line) => line };

/**
 * A track of `bars`: [{label, value, note, flag}], value null where there is none, `flag` in another colour.
 *
 * Bars begin at 0 and end at their value; `range` is [lowest, highest], with 0 at one end, the side where values are.
 * With `selection`, the chosen residue is marked, and a click or the arrow keys choose.
 */
export function track(bars, { title, unit, range = rangeOf(bars), selection = null }) {
  const [low, high] = range;
  const digits = Math.max(1, Math.min(4, 1 - Math.floor(Math.log10((high - low) / 3))));
  const number = (value) => value.toFixed(digits).replace("-", "−");
  const box = h("div", {
    class: "track",
    tabindex: 0,
    role: "application",
    "aria-roledescription": "track",
    "aria-label": `${title}. Arrow keys choose a residue.`,
  });
  const pointer = tip();
  let perLine = 0;
  let bar_px = 0;
  const lineHeight = LABELS + HEIGHT + BETWEEN;
  const place = (at) => ({ x: LEFT + (at % perLine) * bar_px, y: Math.floor(at / perLine) * lineHeight + LABELS });
  const level = (value) => ((high - value) / (high - low)) * HEIGHT;

  function draw() {
    const room = (box.clientWidth || 800) - LEFT - 6;
    const fits = Math.max(10, Math.floor(room / NARROWEST / 10) * 10);
    const width_px = Math.min(WIDEST, Math.floor(room / Math.min(fits, bars.length)));
    if (fits === perLine && width_px === bar_px) return;
    [perLine, bar_px] = [fits, width_px];
    const lines = Math.ceil(bars.length / perLine);
    const size = { width: LEFT + Math.min(perLine, bars.length) * bar_px + 6, height: lines * lineHeight };
    const picture = svg("svg", {
      viewBox: `0 0 ${size.width} ${size.height}`,
      ...size,
      role: "img",
      fill: "currentColor",
      "aria-label": `${title}; from ${number(low)} to ${number(high)} ${unit}`,
      "font-family": "ui-monospace, Menlo, Consolas, monospace",
      "font-size": 11,
    });
    for (let line = 0; line < lines; line += 1) picture.append(...axis(line));
    bars.forEach((bar, at) => picture.append(...drawn(bar, at)));
    box.replaceChildren(picture);
    mark();
  }
  function axis(line) {
    const y = line * lineHeight + LABELS;
    const end = LEFT + Math.min(perLine, bars.length - line * perLine) * bar_px;
    return [high, (high + low) / 2, low].flatMap((value) => [
      svg("line", {
        x1: LEFT - 4,
        x2: end,
        y1: y + level(value),
        y2: y + level(value),
        stroke: "currentColor",
        "stroke-opacity": value === 0 ? 0.7 : 0.18,
      }),
      svg("text", { x: LEFT - 8, y: y + level(value) + 4, "text-anchor": "end", "font-size": 10 }, number(value)),
    ]);
  }
  function drawn({ label, value, flag }, at) {
    const { x, y } = place(at);
    const [zero, end] = [level(0), level(Math.max(low, Math.min(high, value ?? 0)))];
    const parts = [
      svg("rect", {
        x: x + 1.5,
        y: y + Math.min(zero, end),
        width: bar_px - 3,
        height: Math.max(Math.abs(end - zero), value === null ? 0 : 0.8),
        fill: flag ? FLAGGED : COLOUR,
      }),
      svg("text", { x: x + bar_px / 2, y: y - 5, "text-anchor": "middle" }, label[0]),
    ];
    if ((at + 1) % 10 === 0 || at === 0)
      parts.push(svg("text", { x: x + bar_px / 2, y: y - 18, "text-anchor": "middle", "font-size": 10 }, at + 1));
    parts.push(
      svg("rect", { x, y: y - 16, width: bar_px, height: HEIGHT + 18, fill: "transparent", rx: 2, data: { at } }),
    );
    return parts;
  }
  function mark() {
    for (const area of box.querySelectorAll("[data-at]")) {
      area.setAttribute("stroke", Number(area.dataset.at) === selection?.chosen ? "currentColor" : "none");
    }
  }
  function move(event) {
    const step = STEPS[event.key]?.(perLine);
    if (!step || !selection) return;
    const next = selection.chosen === null ? 0 : selection.chosen + step;
    if (next >= 0 && next < bars.length) selection.choose(next);
    event.preventDefault();
  }
  box.addEventListener("keydown", move);
  box.addEventListener("pointermove", (event) => {
    const at = event.target.dataset?.at;
    if (at === undefined) pointer.hide();
    else pointer.show(event, `${bars[at].label}: ${bars[at].note}`);
  });
  box.addEventListener("pointerleave", () => pointer.hide());
  box.addEventListener("click", (event) => {
    const at = event.target.dataset?.at;
    if (at !== undefined) selection?.choose(Number(at));
  });
  selection?.addEventListener("choose", mark);
  new ResizeObserver(draw).observe(box);
  draw();
  return box;
}

/** Upwards where no value is negative, else downwards. */
function rangeOf(bars) {
  const values = bars.map(({ value }) => value ?? 0);
  const low = Math.min(...values);
  return low < 0 ? [low, 0] : [0, Math.max(1e-9, ...values)];
}
