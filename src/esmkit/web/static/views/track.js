// A bar per residue along the sequence, in lines of a width that fits the window.
import { h, svg } from "../core/dom.js";
import { tip } from "./tip.js";

const BAR = 11;
const HEIGHT = 70;
const LABELS = 16;

/**
 * A track of `bars`: [{label, value, note}], value null where there is none; bars stand on the line, and hang where values are negative.
 * With `selection`, the chosen residue is marked, and a click chooses.
 */
export function track(bars, { title, unit, selection = null }) {
  const isUp = bars.every(({ value }) => value === null || value >= 0);
  const longest = (isUp ? 1 : -1) * Math.max(1e-9, ...bars.map(({ value }) => Math.abs(value ?? 0)));
  const box = h("div", { class: "track" });
  const pointer = tip();
  let perLine = 0;

  function draw() {
    const fits = Math.max(10, Math.floor((box.clientWidth || 800) / BAR / 10) * 10);
    if (fits === perLine) return;
    perLine = fits;
    const lines = Math.ceil(bars.length / perLine);
    const picture = svg("svg", {
      viewBox: `0 0 ${perLine * BAR} ${lines * (HEIGHT + LABELS + 8)}`, width: perLine * BAR, height: lines * (HEIGHT + LABELS + 8),
      role: "img", "aria-label": `${title}; bars ${isUp ? "up" : "hang down"} to ${longest.toFixed(1)} ${unit}`, "font-family": "ui-monospace, monospace", "font-size": 10,
    });
    bars.forEach((bar, at) => picture.append(...drawn(bar, at)));
    box.replaceChildren(picture);
    mark();
  }
  function drawn({ label, value }, at) {
    const x = (at % perLine) * BAR;
    const y = Math.floor(at / perLine) * (HEIGHT + LABELS + 8);
    const size = value === null ? 0 : (value / longest) * HEIGHT;
    const top = y + LABELS + (isUp ? HEIGHT - size : 0);
    const bar = svg("rect", { x: x + 1, y: top, width: BAR - 2, height: Math.max(size, 0.5), fill: "#2f9e9b" });
    const area = svg("rect", { x, y, width: BAR, height: HEIGHT + LABELS, fill: "transparent", data: { at } });
    const letter = svg("text", { x: x + BAR / 2, y: y + 12, "text-anchor": "middle", fill: "currentColor" }, label[0]);
    return [bar, letter, area];
  }
  function mark() {
    for (const area of box.querySelectorAll("[data-at]")) {
      area.setAttribute("stroke", Number(area.dataset.at) === selection?.chosen ? "currentColor" : "none");
    }
  }
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
