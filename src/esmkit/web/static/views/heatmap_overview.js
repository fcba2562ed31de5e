// A whole scan in small, above the part that is in view: where that part is, and a way to elsewhere.
import { themed } from "../core/colour.js";
import { h } from "../core/dom.js";

const HEIGHT = 48;

/** `onmove(share)` is told how far along the protein somebody pointed. For pointers; keys move the map itself. */
export function overview(onmove) {
  const canvas = h("canvas", { class: "overview-canvas", width: 1, height: 20 });
  const frameBox = h("div", { class: "overview-frame" });
  const element = h(
    "div",
    { class: "overview", "aria-hidden": "true", hidden: true, style: { height: `${HEIGHT}px` } },
    canvas,
    frameBox,
  );

  function fill(scan, { columns, rows }, colour) {
    canvas.width = scan.length;
    const context = canvas.getContext("2d");
    const image = context.createImageData(scan.length, 20);
    const none = themed("--raised")
      .match(/[\d.]+/g)
      .slice(0, 3)
      .map(Number);
    columns.forEach((at, x) => {
      const scores = scan.scores[at];
      rows.forEach(({ column }, y) => {
        image.data.set([...(scores ? colour(scores[column]) : none), 255], 4 * (y * scan.length + x));
      });
    });
    context.putImageData(image, 0, 0);
  }
  function frame(start, share) {
    Object.assign(frameBox.style, { left: `${100 * start}%`, width: `${100 * share}%` });
  }
  function follow(event) {
    if (event.type === "pointermove" && !event.buttons) return;
    const box = element.getBoundingClientRect();
    onmove((event.clientX - box.left) / box.width);
  }
  element.addEventListener("pointerdown", follow);
  element.addEventListener("pointermove", follow);
  return { element, fill, frame };
}
