// Where sequences are put in: pasted, dropped as a file, or taken from the examples; wrong characters are marked in place.
import { debounced, h } from "./dom.js";
import { parse } from "./fasta.js";

const MOST_BYTES = 4_000_000;
const MOST_SHOWN = 20;

/**
 * The editor: `onchange({records, problems, notes})` is told what was read. `limits` are those of `parse`.
 * Gives {element, text(), set(text), read()}.
 */
export function entry(onchange, { limits = {}, examples = [], label = "Proteins, as FASTA or as one sequence", title = "Proteins" } = {}) {
  const mirror = h("div", { class: "mirror", "aria-hidden": "true" });
  const area = h("textarea", {
    "aria-label": label, spellcheck: "false", autocapitalize: "off", autocomplete: "off", wrap: "soft",
    placeholder: ">name\nMKTAYIAKQR…  or drop a FASTA file here",
    "aria-describedby": "entry-problems",
  });
  const box = h("div", { class: "entry" }, mirror, area);
  const problems = h("ul", { class: "problems", id: "entry-problems", "aria-live": "polite" });
  const notes = h("p", { class: "hint" });
  const file = h("input", { type: "file", class: "visually-hidden", accept: ".fasta,.fa,.faa,.txt", "aria-label": "Open a FASTA file", tabindex: -1 });
  const open = h("button", { type: "button", class: "ghost", onclick: () => file.click() }, "Open file…");
  const choose = h(
    "select",
    { "aria-label": "Examples" },
    h("option", { value: "" }, "Examples…"),
    examples.map(({ title }, at) => h("option", { value: at }, title)),
  );
  const element = h(
    "div",
    { class: "stack" },
    h("div", { class: "row spread" }, h("h2", {}, title), h("div", { class: "row entry-tools" }, examples.length ? choose : null, open, file)),
    box, problems, notes,
  );

  let found = parse("");
  let parsed = "";
  function read() {
    parsed = area.value;
    found = parse(parsed, limits);
    mark();
    onchange(found);
    return found;
  }
  function mark() {
    const parts = [];
    let at = 0;
    for (const { start, end } of [...found.problems].sort((a, b) => a.start - b.start)) {
      if (start < at) continue;
      parts.push(area.value.slice(at, start), h("mark", {}, area.value.slice(start, end)));
      at = end;
    }
    mirror.replaceChildren(...parts, `${area.value.slice(at)}\n`);
    const shown = found.problems.slice(0, MOST_SHOWN).map((each) =>
      h("li", {}, h("button", { type: "button", class: "ghost", onclick: () => select(each) }, each.text)),
    );
    const rest = found.problems.length - shown.length;
    if (rest > 0) shown.push(h("li", { class: "error" }, `and ${rest} more`));
    problems.replaceChildren(...shown);
    notes.textContent = found.notes.join(" ");
    area.setAttribute("aria-invalid", String(found.problems.length > 0));
  }
  function select({ start, end }) {
    area.focus();
    area.setSelectionRange(start, end);
  }
  function set(text) {
    area.value = text;
    return read();
  }
  async function take(chosen) {
    if (!chosen) return;
    if (chosen.size > MOST_BYTES) {
      problems.replaceChildren(h("li", { class: "error" }, `${chosen.name} has ${chosen.size} bytes, at most ${MOST_BYTES} are read here; use the command line for large files`));
      return;
    }
    set(await chosen.text());
  }
  area.addEventListener("input", debounced(read, 80));
  area.addEventListener("scroll", () => (mirror.scrollTop = area.scrollTop));
  file.addEventListener("change", () => take(file.files[0]));
  choose.addEventListener("change", () => {
    if (choose.value !== "") set(examples[Number(choose.value)].text);
    choose.value = "";
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
  const current = () => (area.value === parsed ? found : read()); // also what was typed a moment ago
  return { element, text: () => area.value, set, read: current };
}
