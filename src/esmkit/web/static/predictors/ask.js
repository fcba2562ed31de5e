// Proteins in, what a predictor of this server says of them out.
import { call } from "../core/api.js";
import { codeButton, copyText, curl } from "../core/code.js";
import { frame, h } from "../core/dom.js";
import { entry } from "../core/entry.js";
import { choiceField } from "../core/fields.js";
import { job } from "../core/job.js";
import { link } from "../core/state.js";
import { PROTEINS } from "../examples/proteins.js";
import { card } from "./card.js";
import { answers } from "./answers.js";

const MOST_PROTEINS = 500;
const EXAMPLES = [...PROTEINS].reverse(); // several proteins first: there is something to compare

/** The panel: {element, state(), restore(saved)}; `onchange` is told when the state has changed. */
export function ask(predictors, onchange) {
  if (!predictors.length) return { element: nothingServed(), state: () => ({}), restore: () => {} };
  const choose = choiceField(
    "Predictor",
    predictors.map(({ name, label }) => [name, `${name} (${label})`]),
  );
  const about = h("section", { class: "panel", "aria-label": "About the predictor" });
  const estimate = h("p", { class: "hint", "aria-live": "polite" });
  const share = h("button", { type: "button", class: "ghost", onclick: copyLink }, "Copy link");
  const work = job(run, {
    action: "Predict",
    label: "Predictions",
    empty: () => [
      h("p", {}, "Paste proteins, then choose ", h("b", {}, "Predict"), "."),
      h("p", { class: "hint" }, "A prediction per protein, as a picture and as a table to export."),
    ],
  });
  const editor = entry(describe, {
    examples: EXAMPLES,
    limits: { maxResidues: frame.max_residues, maxRecords: MOST_PROTEINS },
  });

  const chosen = () => predictors.find(({ name }) => name === choose.value());
  choose.control.addEventListener("change", () => {
    describe(editor.read());
    showCard();
    work.clear();
  });

  function showCard() {
    about.replaceChildren(card(chosen()));
  }
  function describe({ records, problems }) {
    const served = chosen().served_by;
    work.enable(Boolean(records.length && !problems.length && served));
    const count = `${records.length} ${records.length === 1 ? "protein" : "proteins"}, at most ${MOST_PROTEINS} at once here.`;
    estimate.textContent = served ? count : `Its model ${chosen().base} is not served here, so it cannot be asked.`;
    onchange();
  }
  async function run(signal, progress) {
    const { records } = editor.read();
    const predictor = chosen();
    const told = (done) => progress(`${done} of ${records.length} proteins`, done, records.length);
    const found = await inParts(records, predictor, signal, told);
    const element = answers(predictor, records, found, code(predictor, records));
    return { element, said: `${found.length} predictions` };
  }
  async function copyLink() {
    copyText(await link({ view: "ask", ask: state() }));
  }
  const state = () => ({ predictor: choose.value(), text: editor.text() });
  function restore(saved) {
    if (predictors.some(({ name }) => name === saved?.predictor)) choose.control.value = saved.predictor;
    editor.set(saved?.text ?? EXAMPLES[0].text);
    showCard();
    work.clear();
  }
  const left = h(
    "section",
    { class: "panel stack", "aria-label": "What to ask" },
    choose.element,
    editor.element,
    estimate,
    h("div", { class: "row" }, work.buttons, share),
  );
  return {
    element: h("div", { class: "sidebar" }, left, h("div", { class: "stack" }, about, work.results)),
    state,
    restore,
  };
}

/** As many proteins at once as the server takes. */
async function inParts(records, predictor, signal, onprogress) {
  const found = [];
  while (found.length < records.length) {
    onprogress(found.length);
    const part = records.slice(found.length, found.length + frame.max_items);
    const items = part.map(({ sequence }) => ({ sequence }));
    found.push(...(await call(predictor.served_by, "property", items, { predictor: predictor.name }, { signal })));
  }
  return found;
}

function code(predictor, records) {
  const items = records.slice(0, frame.max_items).map(({ sequence }) => ({ sequence }));
  const list = JSON.stringify(records.map(({ sequence }) => sequence));
  return codeButton(() => ({
    curl: curl(predictor.served_by, "property", items, { predictor: predictor.name }),
    "Python (esmkit)":
      `# with the folder of the predictor, as ${"`esmkit fit`"} wrote it\nimport ` +
      `esmkit\n\npredictor = esmkit.load_predictor("${predictor.name}")\nprint(predictor.predict(${list}))`,
    CLI:
      `# with the folder of the predictor, as ${"`esmkit fit`"} wrote it\nesmkit predict-property ` +
      `${predictor.name} proteins.fasta --out predictions.csv`,
  }));
}

function nothingServed() {
  const commands = [
    "pip install 'esmkit[learn]'",
    "esmkit fit measured.csv --label-column solubility --task regression --baseline composition --out solubility",
    "esmkit serve --predictor solubility",
  ].join("\n");
  return h(
    "div",
    { class: "panel stack" },
    h("h2", {}, "No predictor is on this server yet"),
    h(
      "p",
      {},
      "Whoever runs the server makes one from a table of proteins with a measured property, and names its folder " +
        "when the server starts:",
    ),
    h("pre", { class: "commands", tabindex: 0 }, h("code", {}, commands)),
    h("p", {}, "To see what your own measurements are good for, without an operator, choose “Fit your own”."),
  );
}
