// Usage in a period: totals, a chart by day, a table, and all of it as CSV.
import { codeButton } from "../core/code.js";
import { GROUPS } from "../core/colour.js";
import { h } from "../core/dom.js";
import { csv, download } from "../core/save.js";
import { timeChart } from "../views/timechart.js";

const PERIODS = [7, 30, 90, 365];
const MEASURES = { residues: "Residues", requests: "Requests", seconds: "Seconds computed" };
const LINES = { model: "Model", action: "Action", key: "Key" };
const COLUMNS = ["day", "key_id", "key", "model", "action", "requests", "residues", "seconds"];
const MOST_COLOURS = GROUPS.length;

/**
 * Fills `box`. `load(days)` gives rows {key_id, model, action, day, requests, residues, seconds}; with `names`, a Map
 * from key ids to names, the rows are those of everybody and can be filtered by key. `file` is what the CSV is called,
 * `code(days)` gives the same as code.
 */
export function usagePanel(box, { title, file, load, code, names = null }) {
  const period = select(
    "Period",
    PERIODS.map((days) => [days, `${days} days`]),
    30,
    refresh,
  );
  const measure = select("Measure", Object.entries(MEASURES), "residues", show);
  const by = select(
    "Colour by",
    Object.entries(LINES).filter(([name]) => names || name !== "key"),
    names ? "key" : "action",
    show,
  );
  const only = names ? select("Key", [["", "all keys"]], "", show) : null;
  const totals = h("dl", { class: "totals" });
  const chartBox = h("div", { class: "chart" });
  const tables = h("div", { class: "stack" });
  const save = h(
    "button",
    { type: "button", onclick: () => download(`${file}.csv`, csv(asTable(chosen(), names)), "text/csv") },
    "CSV",
  );
  box.replaceChildren(
    h(
      "div",
      { class: "row spread" },
      h("h2", {}, title),
      h(
        "div",
        { class: "row" },
        [only, period, measure, by].filter(Boolean).map((each) => each.field),
        save,
        codeButton(() => code(Number(period.value()))),
      ),
    ),
    totals,
    chartBox,
    tables,
  );
  let rows = [];
  let chart = null;

  async function refresh() {
    try {
      rows = await load(Number(period.value()));
      if (only) only.fill([["", "all keys"], ...keysIn(rows, names)]);
      show();
    } catch (error) {
      chart?.remove();
      chart = null;
      chartBox.replaceChildren(h("p", { class: "error", role: "alert" }, error.message));
    }
  }
  const chosen = () => (only?.value() ? rows.filter((row) => (row.key_id ?? "-") === only.value()) : rows);
  const nameOf = (row) => (by.value() === "key" ? keyName(row, names) : row[by.value()]);

  function show() {
    const found = chosen();
    save.disabled = !found.length;
    totals.replaceChildren(
      ...Object.entries(MEASURES).map(([name, label]) =>
        h("div", {}, h("dd", {}, written(sum(found, name))), h("dt", {}, label)),
      ),
    );
    chart?.remove();
    chart = null;
    if (!found.length) {
      chartBox.replaceChildren(h("p", { class: "empty" }, "Nothing was used in this time."));
      tables.replaceChildren();
      return;
    }
    const days = daysOf(Number(period.value()));
    const groups = grouped(found, nameOf, measure.value());
    chart = timeChart(chartBox, {
      days,
      stacked: true,
      height: 220,
      format: written,
      series: seriesOf(groups, days, measure.value()),
      label: `${MEASURES[measure.value()]} by day; the tables below have the numbers`,
    });
    tables.replaceChildren(groupTable(groups, LINES[by.value()]), dayTable(found));
  }
  refresh();
}

function select(label, entries, initial, onchange) {
  const box = h("select", { onchange });
  const fill = (choices) => {
    const before = box.value || String(initial);
    box.replaceChildren(...choices.map(([value, text]) => h("option", { value }, text)));
    if (choices.some(([value]) => String(value) === before)) box.value = before;
  };
  fill(entries);
  return { field: h("label", { class: "small muted" }, label, box), value: () => box.value, fill };
}

/** The names that rows have by some measure, the largest first: [{name, rows, total}]. */
function grouped(rows, nameOf, measure) {
  const groups = Map.groupBy(rows, nameOf);
  return [...groups]
    .map(([name, own]) => ({ name, rows: own, total: sum(own, measure) }))
    .sort((a, b) => b.total - a.total);
}

/** A series per group; those that have no colour left are one. */
function seriesOf(groups, days, measure) {
  const place = new Map(days.map((day, at) => [day, at]));
  const shown = groups.length > MOST_COLOURS ? groups.slice(0, MOST_COLOURS - 1) : groups;
  const rest = groups.slice(shown.length).flatMap((group) => group.rows);
  return [...shown, ...(rest.length ? [{ name: "all others", rows: rest }] : [])].map((group, at) => {
    const values = days.map(() => null);
    for (const row of group.rows)
      if (place.has(row.day)) values[place.get(row.day)] = (values[place.get(row.day)] ?? 0) + row[measure];
    return { label: group.name, values, colour: GROUPS[at] };
  });
}

function groupTable(groups, title) {
  return scrolled(
    `Usage by ${title.toLowerCase()}`,
    [title, ...Object.values(MEASURES)],
    groups.map(({ name, rows }) => [name, ...numbers(rows)]),
  );
}

function dayTable(rows) {
  const days = [...Map.groupBy(rows, (row) => row.day)].sort(([a], [b]) => (a < b ? 1 : -1));
  const table = scrolled(
    "Usage by day",
    ["Day (UTC)", ...Object.values(MEASURES)],
    days.map(([day, own]) => [day, ...numbers(own)]),
  );
  return h("details", {}, h("summary", {}, "Days as a table"), table);
}

const numbers = (rows) => Object.keys(MEASURES).map((name) => written(sum(rows, name)));

function scrolled(label, titles, rows) {
  const cell = (tag) => (text, at) =>
    h(tag, { class: at ? "number" : false, scope: tag === "th" ? "col" : false }, text);
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, titles.map(cell("th")))),
      h(
        "tbody",
        {},
        rows.map((row) => h("tr", {}, row.map(cell("td")))),
      ),
    ),
  );
}

function asTable(rows, names) {
  return [COLUMNS, ...rows.map((row) => COLUMNS.map((name) => (name === "key" ? keyName(row, names) : row[name])))];
}

function keysIn(rows, names) {
  const found = new Map(rows.map((row) => [row.key_id ?? "-", keyName(row, names)]));
  return [...found].sort(([, a], [, b]) => a.localeCompare(b));
}

const keyName = (row, names) => (row.key_id === null ? "without a key" : (names?.get(row.key_id) ?? row.key_id));
const sum = (rows, name) => rows.reduce((total, row) => total + row[name], 0);
const written = (value) =>
  value >= 1e6
    ? `${(value / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} M`
    : value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 1 : 0 });

function daysOf(count) {
  const now = Date.now();
  return Array.from({ length: count }, (_, back) =>
    new Date(now - (count - 1 - back) * 86_400_000).toISOString().slice(0, 10),
  );
}
