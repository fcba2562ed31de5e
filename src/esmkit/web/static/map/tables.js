// A chart in words and numbers: what is selected, and what is nearest to one protein.
import { button } from "../core/button.js";
import { h } from "../core/dom.js";
import { write as fasta } from "../core/fasta.js";
import { csv, download } from "../core/save.js";
import { sortable } from "../views/sortable.js";
import { swatch } from "./legend.js";

/** What is selected, or everything; `does` has choose(point) and select(points), `file` begins the names of files. */
export function takenTable(chart, file, does) {
  const points = chart.taken;
  const some = chart.selected.size > 0;
  const all = chart.size.toLocaleString("en");
  const title = some ? `${points.length.toLocaleString("en")} selected of ${all}` : `All ${all} proteins`;
  const name = some ? `${file}_selected` : file;
  const writeFasta = () => download(`${name}.fasta`, fasta(points.map((point) => chart.records[point])));
  const buttons = [
    some && button("Select nothing", () => does.select([]), { class: "ghost" }),
    button(some ? "Selected as FASTA" : "FASTA", writeFasta),
    some && button("Selected as CSV", () => download(`${name}.csv`, csv(chart.table(points)), "text/csv")),
  ];
  const rows = points.map((point) => ({ point, near: chart.near(point)[0] }));
  return [
    h("div", { class: "row spread" }, h("h2", {}, title), h("div", { class: "row" }, buttons)),
    sortable({ columns: takenColumns(chart, does), rows, caption: title }),
  ];
}

function takenColumns(chart, does) {
  const known = chart.columns.map((column) => ({
    title: column,
    value: (row) => chart.cell(row.point, column),
    number: typeof chart.cell(0, column) === "number",
  }));
  const near = [
    {
      title: "nearest",
      value: (row) => row.near && chart.records[row.near.point].id,
      show: (row) => row.near && link(chart, row.near.point, does),
    },
    {
      title: "cosine",
      value: (row) => row.near?.cosine,
      show: (row) => row.near?.cosine.toFixed(4),
      number: true,
      note: "to the nearest",
    },
  ];
  const places = [chart.xs, chart.ys].slice(0, chart.layout.axes.length).map((values, at) => ({
    title: chart.layout.axes[at],
    value: (row) => values[row.point],
    show: (row) => values[row.point].toFixed(3),
    number: true,
  }));
  return [nameColumn(chart, does), ...known, ...near, ...places];
}

/** What is nearest to the chosen protein. */
export function nearTable(chart, does) {
  if (chart.chosen === null) {
    const text = "Choose a point, or a name in the table, to see what is most like it.";
    return [h("h2", {}, "Nearest"), h("p", { class: "hint" }, text)];
  }
  const title = `Nearest to ${chart.records[chart.chosen].id}`;
  const columns = [
    nameColumn(chart, does),
    { title: "cosine", value: (row) => row.cosine, show: (row) => row.cosine.toFixed(4), number: true },
    { title: chart.column, value: (row) => chart.cell(row.point, chart.column) },
  ];
  const close = button("Close", () => does.choose(null), { class: "ghost" });
  const { width } = chart.about.model;
  const text = `By the cosine of embeddings, all ${width} numbers; on the map they may lie elsewhere.`;
  return [
    h("div", { class: "row spread" }, h("h2", {}, title), close),
    sortable({ columns, rows: chart.near(chart.chosen), caption: title }),
    h("p", { class: "hint" }, text),
  ];
}

function nameColumn(chart, does) {
  const mark = (point) => swatch({ fill: chart.coding.fills[point], shape: chart.coding.shapes[point] });
  return {
    title: "name",
    value: ({ point }) => chart.records[point].id,
    show: ({ point }) => h("span", { class: "row tight" }, mark(point), link(chart, point, does)),
  };
}

const link = (chart, point, does) => button(chart.records[point].id, () => does.choose(point), { class: "ghost name" });
