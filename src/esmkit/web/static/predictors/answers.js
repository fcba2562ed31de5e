// What a predictor said: a picture, a table, and files to keep.
import { h } from "../core/dom.js";
import { csv, download, svgText } from "../core/save.js";
import { dots, shares } from "../views/rows.js";

const PER_LINE = 60;
const DIGITS = 4;

/** The results as an element; `found` are entries of the API's answer, in the order of `records`. */
export function answers(predictor, records, found, code) {
  const name = `${predictor.name}_predictions`;
  const picture = predictor.level === "sequence" ? drawn(predictor, records, found) : null;
  const save = h(
    "button",
    { type: "button", onclick: () => download(`${name}.csv`, csv(table(predictor, records, found)), "text/csv") },
    "CSV",
  );
  const saveSvg =
    picture &&
    h(
      "button",
      {
        type: "button",
        onclick: () => download(`${name}.svg`, svgText(picture.querySelector(".rows svg, svg[role]")), "image/svg+xml"),
      },
      "SVG",
    );
  const head = h("h2", {}, `${predictor.label} of ${records.length} ${records.length === 1 ? "protein" : "proteins"}`);
  const warning =
    "Predictions by a small statistical model on embeddings. For proteins unlike those it was made from they may be " +
    "far off, and nothing in a prediction tells so.";
  return h(
    "div",
    { class: "stack" },
    h("div", { class: "row spread" }, head, h("div", { class: "row" }, save, saveSvg, code)),
    picture ?? perResidue(predictor, records, found),
    picture && numbers(predictor, records, found),
    h("p", { class: "hint" }, warning),
  );
}

function drawn({ task, label, classes }, records, found) {
  const title = `Predicted ${label}`;
  const labels = records.map(({ id }) => id);
  const box =
    task === "regression"
      ? dots(
          found.map(({ prediction }, at) => ({ label: labels[at], value: prediction })),
          { title, unit: label },
        )
      : shares(
          found.map(({ probabilities }, at) => ({ label: labels[at], shares: probabilities })),
          { title, classes },
        );
  return h("div", { class: "scroll picture", tabindex: 0, role: "region", "aria-label": title }, box);
}

/** As rows of cells, for a file. */
function table({ level, task, classes }, records, found) {
  if (level === "residue") return residueTable(task, classes, records, found);
  const heads = classes.map((each) => `probability_${each}`);
  const rows = found.map(({ prediction, probabilities }, at) => [
    records[at].id,
    records[at].sequence.length,
    prediction,
    ...classes.map((each) => probabilities[each]),
    records[at].sequence,
  ]);
  return [["id", "length", "prediction", ...heads, "sequence"], ...rows];
}

function residueTable(task, classes, records, found) {
  const heads = classes.map((each) => `probability_${each}`);
  const rows = found.flatMap(({ prediction, probabilities }, at) =>
    [...prediction].map((said, place) => [
      records[at].id,
      place + 1,
      records[at].sequence[place],
      said,
      ...(probabilities?.[place] ?? []),
    ]),
  );
  return [["id", "position", "residue", "prediction", ...heads], ...rows];
}

function numbers({ task, label, classes }, records, found) {
  const columns = task === "regression" ? [] : classes;
  const row = ({ prediction, probabilities }, at) =>
    h(
      "tr",
      {},
      h("th", { scope: "row", title: records[at].description }, records[at].id),
      h("td", { class: "number" }, records[at].sequence.length),
      h(
        "td",
        { class: task === "regression" ? "number" : "" },
        task === "regression" ? prediction.toFixed(DIGITS) : prediction,
      ),
      columns.map((each) => h("td", { class: "number" }, probabilities[each].toFixed(3))),
    );
  const isText = (at) => at === 0 || (at === 2 && task !== "regression");
  const heads = ["Protein", "Residues", `Predicted ${label}`, ...columns.map((each) => `p(${each})`)];
  return h(
    "div",
    { class: "scroll long", tabindex: 0, role: "region", "aria-label": "Predictions as numbers" },
    h(
      "table",
      { class: "predictions" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map((text, at) => h("th", { scope: "col", class: isText(at) ? "" : "number" }, text)),
        ),
      ),
      h("tbody", {}, found.map(row)),
    ),
  );
}

/** Sequence over prediction in lines of 60, for letters; the range for numbers. */
function perResidue({ task }, records, found) {
  const block = ({ prediction }, at) => {
    const { id, sequence } = records[at];
    const text = task === "regression" ? range(prediction) : aligned(sequence, prediction);
    return h("div", {}, h("h3", {}, id), h("pre", { class: "aligned", tabindex: 0 }, text));
  };
  return h("div", { class: "stack" }, found.map(block));
}

function aligned(sequence, prediction) {
  const lines = [];
  for (let at = 0; at < sequence.length; at += PER_LINE) {
    const place = String(at + 1).padStart(5);
    lines.push(`${place} ${sequence.slice(at, at + PER_LINE)}`, `      ${prediction.slice(at, at + PER_LINE)}`, "");
  }
  return lines.join("\n");
}

const range = (values) =>
  `${values.length} values from ${Math.min(...values).toPrecision(DIGITS)} to ` +
  `${Math.max(...values).toPrecision(DIGITS)}; all of them are in the CSV`;
