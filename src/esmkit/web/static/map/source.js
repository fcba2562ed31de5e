// Where the proteins of a map come from: pasted, or a file; which column is what, and what cannot be read.
import { debounced, h } from "../core/dom.js";
import { read } from "./read.js";

const MOST_SHOWN = 12;
const NONE = "(number the rows)";

/**
 * The panel. `onchange({records, columns, problems, ...})` is told what was read, see `read`.
 * Gives {element, set({name, text, example}), found(), given()}.
 */
export function source(onchange, { maxResidues, mostBytes, examples }) {
  let given = { name: "", text: "", example: null };
  let chosen = {};
  let leavesOut = false;
  let found = read("", { maxResidues });

  const area = h("textarea", {
    "aria-label": "Proteins as FASTA or as a table",
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    placeholder: ">name\nMKTAYIAKQR…\n\nor a table with a header:\nid,sequence,class\nP1,MKTAYIAKQR…,enzyme",
  });
  const box = h("div", { class: "entry" }, area);
  const file = h("input", {
    type: "file",
    class: "visually-hidden",
    accept: ".fasta,.fa,.faa,.csv,.tsv,.txt",
    "aria-label": "Open a file of proteins",
    tabindex: -1,
  });
  const open = h("button", { type: "button", class: "ghost", onclick: () => file.click() }, "Open file…");
  const choose = h(
    "select",
    { "aria-label": "Examples" },
    h("option", { value: "" }, "Examples…"),
    examples.map(({ title }, at) => h("option", { value: at }, title)),
  );
  const card = h("div", { class: "file-card", hidden: true });
  const columns = h("div", { class: "row choosers" });
  const problems = h("div", { class: "stack", "aria-live": "polite" });
  const element = h(
    "div",
    { class: "stack" },
    h("div", { class: "row spread" }, h("h2", {}, "Proteins"), h("div", { class: "row" }, choose, open, file)),
    box,
    card,
    columns,
    problems,
  );

  function look() {
    found = { ...read(given.text, { maxResidues, ...chosen }), leavesOut };
    showCard();
    showColumns();
    showProblems();
    onchange(found);
  }
  function showCard() {
    card.hidden = !given.name;
    box.hidden = Boolean(given.name);
    if (!given.name) return;
    const size =
      given.text.length > 2e6
        ? `${(given.text.length / 1e6).toFixed(1)} MB`
        : `${Math.ceil(given.text.length / 1000)} kB`;
    card.replaceChildren(
      h(
        "div",
        { class: "grow" },
        h("strong", {}, given.name),
        h("p", { class: "hint" }, `${found.kind}, ${size}, ${found.records.length.toLocaleString("en")} proteins`),
      ),
      h("button", { type: "button", class: "ghost", onclick: () => set({ name: "", text: "" }) }, "Remove"),
    );
  }
  function showColumns() {
    columns.replaceChildren();
    if (found.kind !== "table" || !given.text.trim() || !found.names?.length) return;
    const pick = (title, field, names, value) => {
      const select = h(
        "select",
        { onchange: () => ((chosen[field] = select.value === NONE ? "" : select.value), look()) },
        names.map((name) => h("option", { value: name }, name)),
      );
      select.value = value || NONE;
      return h("label", { class: "field" }, title, select);
    };
    if (found.sequenceColumn === null) return;
    columns.append(
      pick("Column of sequences", "sequenceColumn", found.names, found.sequenceColumn),
      pick(
        "Column of names",
        "idColumn",
        [...found.names.filter((name) => name !== found.sequenceColumn), NONE],
        found.idColumn,
      ),
    );
  }
  function showProblems() {
    problems.replaceChildren();
    if (!found.problems.length || !given.text.trim()) return;
    const shown = found.problems.slice(0, MOST_SHOWN).map(({ text }) => h("li", {}, text));
    if (found.problems.length > MOST_SHOWN)
      shown.push(h("li", {}, `and ${(found.problems.length - MOST_SHOWN).toLocaleString("en")} more`));
    const tick = h("input", {
      type: "checkbox",
      onchange: () => ((leavesOut = tick.checked), (found.leavesOut = leavesOut), onchange(found)),
    });
    tick.checked = leavesOut;
    const rows = found.problems.length === 1 ? "this one" : `these ${found.problems.length.toLocaleString("en")}`;
    problems.append(h("ul", { class: "problems error" }, shown));
    if (found.records.length)
      problems.append(h("label", { class: "small" }, tick, `Leave out ${rows}, use the others`));
  }
  function set(next) {
    given = { name: "", text: "", example: null, ...next };
    chosen = next.columns ?? {};
    leavesOut = next.leavesOut ?? false;
    area.value = given.name ? "" : given.text;
    look();
  }
  async function take(file) {
    if (!file) return;
    if (file.size > mostBytes) {
      const most = `${(mostBytes / 1e6).toFixed(0)} MB`;
      problems.replaceChildren(
        h(
          "p",
          { class: "error", role: "alert" },
          `${file.name} has ${(file.size / 1e6).toFixed(1)} MB, at most ${most} are read here; esmkit map takes more`,
        ),
      );
      return;
    }
    set({ name: file.name, text: await file.text() });
  }
  area.addEventListener(
    "input",
    debounced(() => {
      given = { name: "", text: area.value, example: null };
      chosen = {};
      look();
    }),
  );
  file.addEventListener("change", () => {
    take(file.files[0]);
    file.value = "";
  });
  choose.addEventListener("change", () => {
    if (choose.value !== "") examples[Number(choose.value)].open();
    choose.value = "";
  });
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    box.classList.add("over");
  });
  element.addEventListener("dragleave", () => box.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    box.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  return { element, set, found: () => found, given: () => ({ ...given, columns: chosen, leavesOut }) };
}
