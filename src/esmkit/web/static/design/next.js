// What to measure next, from what was measured.
import { call } from "../core/api.js";
import { copyText } from "../core/code.js";
import { frame, h } from "../core/dom.js";
import { choiceField, clearIssues, field, numberField, restoreValues, showIssues, valuesOf } from "../core/fields.js";
import { job } from "../core/job.js";
import { beside, likeliest, sheet } from "../core/sheet.js";
import { link } from "../core/state.js";
import { changedPlaces } from "./notation.js";
import { space } from "./space.js";
import { suggestionsView } from "./suggestions.js";

const GB1 = "MQYKLILNGKTLKGETTTEAVDAATAEKVFKQYANDNGVDGEWTYDDATKTFTVTE";
const ACQUISITIONS = [
  ["ucb", "ucb: mean + β × uncertainty"],
  ["exploit", "exploit: the best mean"],
  ["thompson", "thompson: a member’s best for each well"],
];

/** The panel: {element, state(), restore(saved)}; `bounds` are those of the action. */
export function nextRound({ bounds }, onchange) {
  if (!bounds.is_served) return { element: notServed(), state: () => ({}), restore: () => {} };
  const editor = sheet(readTable, {
    title: "Measured variants",
    label: "Table of measured variants, as CSV",
    placeholder: "mutant,fitness\nWT,1.0\nV39L:D40I,2.4\n\nor drop a CSV file here",
    examples: [{ title: "Protein G B1, 96 variants at four sites", load: example }],
  });
  const variant = choiceField("Variant column", [], { hint: "V39L:D40I, WT, or whole sequences" });
  const value = choiceField("Measured column", [], { hint: "rows where it is empty are left out" });
  const wildType = field(
    "Wild type",
    h("textarea", { rows: 3, class: "mono", spellcheck: "false", autocapitalize: "off" }),
  );
  const open = space(describe, { most: 50, none: "Give the wild type first." });
  const settings = {
    model: choiceField(
      "Model",
      frame.models.map(({ slug, title }) => [slug, title]),
    ),
    goal: choiceField("Wanted", [
      ["max", "high values"],
      ["min", "low values"],
    ]),
    plate: numberField("Variants wanted", 95, { min: 1, max: 384, hint: "95 and the wild type fill a plate" }),
    acquisition: choiceField("Chosen by", ACQUISITIONS),
    beta: numberField("β", 1, { min: 0, max: 1000, step: "any", hint: "more explores more" }),
    features: choiceField("Learnt from", [
      ["both", "embeddings and residues"],
      ["embeddings", "embeddings"],
      ["residues", "residues (no model)"],
    ]),
    generate: choiceField("Candidates", [
      ["combinations", "combinations of the positions"],
      ["offspring", "offspring of the best"],
    ]),
    max_candidates: numberField("Candidates, at most", 500, {
      min: 1,
      max: bounds.most_candidates,
      hint: "drawn at random if there are more",
    }),
    parents: numberField("Parents", 10, { min: 1, max: bounds.most_measured }),
    min_distance: numberField("Distance apart", 1, { min: 1, max: 100, hint: "positions that differ" }),
    seed: numberField("Seed", 0, { min: 0 }),
  };
  const fields = {
    "items.0.measured": variant,
    "items.0.sequence": wildType,
    ...open.fields,
    ...Object.fromEntries(Object.entries(settings).map(([name, each]) => [`params.${name}`, each])),
  };
  const said = h("p", { class: "hint", "aria-live": "polite" });
  const share = h(
    "button",
    { type: "button", class: "ghost", onclick: async () => copyText(await link({ view: "next", next: state() })) },
    "Copy link",
  );
  const work = job(run, {
    action: "Suggest the next round",
    label: "Suggestions",
    refused: (error) => showIssues(error, fields) || "Not accepted: see the marked field.",
    empty: () => [
      h("p", {}, "Drop a table of measured variants, or take the example."),
      h("p", { class: "hint" }, "What was measured is not proposed again. All measurements must be on one scale."),
    ],
  });

  const cleaned = () => wildType.control.value.replace(/^>.*$/gm, "").replace(/\s+/g, "").toUpperCase();
  const columns = () => ({
    variant: variant.value(),
    value: value.value(),
    isSequence: measured()[0]?.variant.length === cleaned().length && !/\d/.test(measured()[0]?.variant),
  });
  async function example() {
    wildType.control.value = GB1;
    return beside(import.meta.url, "../examples/gb1_round1.csv");
  }
  function readTable({ columns: names }) {
    const options = (chosen) => names.map((name) => h("option", { value: name, selected: name === chosen }, name));
    const first = likeliest(names, /^(mutant|variant|mutations?)$/i, /sequence/i) || (names[0] ?? "");
    variant.control.replaceChildren(...options(first));
    const rest = names.filter((name) => name !== first);
    value.control.replaceChildren(
      ...options(likeliest(rest, /fitness|value|score|label|activity|measured/i) || (rest[0] ?? "")),
    );
    readWildType();
  }
  function readWildType() {
    open.set(cleaned());
    const changed = new Set(measured().flatMap((each) => changedPlaces(each.variant, cleaned(), open.offset())));
    const inside = [...changed].filter((at) => at >= 0 && at < cleaned().length).sort((a, b) => a - b);
    if (inside.length) open.choose(inside);
    describe();
  }
  /** The rows that have a value; the number of the row is for what is wrong with it. */
  function measured() {
    const { columns: names, rows } = editor.read();
    const [ofVariant, ofValue] = [names.indexOf(variant.value()), names.indexOf(value.value())];
    return rows
      .map((row, at) => ({ row: at + 1, variant: row[ofVariant] ?? "", text: row[ofValue] ?? "" }))
      .filter(({ text }) => text !== "");
  }
  function describe() {
    const rows = measured();
    const bad = rows.find(({ text }) => Number.isNaN(Number(text)));
    const letters = (rows.length + (settings.max_candidates.value() ?? 0)) * cleaned().length;
    value.wrong(bad ? `row ${bad.row}: “${bad.text}” is no number` : "");
    settings.beta.element.hidden = settings.acquisition.value() !== "ucb";
    settings.parents.element.hidden = settings.generate.value() !== "offspring";
    work.enable(Boolean(rows.length && !bad && cleaned() && open.places()));
    const much =
      letters > bounds.most_letters
        ? ` Measured variants and candidates have ${letters.toLocaleString("en")} residues, at most ` +
          `${bounds.most_letters.toLocaleString("en")} are allowed: take fewer candidates.`
        : "";
    said.textContent = `${rows.length} measured variants, 5 to ${bounds.most_measured} are taken.${much}`;
    onchange();
  }
  function params() {
    const asked = ["goal", "plate", "acquisition", "features", "generate", "max_candidates", "min_distance", "seed"];
    if (settings.acquisition.value() === "ucb") asked.push("beta");
    if (settings.generate.value() === "offspring") asked.push("parents");
    return Object.fromEntries(asked.map((name) => [name, settings[name].value()]).filter(([, each]) => each !== null));
  }
  async function run(signal, progress) {
    const rows = measured();
    const own = open.item();
    const item = {
      ...own,
      positions: own.positions ?? [...cleaned()].map((_, at) => at + 1 + open.offset()),
      measured: rows.map((each) => ({ variant: each.variant, value: Number(each.text) })),
    };
    const [asked, model] = [params(), settings.model.value()];
    clearIssues(fields);
    progress(`Learning from ${rows.length} variants…`);
    try {
      const [found] = await call(model, "next_round", [item], asked, { signal });
      const element = suggestionsView(found, item, asked, model, columns(), rows);
      return { element, said: `${found.suggestions.length} suggestions` };
    } catch (error) {
      throw withRows(error, rows);
    }
  }
  wildType.control.addEventListener("change", readWildType);
  variant.control.addEventListener("change", readWildType);
  for (const { control } of [value, ...Object.values(settings)]) control.addEventListener("change", describe);

  const state = () => ({
    text: editor.text(),
    wildType: wildType.control.value,
    columns: valuesOf({ variant, value }),
    space: open.state(),
    settings: valuesOf(settings),
  });
  function restore(saved) {
    wildType.control.value = saved?.wildType ?? "";
    editor.set(saved?.text ?? "");
    restoreValues({ variant, value }, saved?.columns);
    restoreValues(settings, saved?.settings);
    open.restore(saved?.space);
    describe();
    work.clear();
  }
  const part = (...names) =>
    h(
      "div",
      { class: "numbers" },
      names.map((name) => settings[name].element),
    );
  const left = h(
    "section",
    { class: "panel stack", "aria-label": "How to choose" },
    part("goal", "plate", "acquisition", "beta", "min_distance"),
    part("model", "features"),
    part("generate", "max_candidates", "parents", "seed"),
    said,
    h("div", { class: "row" }, work.buttons, share),
  );
  const element = h(
    "div",
    { class: "design" },
    h(
      "section",
      { class: "panel stack", "aria-label": "Measured variants" },
      editor.element,
      h("div", { class: "numbers" }, variant.element, value.element),
      wildType.element,
    ),
    h("section", { class: "panel", "aria-label": "What may change" }, open.element),
    left,
    work.results,
  );
  return { element, state, restore };
}

/** The error with the row of the table in what it says of a measured variant. */
function withRows(error, rows) {
  for (const issue of error.issues ?? []) {
    const row = issue.loc[2] === "measured" && rows[issue.loc[3]];
    if (row) issue.msg = `row ${row.row} (${row.variant.slice(0, 30)}): ${issue.msg}`;
  }
  return error;
}

const notServed = () =>
  h(
    "div",
    { class: "panel stack" },
    h("h2", {}, "This server cannot learn from measurements"),
    h("p", {}, "It needs scikit-learn. Whoever runs it installs the extra, and starts it again:"),
    h("pre", { class: "commands", tabindex: 0 }, h("code", {}, "pip install 'esmkit[learn]'\nesmkit serve")),
  );
