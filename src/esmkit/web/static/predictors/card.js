// What is known of a predictor: what it says, what it was made from, how good it is.
import { h } from "../core/dom.js";
import { scoresTable } from "../core/scores.js";

const POOLED = {
  mean: "mean over residues",
  max: "maximum over residues",
  bos: "vector of the start token",
  none: "each residue",
};
const LEADING = { regression: "spearman", classification: "mcc" };

/** The card as an element; `predictor` is an entry of the page's data. */
export function card(predictor) {
  const { metrics } = predictor;
  const judged = [{ title: "this predictor", ...scored(metrics, "test") }];
  for (const [name, found] of Object.entries(metrics.baselines ?? {})) {
    judged.push({ title: `baseline: ${name}`, ...scored(found, "test") });
  }
  const isTested = Boolean(metrics.test);
  const part = isTested ? "test" : metrics.cross_validation ? "cross_validation" : "valid";
  if (!isTested) judged[0] = { title: "this predictor", ...scored(metrics, part) };
  return h(
    "div",
    { class: "stack card" },
    h("div", { class: "row spread" }, h("h2", {}, predictor.name), h("span", { class: "badge" }, kind(predictor))),
    h("p", {}, sentence(predictor)),
    facts(predictor),
    scoresTable(`Scores of ${predictor.name}`, judged),
    h("p", { class: "hint" }, verdict(predictor, judged, part)),
  );
}

const scored = (metrics, part) => ({ scores: metrics[part] ?? {}, intervals: metrics[part]?.intervals });

const kind = ({ task, level }) =>
  `${task === "regression" ? "numbers" : "classes"} per ${level === "residue" ? "residue" : "protein"}`;

function sentence({ task, level, label, classes }) {
  const what = task === "regression" ? `the number “${label}”` : `which “${label}” it is: ${classes.join(", ")}`;
  return (
    `Says ${what}, of ${level === "residue" ? "every residue" : "a protein as a whole"}, in the meaning and ` +
    `units of the data it was made from.`
  );
}

function facts(predictor) {
  const { metrics, base, layers, pooling, estimator, longest, data_sha256: digest } = predictor;
  const rows = [
    ["Model", `${base}, layer ${layers.join(", ")}, ${POOLED[pooling] ?? pooling}`],
    [
      "Method",
      estimator
        ? `${estimator} on embeddings that stay as they are`
        : "a small network on embeddings that stay as they are",
    ],
    ["Made from", madeFrom(metrics)],
    ["Relatives", relatives(predictor)],
    ["Lengths", longest ? `made from proteins of at most ${longest.toLocaleString("en")} residues` : null],
    ["Data", digest ? `sha256 ${digest.slice(0, 12)}…` : null],
  ];
  return h(
    "dl",
    { class: "facts" },
    rows.filter(([, text]) => text).flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]),
  );
}

function madeFrom(metrics) {
  const number = (part) => metrics[part]?.proteins;
  const held = number("test") ? `, tested on ${number("test")} that had no part in it` : "";
  return `${number("train") ?? "an unknown number of"} proteins${held}`;
}

function relatives({ groups, split, metrics }) {
  if (!groups) return null;
  if (split === "cluster") return `kept together (${groups})`;
  return metrics.test
    ? `only ${groups} are kept on one side: close relatives may be in both parts, which flatters`
    : null;
}

/** How far the scores can be trusted, in words. */
function verdict({ task, metrics }, judged, part) {
  const from = {
    test: "held-out proteins",
    cross_validation: "held-out folds of what it was fitted to; there is no test part",
    valid: "proteins that decided when to stop; there is no test part",
  };
  const begin = `Scores on ${from[part]}${judged.some(({ intervals }) => intervals) ? ", with 95 % intervals" : ""}.`;
  const name = LEADING[task];
  const [own, ...others] = judged.map(({ intervals }) => intervals?.[name]);
  if (!others.length) return `${begin} No baseline was computed: whether a model is needed at all is not known.`;
  if (!own || !others[0]) return begin;
  const isClear = others.every((other) => own[0] > other[1]);
  const number = metrics.test?.proteins;
  return isClear
    ? `${begin} It is better than the baseline, which needs no model.`
    : `${begin} Its interval overlaps that of the baseline, which needs no model: ${number} test proteins do not ` +
        `show that it is better.`;
}
