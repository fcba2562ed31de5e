// A vector as coloured cells, in rows.
import { diverging, pixel } from "../core/colour.js";
import { h } from "../core/dom.js";
import { legend } from "./legend.js";
import { tip } from "./tip.js";

const COLUMNS = 64;
const ROW = 12; // pixels high

/** The numbers of a vector from red (negative) through white to blue, with a table of the largest as text. */
export function strip(vector, { label }) {
  const rows = Math.ceil(vector.length / COLUMNS);
  const sorted = Float32Array.from(vector, Math.abs).sort();
  const limit = sorted[Math.floor(sorted.length * 0.98)] || sorted.at(-1) || 1;
  const canvas = h("canvas", {
    width: COLUMNS,
    height: rows,
    role: "img",
    "aria-label": `${label}, ${vector.length} numbers; the largest are listed below`,
  });
  canvas.style.height = `${rows * ROW}px`;
  const context = canvas.getContext("2d");
  const image = context.createImageData(COLUMNS, rows);
  const cells = new Uint32Array(image.data.buffer);
  const colour = diverging(limit);
  vector.forEach((value, at) => (cells[at] = pixel(colour(value))));
  context.putImageData(image, 0, 0);
  const pointer = tip();
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * COLUMNS);
    const at = Math.floor(((event.clientY - box.top) / box.height) * rows) * COLUMNS + column;
    if (at in vector) pointer.show(event, `dimension ${at + 1}: ${vector[at].toFixed(4)}`);
    else pointer.hide();
  });
  canvas.addEventListener("pointerleave", () => pointer.hide());
  return h(
    "div",
    { class: "stack strip" },
    canvas,
    legend(colour, -limit, limit, "Value of each dimension").element,
    largest(vector),
  );
}

function largest(vector) {
  const order = Array.from(vector, (_, at) => at)
    .sort((a, b) => Math.abs(vector[b]) - Math.abs(vector[a]))
    .slice(0, 10);
  return h(
    "details",
    {},
    h("summary", { class: "small" }, "The ten largest"),
    h("p", { class: "small" }, order.map((at) => `${at + 1}: ${vector[at].toFixed(3)}`).join(", ")),
  );
}
