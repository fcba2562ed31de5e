// A ranked list of variants: chart, table and plate of the same rows.
import { h } from "../core/dom.js";
import { csv, download, svgText } from "../core/save.js";
import { ranked } from "../views/ranked.js";
import { markedSequence, short } from "./notation.js";
import { plates } from "./plate.js";

/**
 * The list. `rows` are [{mutant, sequence, value, sd, note, cells: [...]}], `columns` [{title, number, wide}] say what
 * the cells are; `table()` gives the rows of the CSV file.
 */
export function variants({ name, title, parent, rows, columns, valueLabel, reference, table, code, notes }) {
  const chart = ranked(rows, { title, yLabel: valueLabel, reference, onchoose: choose });
  const list = listed(rows, columns, parent, valueLabel, choose);
  const plate = plates(rows, { name, parent, valueLabel, onchoose: choose });
  const views = { Table: list.element, Plate: plate };
  const switches = h(
    "div",
    { class: "segmented", role: "group", "aria-label": "Shown as" },
    Object.keys(views).map((each) => h("button", { type: "button", onclick: () => show(each) }, each)),
  );
  function show(chosen) {
    for (const [each, element] of Object.entries(views)) element.hidden = each !== chosen;
    for (const button of switches.children) button.setAttribute("aria-pressed", String(button.textContent === chosen));
  }
  function choose(index) {
    chart.mark(index);
    list.mark(index);
  }
  show("Table");
  const saveSvg = () => download(`${name}.svg`, svgText(chart.querySelector("svg")), "image/svg+xml");
  return h(
    "div",
    { class: "stack" },
    h(
      "div",
      { class: "row spread" },
      h("h2", {}, title),
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", onclick: () => download(`${name}.csv`, csv(table()), "text/csv") }, "CSV"),
        h("button", { type: "button", onclick: saveSvg }, "SVG"),
        code,
      ),
    ),
    notes,
    chart,
    h("div", { class: "row" }, switches),
    list.element,
    plate,
  );
}

function listed(rows, columns, parent, valueLabel, onchoose) {
  const heads = [
    { title: "Rank", number: true },
    { title: "Variant" },
    { title: valueLabel, number: true },
    ...columns,
    { title: "Sequence" },
  ];
  const cell = (value, at) => h("td", { class: columns[at].number ? "number" : columns[at].wide ? "wide" : "" }, value);
  const lines = rows.map((row, at) =>
    h(
      "tr",
      { onclick: () => onchoose(at) },
      h("td", { class: "number" }, at + 1),
      h("th", { scope: "row" }, breakable(row.mutant)),
      h("td", { class: "number" }, short(row.value)),
      row.cells.map(cell),
      h("td", {}, markedSequence(parent, row.sequence)),
    ),
  );
  const table = h(
    "table",
    { class: "variants" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        heads.map(({ title, number }) => h("th", { scope: "col", class: number ? "number" : "" }, title)),
      ),
    ),
    h("tbody", {}, lines),
  );
  const element = h(
    "div",
    { class: "scroll long", tabindex: 0, role: "region", "aria-label": "Variants as a table" },
    table,
  );
  function mark(index) {
    lines.forEach((line, at) => line.classList.toggle("chosen", at === index));
    const line = lines[index];
    if (line && !element.hidden) element.scrollTop = line.offsetTop - element.clientHeight / 2;
  }
  return { element, mark };
}

/** A mutant that may break after a colon. */
const breakable = (mutant) =>
  mutant.split(":").flatMap((part, at, all) => (at < all.length - 1 ? [`${part}:`, h("wbr")] : [part]));
