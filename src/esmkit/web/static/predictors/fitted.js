// The result of a fit: scores, the held-out proteins one by one, predictions of the others.
import { path } from "../core/api.js";
import { codeButton } from "../core/code.js";
import { frame, h } from "../core/dom.js";
import { csv, download, svgText } from "../core/save.js";
import { inWords, rounded, scoresTable } from "../core/scores.js";
import { agreement } from "../views/agreement.js";

const POOLED = { mean: "mean over residues", max: "maximum over residues", bos: "start token" };

/** The result as an element; `given` is what was asked: items, isNumber, classes, request, model, choice, asked. */
export function fitted(found, given) {
  const label = given.choice.label;
  const judged = [
    { title: `${found.test} held out`, scores: found.scores, intervals: found.intervals },
    { title: `${found.train} others, in folds`, scores: found.cross_validation },
  ];
  const picture = given.isNumber ? scatter(found, given) : confusion(found, given);
  return h(
    "div",
    { class: "stack" },
    h("div", { class: "row spread" }, h("h2", {}, `Predictor of “${label}”`), actions(found, given, picture)),
    h("p", {}, headline(found)),
    h(
      "div",
      { class: "outcome" },
      h("div", { class: "stack" }, scoresTable("Scores of the fit", judged), facts(found, given), caution()),
      picture,
    ),
    tested(found, given),
    found.predictions.length
      ? predicted(found, given)
      : h(
          "p",
          { class: "hint" },
          "Every row has a measurement, so nothing else was predicted. Add rows with an empty cell to predict them.",
        ),
  );
}

function headline({ task, scores, intervals, test }) {
  if (task === "regression") {
    const [low, high] = intervals.spearman ?? [null, null];
    const sure =
      low === null
        ? ""
        : ` Between ${rounded(low, 2)} and ${rounded(high, 2)} with 95 % confidence: ${test} proteins tell no more.`;
    return (
      `On proteins that it had not seen, ${inWords(scores.spearman)} (Spearman ` +
      `${rounded(scores.spearman, 2)}).${sure}`
    );
  }
  return (
    `${Math.round(100 * scores.accuracy)} % of ${test} proteins that it had not seen got the right class; ` +
    `Matthews correlation ${rounded(scores.mcc, 2)}, where 0 is chance.`
  );
}

function facts({ estimator, settings }, { model, asked }) {
  const [[name, value]] = Object.entries(settings);
  const rows = [
    ["Method", `${estimator} regression, ${name} ${value} chosen by cross-validation in five folds`],
    ["Features", `${model.title}, layer ${asked.layer === -1 ? "-1 (the last)" : asked.layer}, ${POOLED[asked.pool]}`],
    ["Held out", `a fifth, drawn at random by seed ${asked.seed}; a column that names a test part is not used here`],
    ["Intervals", "95 %, under each score of the held-out proteins"],
  ];
  return h(
    "dl",
    { class: "facts" },
    rows.flatMap(([title, text]) => [h("dt", {}, title), h("dd", {}, text)]),
  );
}

const caution = () =>
  h(
    "p",
    { class: "notice warn-note" },
    "Only equal sequences are kept on one side of the split. Where relatives of a protein are on both sides, scores " +
      "say how well families are recalled, and promise too much for a new family. ",
    h(
      "span",
      {},
      h("code", {}, "esmkit fit --split cluster"),
      " keeps relatives together, and ",
      h("code", {}, "--baseline composition"),
      " says whether a model is needed at all.",
    ),
  );

function scatter({ tested: held }, { items, choice }) {
  const points = held.map(({ item, prediction }) => ({ label: items[item].id, x: items[item].label, y: prediction }));
  const text = {
    title: "Predicted against measured, held-out proteins",
    xLabel: `measured ${choice.label}`,
    yLabel: `predicted ${choice.label}`,
  };
  return h(
    "figure",
    { class: "stack" },
    agreement(points, text),
    h("figcaption", { class: "hint" }, "Held-out proteins; the dashed line is where both are equal."),
  );
}

function confusion({ tested: held }, { items, classes }) {
  const count = (true_, said) =>
    held.filter(({ item, prediction }) => items[item].label === true_ && prediction === said).length;
  const row = (own) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, own),
      classes.map((said) => h("td", { class: said === own ? "right" : "" }, count(own, said))),
    );
  return h(
    "figure",
    { class: "stack" },
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Measured against predicted classes" },
      h(
        "table",
        { class: "confusion" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, "measured ↓ predicted →"),
            classes.map((name) => h("th", { scope: "col", class: "number" }, name)),
          ),
        ),
        h("tbody", {}, classes.map(row)),
      ),
    ),
    h("figcaption", { class: "hint" }, "Held-out proteins: how many of each class were called what."),
  );
}

