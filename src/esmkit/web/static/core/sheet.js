// Where a table is put in: pasted, dropped as a file, or taken from the examples. Needs vendor/papaparse as a script.
import { debounced, h } from "./dom.js";

const MOST_BYTES = 4_000_000;
const NO_DELIMITER = "UndetectableDelimiter"; // a table of one column has none

/** What a text of comma, semicolon or tab separated values holds: {columns, rows: [[text, ...]], problems: [text]}. */
export function parseTable(text) {
  const { data, errors } = window.Papa.parse(text.trim(), { skipEmptyLines: "greedy" });
  const [columns = [], ...rows] = data.map((row) => row.map((cell) => cell.trim()));
  const problems = errors
    .filter(({ code }) => code !== NO_DELIMITER)
    .map((each) => `line ${each.row + 1}: ${each.message}`);
  const uneven = rows.findIndex((row) => row.length !== columns.length);
  if (uneven >= 0)
    problems.push(`row ${uneven + 1} has ${rows[uneven].length} cells, the first line ${columns.length}`);
  const twice = columns.find((name, at) => columns.indexOf(name) !== at);
  if (twice !== undefined) problems.push(`two columns are called “${twice}”`);
  return { columns, rows, problems };
}

/**
 * The editor: `onchange({columns, rows, problems})` is told what was read; `examples` are [{title, load}], `load`
 * gives the text. Gives {element, text(), set(text), read()}.
 */
export function sheet(onchange, { title, label, placeholder, examples = [] }) {
  const area = h("textarea", {
    "aria-label": label,
    placeholder,
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    wrap: "off",
  });
  const box = h("div", { class: "entry sheet" }, area);
  const error = h("p", { class: "error", role: "alert" });
  const file = h("input", {
    type: "file",
    class: "visually-hidden",
    accept: ".csv,.tsv,.txt",
    "aria-label": "Open a table",
    tabindex: -1,
  });
  const open = h("button", { type: "button", class: "ghost", onclick: () => file.click() }, "Open file…");
  const choose = h(
    "select",
    { "aria-label": "Examples" },
    h("option", { value: "" }, "Examples…"),
    examples.map((each, at) => h("option", { value: at }, each.title)),
  );
  const head = h("div", { class: "row spread" }, h("h2", {}, title), h("div", { class: "row" }, choose, open, file));
  const element = h("div", { class: "stack" }, head, box, error);

  let found = parseTable("");
  let seen = "";
  function read() {
    seen = area.value;
    found = parseTable(seen);
    error.textContent = found.problems.slice(0, 3).join("; ");
    area.setAttribute("aria-invalid", String(found.problems.length > 0));
    onchange(found);
    return found;
  }
  function set(text) {
    area.value = text;
    return read();
  }
  async function take(chosen) {
    if (!chosen) return;
    if (chosen.size > MOST_BYTES) {
      error.textContent = `${chosen.name} has ${chosen.size} bytes, at most ${MOST_BYTES} are read here`;
      return;
    }
    set(await chosen.text());
  }
  area.addEventListener("input", debounced(read, 150));
  file.addEventListener("change", () => take(file.files[0]));
  choose.addEventListener("change", async () => {
    const chosen = examples[Number(choose.value)];
    choose.value = "";
    try {
      set(await chosen.load());
    } catch (failure) {
      error.textContent = failure.message;
    }
  });
  box.addEventListener("dragover", (event) => {
    event.preventDefault();
    box.classList.add("over");
  });
  box.addEventListener("dragleave", () => box.classList.remove("over"));
  box.addEventListener("drop", (event) => {
    event.preventDefault();
    box.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  return { element, text: () => area.value, set, read: () => (area.value === seen ? found : read()) };
}

/** The text of a file beside a module: `beside(import.meta.url, "../examples/x.csv")`. */
export async function beside(module, name) {
  const response = await fetch(new URL(name, module));
  if (!response.ok) throw new Error(`the example cannot be loaded: status ${response.status}`);
  return response.text();
}

/** The column that one of the patterns fits, tried in their order; otherwise "". */
export function likeliest(columns, ...patterns) {
  for (const pattern of patterns) {
    const found = columns.find((name) => pattern.test(name));
    if (found !== undefined) return found;
  }
  return "";
}
