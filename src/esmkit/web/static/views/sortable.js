// A table whose columns sort it; long ones show their beginning.
import { h } from "../core/dom.js";

/**
 * A table of `rows`. Columns are {title, value(row), show(row), number: whether right-aligned, note}: `value` sorts,
 * `show` gives text or an element (by default the value). `sorted` is {column, down} to begin with, else rows stay as
 * given.
 */
export function sortable({ columns, rows, caption, most = 200, sorted = null, rowClass = () => null }) {
  let by = sorted;
  const body = h("tbody");
  const rest = h("p", { class: "hint" });
  const heads = columns.map((column, at) =>
    h(
      "th",
      { scope: "col", class: column.number ? "number" : null, title: column.note },
      h(
        "button",
        { type: "button", class: "ghost sort", onclick: () => sort(at) },
        column.title,
        h("span", { class: "arrow", "aria-hidden": "true" }),
      ),
    ),
  );
  const table = h(
    "table",
    {},
    h("caption", { class: "visually-hidden" }, caption),
    h("thead", {}, h("tr", {}, heads)),
    body,
  );

  function sort(at) {
    by = by?.column === at ? { column: at, down: !by.down } : { column: at, down: Boolean(columns[at].number) };
    draw();
  }
  function draw() {
    const ordered = by ? [...rows].sort(order(columns[by.column].value, by.down)) : rows;
    heads.forEach((head, at) => {
      const isBy = by?.column === at;
      if (isBy) head.setAttribute("aria-sort", by.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      head.querySelector(".arrow").textContent = isBy ? (by.down ? "↓" : "↑") : "";
    });
    body.replaceChildren(
      ...ordered.slice(0, most).map((row) =>
        h(
          "tr",
          { class: rowClass(row) },
          columns.map((column) => cell(column, row)),
        ),
      ),
    );
    rest.textContent =
      rows.length > most ? `The first ${most} of ${rows.length.toLocaleString("en")}; the CSV has all.` : "";
    rest.hidden = !rest.textContent;
  }
  draw();
  return h(
    "div",
    { class: "stack" },
    h("div", { class: "scroll table-box", tabindex: 0, role: "region", "aria-label": caption }, table),
    rest,
  );
}

function cell(column, row) {
  const shown = (column.show ?? column.value)(row);
  return h("td", { class: column.number ? "number" : null }, shown ?? "");
}

function order(value, down) {
  const sign = down ? -1 : 1;
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    const [noX, noY] = [x === null || x === undefined || x === "", y === null || y === undefined || y === ""];
    if (noX || noY) return noX - noY; // what says nothing comes last either way
    if (typeof x === "number" && typeof y === "number") return sign * (x - y);
    return sign * String(x).localeCompare(String(y), "en", { numeric: true });
  };
}