function tested(found, given) {
  const rows = found.tested.map(({ item, prediction, probabilities }) => [
    given.items[item].id,
    given.items[item].label,
    prediction,
    probabilities,
  ]);
  const table = shown(rows, ["Protein", "Measured", "Predicted"], given.classes);
  return h("details", {}, h("summary", {}, `The ${rows.length} held-out proteins as numbers`), table);
}

function predicted(found, given) {
  const rows = found.predictions.map(({ item, prediction, probabilities }) => [
    given.items[item].id,
    prediction,
    probabilities,
  ]);
  return h(
    "div",
    { class: "stack" },
    h("h3", {}, `Predicted for ${rows.length} rows without a measurement`),
    shown(rows, ["Protein", "Predicted"], given.classes),
  );
}

/** Rows of cells, the last of each the probabilities of classes. */
function shown(rows, heads, classes) {
  const cell = (value) =>
    h(
      "td",
      { class: typeof value === "number" ? "number" : "" },
      typeof value === "number" ? value.toPrecision(4) : value,
    );
  const body = rows.map((row) => {
    const [id, ...rest] = row.slice(0, heads.length);
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, id),
      rest.map(cell),
      classes.map((name) => h("td", { class: "number" }, rounded(row.at(-1)[name]))),
    );
  });
  const isNumber = typeof rows[0]?.[1] === "number";
  const titles = [...heads, ...classes.map((name) => `p(${name})`)];
  const head = titles.map((text, at) =>
    h("th", { scope: "col", class: at && (isNumber || at >= heads.length) ? "number" : "" }, text),
  );
  return h(
    "div",
    { class: "scroll long", tabindex: 0, role: "region", "aria-label": heads.join(", ") },
    h("table", { class: "predictions" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)),
  );
}

function actions(found, given, picture) {
  const { label } = given.choice;
  const shares = given.classes.map((name) => `probability_${name}`);
  const heads = ["part", "id", `measured_${label}`, `predicted_${label}`, ...shares, "sequence"];
  const row =
    (part) =>
    ({ item, prediction, probabilities }) => {
      const { id, sequence, label: measured } = given.items[item];
      return [part, id, measured, prediction, ...given.classes.map((name) => probabilities[name]), sequence];
    };
  const rows = () => [heads, ...found.tested.map(row("held out")), ...found.predictions.map(row("predicted"))];
  const drawing = () => svgText(picture.querySelector("svg"));
  return h(
    "div",
    { class: "row" },
    h("button", { type: "button", onclick: () => download(`${label}_fit.csv`, csv(rows()), "text/csv") }, "CSV"),
    given.isNumber &&
      h("button", { type: "button", onclick: () => download(`${label}_fit.svg`, drawing(), "image/svg+xml") }, "SVG"),
    h(
      "button",
      {
        type: "button",
        title: "The request as it was sent, for the curl command",
        onclick: () => download("fit.json", JSON.stringify(given.request), "application/json"),
      },
      "Request (JSON)",
    ),
    codeButton(() => code(found, given)),
  );
}

function code(found, { model, choice, asked, isNumber }) {
  const { sequence, label, id } = choice;
  const task = isNumber ? "regression" : "classification";
  const key = frame.asks_for_keys ? ` \\\n  -H 'Authorization: Token KEY'` : "";
  const named = [`sequence=${JSON.stringify(sequence)}`, id && `id=${JSON.stringify(id)}`].filter(Boolean).join(", ");
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  return {
    curl:
      `# fit.json: the button Request (JSON)\ncurl ${frame.origin}${path(model.slug, "fit")} \\\n  -H ` +
      `'Content-Type: application/json'${key} \\\n  -d @fit.json`,
    "Python (esmkit)": [
      "# measured.csv: the table, without rows that have no measurement",
      "from pathlib import Path",
      "",
      "import esmkit",
      "from esmkit.applications.fitting import FitOptions, fit, read_fit_data",
      "from esmkit.applications.labelled import Columns",
      "from esmkit.applications.predictors import Task",
      "",
      `columns = Columns(${JSON.stringify(label)}, ${named})`,
      `data = read_fit_data({"train": "measured.csv"}, columns, Task("${task}", "sequence", ` +
        `${JSON.stringify(label)}), seed=${asked.seed})`,
      `options = FitOptions("${found.estimator}", (${asked.layer},), ("${asked.pool}",), seed=${asked.seed})`,
      `found = fit(esmkit.load("${model.slug}"), data, options)`,
      'print(found.card.metrics["test"])',
      'found.save(Path("predictor"))',
    ].join("\n"),
    CLI: [
      "# measured.csv: the table, without rows that have no measurement",
      `esmkit fit measured.csv --sequence-column ${quoted(sequence)} --label-column ` +
        `${quoted(label)}${id ? ` --id-column ${quoted(id)}` : ""} --task ${task} \\`,
      `  --model ${model.slug} --estimator ${found.estimator} --layers ${asked.layer} --pooling ${asked.pool} ` +
        `--seed ${asked.seed} --baseline composition --out predictor`,
    ].join("\n"),
  };
}
