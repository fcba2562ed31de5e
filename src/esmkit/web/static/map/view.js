// A map that was made: the picture with its legend, what is selected in it, and what can be taken away.
import { codeButton } from "../core/code.js";
import { debounced, h } from "../core/dom.js";
import { write as fasta } from "../core/fasta.js";
import { csv, download, svgText } from "../core/save.js";
import { scatter } from "../views/scatter.js";
import { sortable } from "../views/sortable.js";
import { legend, swatch } from "./legend.js";
import { pictureOf, pngOf } from "./picture.js";

/**
 * Fills `place` with a chart. `file` begins the names of what is saved; `code()` gives snippets and `request()` what was
 * asked; `clusters` is an element with the controls for clusters; `remember()` is told of every choice.
 * Gives {refresh()}, for when columns have come.
 */
export function show(place, chart, { file, code, request, clusters, remember }) {
  const plot = scatter({
    label: `Map of ${chart.size} proteins: ${chart.axis(0)} to the right, ${chart.axis(1)} upwards. The table below says the same in numbers.`,
    describedBy: "map-keys",
    about: (point) => tipOf(chart, point),
    onchoose: choose,
    onlasso: (points, options) => select(points, options),
  });
  const colours = h("select", { id: "colour", onchange: () => colour(colours.value) });
  const kinds = h("div", { class: "segmented", role: "group", "aria-label": "Read the column as" }, ["categories", "numbers"].map((kind) => h("button", { type: "button", onclick: () => colour(colours.value, kind) }, kind)));
  const modes = h(
    "div",
    { class: "segmented", role: "group", "aria-label": "What dragging does" },
    ["move", "lasso"].map((mode) => h("button", { type: "button", "aria-pressed": String(mode === "move"), data: { mode }, onclick: () => drag(mode) }, { move: "Move", lasso: "Lasso" }[mode])),
  );
  const zooms = h("div", { class: "row zooms" }, zoomButton("+", "Zoom in", () => plot.zoom(1.4)), zoomButton("−", "Zoom out", () => plot.zoom(1 / 1.4)), h("button", { type: "button", onclick: () => plot.fit() }, "All"));
  const find = h("input", { type: "search", "aria-label": "Find proteins by name or column", placeholder: "Find…", oninput: debounced(search) });
  const matches = h("button", { type: "button", disabled: true, onclick: () => select(chart.matches(find.value)) }, "Select");
  const key = h("aside", { class: "map-key", "aria-label": "Legend" });
  const near = h("section", { class: "stack map-near", "aria-label": "Nearest proteins" });
  const taken = h("section", { class: "stack", "aria-label": "Proteins", "aria-live": "polite" });

  place.replaceChildren(
    h("div", { class: "row spread map-bar" }, h("div", { class: "row" }, h("label", {}, "Colour", colours), kinds), h("div", { class: "row" }, modes, zooms), h("form", { class: "row", role: "search", onsubmit: (event) => (event.preventDefault(), matches.click()) }, find, matches)),
    h(
      "div",
      { class: "map-body" },
      h("figure", { class: "map-figure" }, h("span", { class: "axis-up small muted" }, chart.axis(1)), plot.element, h("figcaption", { class: "axis-right small muted" }, chart.axis(0))),
      h("div", { class: "stack map-side" }, key, near, clusters),
      h("div", { class: "stack" }, h("div", { class: "row" }, saves()), hint()),
    ),
    taken,
  );

  function hint() {
    return h("p", { class: "hint", id: "map-keys" }, caption(chart), " Wheel or two fingers zoom, dragging moves, Shift and dragging circles. With keys: arrows, + and −, 0 for all, Escape to select nothing.");
  }

  function saves() {
    return [
      h("button", { type: "button", onclick: () => download(`${file}_map.csv`, csv(chart.table(all())), "text/csv") }, "CSV"),
      h("button", { type: "button", onclick: async () => download(`${file}_map.png`, await pngOf(pictureOf(chart, plot.seen()))) }, "PNG"),
      h("button", { type: "button", onclick: () => download(`${file}_map.svg`, svgText(pictureOf(chart, plot.seen())), "image/svg+xml") }, "SVG"),
      h("button", { type: "button", title: "What was asked of the API, as JSON", onclick: () => download("map-request.json", JSON.stringify(request()), "application/json") }, "Request"),
      codeButton(code),
    ];
  }
  const all = () => chart.records.map((_, point) => point);

  function colour(column, kind = null) {
    chart.colour(column, kind);
    kinds.hidden = !chart.canBoth;
    for (const button of kinds.children) button.setAttribute("aria-pressed", String(button.textContent === chart.coding.kind));
    paint();
    showKey();
    showNear();
    showTaken();
    remember();
  }
  function paint() {
    plot.look({ fills: chart.coding.fills, shapes: chart.coding.shapes, shown: chart.shown });
  }
  function mark() {
    plot.mark({ selected: chart.selected, chosen: chart.chosen, near: chart.chosen === null ? [] : chart.near(chart.chosen).map(({ point }) => point) });
  }
  function showKey() {
    key.replaceChildren(
      h("h2", {}, chart.column),
      legend(chart, {
        onhide(group, isHidden) {
          chart.hidden[isHidden ? "add" : "delete"](group);
          paint();
        },
        ononly(group) {
          chart.hidden = new Set(chart.coding.groups.keys());
          chart.hidden.delete(group);
          paint();
          showKey();
        },
        onselect: (group) => select(chart.members(group)),
      }),
      chart.hidden.size ? h("button", { type: "button", class: "ghost", onclick: () => (chart.hidden.clear(), paint(), showKey()) }, "Show all again") : "",
    );
  }
  function select(points, options) {
    chart.select(points, options);
    mark();
    showTaken();
  }
  function choose(point) {
    chart.chosen = point;
    mark();
    showNear();
  }
  function drag(mode) {
    plot.mode(mode);
    for (const button of modes.children) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  }
  function search() {
    const count = chart.matches(find.value).length;
    matches.disabled = !count;
    matches.textContent = find.value.trim() ? `Select ${count}` : "Select";
  }
  const nameOf = (point) => h("button", { type: "button", class: "ghost name", onclick: () => choose(point) }, chart.records[point].id);
  const named = (point) => h("span", { class: "row tight" }, swatch({ fill: chart.coding.fills[point], shape: chart.coding.shapes[point] }), nameOf(point));
  const known = () => chart.columns.map((column) => ({ title: column, value: (row) => chart.cell(row.point, column), number: typeof chart.cell(0, column) === "number" }));

  function showNear() {
    const point = chart.chosen;
    if (point === null) {
      near.replaceChildren(h("h2", {}, "Nearest"), h("p", { class: "hint" }, "Choose a point, or a name in the table, to see what is most like it."));
      return;
    }
    const { id } = chart.records[point];
    const columns = [
      { title: "name", value: (row) => chart.records[row.point].id, show: (row) => named(row.point) },
      { title: "cosine", value: (row) => row.cosine, show: (row) => row.cosine.toFixed(4), number: true },
      { title: chart.column, value: (row) => chart.cell(row.point, chart.column) },
    ];
    near.replaceChildren(
      h("div", { class: "row spread" }, h("h2", {}, `Nearest to ${id}`), h("button", { type: "button", class: "ghost", onclick: () => choose(null) }, "Close")),
      sortable({ columns, rows: chart.near(point), caption: `Nearest to ${id}` }),
      h("p", { class: "hint" }, `By the cosine of embeddings, all ${chart.about.model.width} numbers; on the map they may lie elsewhere.`),
    );
  }
  function showTaken() {
    const points = chart.taken;
    const some = chart.selected.size > 0;
    const columns = [
      { title: "name", value: (row) => chart.records[row.point].id, show: (row) => named(row.point) },
      ...known(),
      { title: "nearest", value: (row) => row.near && chart.records[row.near.point].id, show: (row) => row.near && nameOf(row.near.point) },
      { title: "cosine", value: (row) => row.near?.cosine, show: (row) => row.near?.cosine.toFixed(4), number: true, note: "to the nearest" },
      ...chart.layout.axes.slice(0, 2).map((title, at) => ({ title, value: (row) => [chart.xs, chart.ys][at][row.point], show: (row) => [chart.xs, chart.ys][at][row.point].toFixed(3), number: true })),
    ];
    const rows = points.map((point) => ({ point, near: chart.near(point)[0] }));
    const title = some ? `${points.length.toLocaleString("en")} selected of ${chart.size.toLocaleString("en")}` : `All ${chart.size.toLocaleString("en")} proteins`;
    const name = some ? `${file}_selected` : file;
    const buttons = [
      some ? h("button", { type: "button", class: "ghost", onclick: () => select([]) }, "Select nothing") : null,
      h("button", { type: "button", onclick: () => download(`${name}.fasta`, fasta(points.map((point) => chart.records[point]))) }, some ? "Selected as FASTA" : "FASTA"),
      some ? h("button", { type: "button", onclick: () => download(`${name}.csv`, csv(chart.table(points)), "text/csv") }, "Selected as CSV") : null,
    ];
    taken.replaceChildren(h("div", { class: "row spread" }, h("h2", {}, title), h("div", { class: "row" }, buttons)), sortable({ columns, rows, caption: title }));
  }
  function refresh() {
    colours.replaceChildren(...chart.columns.map((column) => h("option", { value: column }, column)));
    colours.value = chart.column;
    colour(chart.column, chart.coding?.kind);
  }
  plot.place({ xs: chart.xs, ys: chart.ys, hasScale: chart.about.method === "pca" });
  refresh();
  mark();
  return { refresh };
}

const zoomButton = (text, label, onclick) => h("button", { type: "button", "aria-label": label, onclick }, text);

function tipOf(chart, point) {
  const lines = chart.columns.map((column) => `${column}: ${chart.cell(point, column) || "–"}`);
  const { id, values } = chart.records[point];
  return [id, ...(values.description ? [values.description] : []), ...lines.slice(0, 8)].join("\n");
}

function caption({ about }) {
  const small = about.model.slug === "esm2-mini" ? " esm2-mini is small: composition and length are much of what it sees." : "";
  if (about.method === "umap") return `Mean embeddings of ${about.model.title}, UMAP: islands are groups; distances between islands and their sizes mean nothing.${small}`;
  return `Mean embeddings of ${about.model.title}, scaled to length 1, and their first two principal components. What is apart here is apart; what is together may differ in other directions.${small}`;
}
