// A small attention map for every layer and head, as far as the protein is short enough; else numbers to choose by.
import { intensity, pixels } from "../core/colour.js";
import { h } from "../core/dom.js";
import { LONGEST_GRID, bounds, fetchPiece, gridBytes, pieces, quantile, shrunk } from "./attention_maps.js";

/** The grid; `onchoose(layer, head)` is told which one is wanted. Gives {element, choose(layer, head)}. */
export function attentionGrid(work, { onchoose }) {
  const { model } = work;
  const size = work.sequence.length;
  const { most, first } = bounds(model, size);
  const range = (count) => Array.from({ length: count }, (_, at) => at + 1);
  const small = new Map();
  const said = h("p", { class: "hint", role: "status" });
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Attention maps" });
  const stop = h("button", { type: "button", hidden: true, onclick: () => stopper.abort() }, "Stop");
  const layer = h(
    "select",
    { "aria-label": "Layer" },
    range(model.layers).map((number) => h("option", { value: number }, `layer ${number}`)),
  );
  const head = h(
    "select",
    { "aria-label": "Head" },
    range(model.heads).map((number) => h("option", { value: number }, `head ${number}`)),
  );
  const all = h(
    "button",
    { type: "button", class: "ghost", hidden: true, onclick: () => load(range(model.layers)) },
    `All layers (about ${megabytes(gridBytes(model, size))})`,
  );
  const table = h("div", {
    class: "attention-grid",
    role: "group",
    "aria-label": "Small maps, a row per layer, a column per head",
  });
  const element = h(
    "section",
    { class: "stack", "aria-label": "Layers and heads" },
    h("div", { class: "row" }, layer, head, all, stop),
    said,
    bar,
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Grid of small maps" }, table),
  );
  let stopper = new AbortController();
  let at = [model.layers, 1];

  function choose(newLayer, newHead) {
    at = [newLayer, newHead];
    [layer.value, head.value] = at;
    mark();
    onchoose(newLayer, newHead);
    if (first === "one layer" && !small.has(`${newLayer}-${model.heads}`)) load([newLayer]);
  }
  function mark() {
    for (const button of table.querySelectorAll("button")) {
      const isChosen = button.dataset.map === at.join("-");
      button.setAttribute("aria-pressed", String(isChosen));
      button.tabIndex = isChosen ? 0 : -1;
    }
    if (!table.querySelector('button[tabindex="0"]')) table.querySelector("button")?.setAttribute("tabindex", "0");
  }
  async function load(layers) {
    stopper.abort();
    const own = (stopper = new AbortController());
    const signal = AbortSignal.any([own.signal, work.signal]);
    const parts = pieces(
      model,
      size,
      layers.filter((number) => !small.has(`${number}-${model.heads}`)),
    );
    progress(0, parts.length);
    try {
      for (const [done, part] of parts.entries()) {
        await fetchPiece(work, part, signal, (...map) => add(...map));
        progress(done + 1, parts.length);
      }
    } catch (error) {
      if (own !== stopper) return; // another piece of work goes on
      progress(1, 1);
      said.textContent = error.name === "AbortError" ? "Stopped; the maps so far are shown." : error.message;
      said.classList.toggle("error", error.name !== "AbortError");
    }
    all.hidden = most !== "all" || small.size === model.layers * model.heads;
  }
  function progress(done, of) {
    bar.hidden = stop.hidden = done === of;
    bar.value = of ? done / of : 1;
    said.classList.remove("error");
    said.textContent =
      done === of
        ? "Choose a map to see it large; darker (in the dark theme, lighter) is more attention."
        : `Fetching maps, ${done} of ${of} parts…`;
  }
  function add(number, which, values) {
    const map = shrunk(values, size);
    small.set(`${number}-${which}`, map);
    let row = table.querySelector(`[data-layer="${number}"]`);
    if (!row) row = newRow(number);
    const canvas = h("canvas", { width: map.side, height: map.side });
    const button = h(
      "button",
      {
        type: "button",
        tabindex: -1,
        data: { map: `${number}-${which}` },
        title: `Layer ${number}, head ${which}`,
        "aria-label": `Layer ${number}, head ${which}`,
        onclick: () => choose(number, which),
      },
      canvas,
    );
    row.append(button);
    paint(canvas, map);
    mark();
  }
  function newRow(number) {
    const row = h(
      "div",
      { class: "attention-row", data: { layer: number } },
      h("span", { class: "small muted" }, number),
    );
    const next = [...table.children].find((each) => Number(each.dataset.layer) > number);
    table.insertBefore(row, next ?? null);
    return row;
  }
  function paint(canvas, { side, values }) {
    const limit = quantile(values, 0.97);
    const colours = pixels(intensity(0, limit), 0, limit);
    const context = canvas.getContext("2d");
    const image = context.createImageData(side, side);
    const cells = new Uint32Array(image.data.buffer);
    values.forEach((value, cell) => (cells[cell] = colours[Math.round(Math.min(1, value / limit) * 255)]));
    context.putImageData(image, 0, 0);
  }
  table.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!move) return;
    event.preventDefault();
    const button = table.querySelector(`[data-map="${at[0] + move[0]}-${at[1] + move[1]}"]`);
    if (!button) return;
    button.focus();
    button.click();
  });
  for (const select of [layer, head])
    select.addEventListener("change", () => choose(Number(layer.value), Number(head.value)));
  document.addEventListener(
    "themechange",
    () => {
      for (const button of table.querySelectorAll("button")) paint(button.firstChild, small.get(button.dataset.map));
    },
    { signal: work.signal },
  );
  all.hidden = first !== "one layer" || most !== "all";
  if (first === "all") load(range(model.layers));
  if (first === "none") {
    said.textContent = `${size} residues: above ${LONGEST_GRID} residues small maps of every head are not fetched, as they would take ${megabytes(gridBytes(model, size, 1))} per layer. Choose a layer and a head; one map is shown at a time.`;
  }
  return { element, choose };
}

const megabytes = (bytes) => `${Math.max(1, Math.round(bytes / 1e6)).toLocaleString("en")} MB`;
