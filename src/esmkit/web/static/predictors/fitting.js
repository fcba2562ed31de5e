// Measurements in, a predictor out: how good it is, and what it says of proteins that were not measured.
import { call } from "../core/api.js";
import { frame, h } from "../core/dom.js";
import { choiceField, clearIssues, numberField, showIssues } from "../core/fields.js";
import { job } from "../core/job.js";
import { beside, sheet } from "../core/sheet.js";
import { fitted } from "./fitted.js";
import { beyond, guessed, prepared } from "./labelled.js";

const EXAMPLE = () => beside(import.meta.url, "../examples/solubility.csv");
const UNKNOWN = 20;

/** The panel; `bounds` are those of the action. */
export function fitting(bounds) {
  const editor = sheet(readTable, {
    title: "Measurements",
    label: "Table of proteins and measurements, as CSV",
    placeholder: "name,sequence,activity\nP1,MKTAYIAKQR…,0.73\n\nor drop a CSV file here",
    examples: [
      { title: "Solubility of 200 E. coli proteins", load: EXAMPLE },
      { title: `The same, ${UNKNOWN} of them not measured`, load: async () => withoutLabels(await EXAMPLE()) },
    ],
  });
  const sequence = choiceField("Sequence column", []);
  const label = choiceField("Measured column", [], { hint: "Rows where it is empty are predicted." });
  const id = choiceField("Name column", []);
  const labels = choiceField("Measurements are", [
    ["auto", "as they look"],
    ["numbers", "numbers"],
    ["classes", "names of classes"],
  ]);
  const model = choiceField(
    "Model",
    frame.models.map(({ slug, title }) => [slug, title]),
  );
  const layer = numberField("Layer", -1, { min: -1, hint: "-1 is the last" });
  const pool = choiceField("Embedding of a protein", [
    ["mean", "mean over residues"],
    ["max", "maximum over residues"],
    ["bos", "start token"],
  ]);
  const seed = numberField("Seed", 0, { min: 0, hint: "of what is held out" });
  const fields = { "params.layer": layer, "params.pool": pool, "params.seed": seed };
  const said = h("p", { class: "hint", "aria-live": "polite" });
  const error = h("p", { class: "error", role: "alert" });
  const work = job(run, {
    action: "Fit and test",
    label: "Result of the fit",
    refused: (failure) => showIssues(failure, fields) || "Not accepted: see the marked setting.",
    empty: () => [
      h("p", {}, "Drop a table of proteins with a measured property, or take the example."),
      h(
        "p",
        { class: "hint" },
        "A fifth of the measurements is held out and tells how good the predictor is. Nothing is kept on the server.",
      ),
    ],
  });

  function readTable(table) {
    const guess = guessed(table);
    const options = (chosen, none) =>
      [
        none && h("option", { value: "" }, none),
        ...table.columns.map((name) => h("option", { value: name, selected: name === chosen }, name)),
      ].filter(Boolean);
    sequence.control.replaceChildren(...options(guess.sequence));
    label.control.replaceChildren(...options(guess.label));
    id.control.replaceChildren(...options(guess.id, "none"));
    describe();
  }
  const choice = () => ({ sequence: sequence.value(), label: label.value(), id: id.value(), labels: labels.value() });
  const chosenModel = () => frame.models.find(({ slug }) => slug === model.value());
  function describe() {
    const table = editor.read();
    const given = prepared(table, choice());
    const problem = table.rows.length ? given.problem || beyond(given, chosenModel(), bounds) : "";
    error.textContent = problem;
    work.enable(Boolean(!problem && table.rows.length && !table.problems.length));
    const what = given.isNumber
      ? "numbers"
      : `${given.classes.length} classes (${given.classes.slice(0, 6).join(", ")})`;
    said.textContent = table.rows.length
      ? `${given.labelled} rows with a measurement, ${what}; ${given.items.length - given.labelled} to predict.`
      : `${bounds.fewest} to ${bounds.most.toLocaleString("en")} rows; numbers, or at most ${bounds.most_classes} ` +
        `classes.`;
  }
  for (const { control } of [sequence, label, id, labels, model]) control.addEventListener("change", describe);

  async function run(signal, progress) {
    const given = prepared(editor.read(), choice());
    const asked = { layer: layer.value() ?? -1, pool: pool.value(), seed: seed.value() ?? 0 };
    const items = given.items.map(({ sequence: own, label: known }) =>
      known === null ? { sequence: own } : { sequence: own, label: known },
    );
    const about = { ...given, request: { items, params: asked }, model: chosenModel(), choice: choice(), asked };
    clearIssues(fields);
    progress(`Embedding ${items.length} proteins, then fitting…`);
    try {
      const [found] = await call(about.model.slug, "fit", items, asked, { signal });
      return { element: fitted(found, about), said: `Fitted to ${found.train} proteins, tested on ${found.test}` };
    } catch (failure) {
      throw withNames(failure, given.items);
    }
  }
  describe();
  const columns = h("div", { class: "columns tight" }, sequence.element, label.element, id.element, labels.element);
  const settings = h(
    "details",
    {},
    h("summary", {}, "Model and settings"),
    h("div", { class: "columns tight" }, model.element, pool.element, layer.element, seed.element),
  );
  const left = h(
    "section",
    { class: "panel stack", "aria-label": "What to fit" },
    editor.element,
    columns,
    settings,
    said,
    error,
    h("div", { class: "row" }, work.buttons),
  );
  return h("div", { class: "sidebar" }, left, work.results);
}

/** The error with the name of the protein in what it says of a row. */
function withNames(failure, items) {
  for (const issue of failure.issues ?? []) {
    if (issue.loc[0] === "items" && items[issue.loc[1]]) issue.msg = `${items[issue.loc[1]].id}: ${issue.msg}`;
  }
  return failure;
}

/** The example with the last labels taken out, to show what is predicted then. */
function withoutLabels(text) {
  const lines = text.trim().split("\n");
  const kept = lines.length - UNKNOWN;
  return lines.map((line, at) => (at < kept ? line : line.replace(/^([^,]*),[^,]*,/, "$1,,"))).join("\n");
}
