// A map that was made: the picture with its legend, what is selected in it, and what can be taken away.
import { button } from "../core/button.js";
import { codeButton } from "../core/code.js";
import { h } from "../core/dom.js";
import { csv, download, svgText } from "../core/save.js";
import { scatter } from "../views/scatter.js";
import { bar } from "./bar.js";
import { legend } from "./legend.js";
import { pictureOf, pngOf } from "./picture.js";
import { nearTable, takenTable } from "./tables.js";

const MOST_TOLD = 8;

/**
 * Fills `place` with a chart. `file` begins the names of what is saved; `code()` gives snippets and `request()` what
 * was asked; `clusters` is an element with the controls for clusters; `remember()` is told of every choice.
 * Gives {refresh()}, for when columns have come.
 */
export function show(place, chart, { file, code, request, clusters, remember }) {
  const does = { choose, select };
  const plot = scatter({
    label: `Map of ${chart.size} proteins: ${chart.axis(0)} to the right, ${chart.axis(1)} up; numbers in the table`,
    describedBy: "map-keys",
    about: (point) => tipOf(chart, point),
    onchoose: choose,
    onlasso: select,
  });
  const controls = bar(chart, {
    oncolour: colour,
    onmode: plot.mode,
    onzoom: plot.zoom,
    onfit: plot.fit,
    onselect: select,
  });
  const key = h("aside", { class: "map-key", "aria-label": "Legend" });
  const near = h("section", { class: "stack map-near", "aria-label": "Nearest proteins" });
  const taken = h("section", { class: "stack", "aria-label": "Table", "aria-live": "polite" });
  const notes = [
    h("div", { class: "row" }, saves(chart, plot, file, request), codeButton(code)),
    h("p", { class: "hint", id: "map-keys" }, caption(chart)),
  ];
  place.replaceChildren(
    controls.element,
    h(
      "div",
      { class: "map-body" },
      figure(chart, plot.element),
      h("div", { class: "stack map-side" }, key, near, clusters),
      h("div", { class: "stack" }, notes),
    ),
    taken,
  );

  function colour(column, kind) {
    chart.colour(column, kind);
    refresh();
  }
  function refresh() {
    controls.refresh();
    paint();
    showKey();
    near.replaceChildren(...nearTable(chart, does));
    taken.replaceChildren(...takenTable(chart, file, does));
    remember();
  }
  function paint() {
    plot.look({ fills: chart.coding.fills, shapes: chart.coding.shapes, shown: chart.shown });
  }
  function showKey() {
    const again = button("Show all again", () => hide([]), { class: "ghost" });
    const drawn = legend(chart, {
      onhide: (group, isHidden) => hide([...chart.hidden, group].filter((each) => isHidden || each !== group)),
      ononly: (group) => hide([...chart.coding.groups.keys()].filter((each) => each !== group)),
      onselect: (group) => select(chart.members(group)),
    });
    again.hidden = !chart.hidden.size;
    key.replaceChildren(h("h2", {}, chart.column), drawn, again);
  }
  function hide(groups) {
    chart.hidden = new Set(groups);
    paint();
    for (const tick of key.querySelectorAll("[data-group]"))
      tick.checked = !chart.hidden.has(Number(tick.dataset.group));
    key.lastElementChild.hidden = !chart.hidden.size;
  }
  function mark() {
    const others = chart.chosen === null ? [] : chart.near(chart.chosen).map(({ point }) => point);
    plot.mark({ selected: chart.selected, chosen: chart.chosen, near: others });
  }
  function select(points, options) {
    chart.select(points, options);
    mark();
    taken.replaceChildren(...takenTable(chart, file, does));
  }
  function choose(point) {
    chart.chosen = point;
    mark();
    near.replaceChildren(...nearTable(chart, does));
  }
  plot.place({ xs: chart.xs, ys: chart.ys, hasScale: chart.about.method === "pca" });
  refresh();
  return { refresh };
}

function figure(chart, picture) {
  return h(
    "figure",
    { class: "map-figure" },
    h("span", { class: "axis-up small muted" }, chart.axis(1)),
    picture,
    h("figcaption", { class: "axis-right small muted" }, chart.axis(0)),
  );
}

function saves(chart, plot, file, request) {
  const all = chart.records.map((_, point) => point);
  const picture = () => pictureOf(chart, plot.seen());
  const asked = () => download("map-request.json", JSON.stringify(request()), "application/json");
  return [
    button("CSV", () => download(`${file}_map.csv`, csv(chart.table(all)), "text/csv")),
    button("PNG", async () => download(`${file}_map.png`, await pngOf(picture()))),
    button("SVG", () => download(`${file}_map.svg`, svgText(picture()), "image/svg+xml")),
    button("Request", asked, { title: "What was asked of the API, as JSON" }),
  ];
}

function tipOf(chart, point) {
  const { id, values } = chart.records[point];
  const lines = chart.columns.slice(0, MOST_TOLD).map((column) => `${column}: ${chart.cell(point, column) || "–"}`);
  return [id, ...(values.description ? [values.description] : []), ...lines].join("\n");
}

function caption({ about }) {
  const { title, slug } = about.model;
  const parts =
    about.method === "umap"
      ? [
          `Mean embeddings of ${title}, UMAP: islands are groups;`,
          "distances between islands and their sizes mean nothing.",
        ]
      : [
          `Mean embeddings of ${title}, scaled to length 1, and their first two principal components.`,
          "What is apart here is apart; what is together may differ in other directions.",
        ];
  if (slug === "esm2-mini") parts.push("esm2-mini is small: composition and length are much of what it sees.");
  parts.push(
    "Wheel or two fingers zoom, dragging moves, Shift and dragging circles.",
    "With keys: arrows, + and −, 0 for all, Escape to select nothing.",
  );
  return parts.join(" ");
}
