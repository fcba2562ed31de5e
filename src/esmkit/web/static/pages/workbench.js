// The workbench: proteins on the left, what the model says about one of them on the right, a tab for each kind of answer.
import { copyText } from "../core/code.js";
import { frame, h, notify, one } from "../core/dom.js";
import { entry } from "../core/entry.js";
import { length } from "../core/fasta.js";
import { link, read as readState, write as writeState } from "../core/state.js";
import { tabs } from "../core/tabs.js";
import { PROTEINS } from "../examples/proteins.js";
import { view as attention } from "../workbench/attention.js";
import { view as contacts } from "../workbench/contacts.js";
import { view as embedding } from "../workbench/embedding.js";
import { view as likelihood } from "../workbench/likelihood.js";
import { view as masked } from "../workbench/masked.js";
import { view as mutations } from "../workbench/mutations.js";
import { Work } from "../workbench/work.js";

const VIEWS = [mutations, masked, contacts, attention, embedding, likelihood];

const model = one("#model");
const chosenRecord = one("#record");
const runButton = one("#run");
let options = {};
let work = null;
let shown = null;

const editor = entry(describe, {
  examples: PROTEINS,
  limits: { maxResidues: frame.max_residues, maxRecords: frame.max_items },
});
one("#entry").append(editor.element);
model.addEventListener("change", () => describe(editor.read()));
runButton.addEventListener("click", () => run());
chosenRecord.addEventListener("change", () => open(Number(chosenRecord.value)));
one("#share").addEventListener("click", async () => copyText(await link(state())));

/** Says how much there is to do, before it is done. */
function describe({ records, problems }) {
  runButton.disabled = !records.length || problems.length > 0;
  const sizes = records.map((record) => length(record.sequence));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const speed = chosenModel().tokens_per_s;
  const scanned = sizes.length ? sizes[0] * (sizes[0] + 2) : 0;
  const estimate = speed && scanned ? ` A scan of all mutations takes about ${duration(scanned / speed)}.` : "";
  const count = `${records.length} ${records.length === 1 ? "protein" : "proteins"}, ${total.toLocaleString("en")} residues.`;
  one("#estimate").textContent = records.length ? count + estimate : "";
}

function duration(seconds) {
  if (seconds < 1) return "a second";
  if (seconds < 90) return `${Math.ceil(seconds)} seconds`;
  return `${Math.ceil(seconds / 60)} minutes`;
}

const chosenModel = () => frame.models.find(({ slug }) => slug === model.value);

const state = () => ({
  text: editor.text(), model: model.value, record: Number(chosenRecord.value) || 0, view: shown, options,
});

/** Begins with what the editor holds; a link brings the protein and the options that it was made with. */
function run({ record = 0, options: saved = {} } = {}) {
  const { records, problems } = editor.read();
  if (!records.length || problems.length) return;
  chosenRecord.replaceChildren(...records.map((each, at) => h("option", { value: at }, each.id)));
  options = saved && typeof saved === "object" ? saved : {};
  open(Math.max(0, Math.min(record, records.length - 1)));
}

/** Shows one of the proteins; each view begins when its tab is first looked at. */
function open(index) {
  work?.stop();
  const { records } = editor.read();
  const record = records[index];
  chosenRecord.value = index;
  work = new Work(chosenModel(), record, records, options, remember);
  one("#which").hidden = false;
  one("#nothing").hidden = true;
  const { slug, title } = chosenModel();
  const caution = slug === "esm2-mini" ? ", a small model: to try things out, not to conclude from" : "";
  one("#facts").textContent = `${length(record.sequence)} residues, ${title}${caution}`;
  const begun = new Set();
  const current = work;
  const bar = tabs("Views", VIEWS, (id) => {
    shown = id;
    if (!begun.has(id)) begin(VIEWS.find((each) => each.id === id));
    remember();
  });
  async function begin(view) {
    begun.add(view.id);
    bar.mark(view.id, "busy");
    const panel = bar.panels[view.id];
    try {
      await view.show(panel, current);
      bar.mark(view.id, "ready");
    } catch (error) {
      if (error.name === "AbortError") return;
      bar.mark(view.id, "failed");
      panel.replaceChildren(h("p", { class: "error", role: "alert" }, error.message));
    }
  }
  work.view = (id) => {
    bar.choose(id);
    one("#tabs").scrollIntoView({ block: "nearest" });
    bar.list.querySelector(`#tab-${id}`).focus({ preventScroll: true });
  };
  one("#tabs").replaceChildren(bar.list, ...VIEWS.map(({ id }) => bar.panels[id]));
  bar.choose(VIEWS.some(({ id }) => id === shown) ? shown : VIEWS[0].id);
}

function remember() {
  writeState(state());
}

const saved = await readState();
if (saved) {
  editor.set(saved.text ?? "");
  if (frame.models.some(({ slug }) => slug === saved.model)) model.value = saved.model;
  shown = saved.view;
  if (!editor.read().problems.length && editor.read().records.length) {
    run(saved);
  } else {
    notify("The link holds proteins that cannot be read here.", "bad");
  }
} else {
  editor.set(PROTEINS[0].text);
}
