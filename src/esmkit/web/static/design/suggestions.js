// What `next_round` answered: variants to measure, and how far the predictions can be trusted.
import { codeButton } from "../core/code.js";
import { h } from "../core/dom.js";
import { inWords, rounded } from "../core/scores.js";
import { short } from "./notation.js";
import { nextCode } from "./snippets.js";
import { variants } from "./variants.js";

const UNRELIABLE = 0.2; // a rank correlation below which the order says next to nothing

/**
 * The answer as an element; `item`, `params` and `model` are what was asked, `columns` those of the table, `measured`
 * its rows.
 */
export function suggestionsView(found, item, params, model, columns, measured) {
  const code = codeButton(() => nextCode(model, item, params, columns));
  if (!found.suggestions.length)
    return h(
      "p",
      { class: "empty" },
      "No candidate is left that was not measured. Allow more positions or amino acids.",
    );
  const rows = found.suggestions.map((each) => ({
    mutant: each.mutant,
    sequence: each.sequence,
    value: each.predicted_mean,
    sd: each.predicted_sd,
    note: `${each.mutant}: ${short(each.predicted_mean)} ± ${short(each.predicted_sd)}`,
    cells: [
      short(each.predicted_sd),
      short(each.acquisition),
      `${each.measured}: ${short(each.measured_value)}`,
      each.measured_distance,
    ],
  }));
  const titles = [
    { title: "±", number: true },
    { title: "Chosen by", number: true },
    { title: "Nearest measured" },
    { title: "Distance", number: true },
  ];
  const names = [
    "predicted_mean",
    "predicted_sd",
    "acquisition",
    "rank_by_mean",
    "rank_by_sd",
    "nearest",
    "measured",
    "measured_distance",
    "measured_value",
  ];
  const table = () => [
    [
      "rank",
      columns.isSequence ? "mutant" : columns.variant,
      columns.value,
      ...names,
      columns.isSequence ? columns.variant : "sequence",
    ],
    ...found.suggestions.map((each, at) => [
      at + 1,
      each.mutant,
      "",
      ...names.map((name) => each[name]),
      each.sequence,
    ]),
  ];
  const values = measured.map(({ text }) => Number(text));
  const best = params.goal === "max" ? Math.max(...values) : Math.min(...values);
  const reference = { value: best, title: `best measured, ${rounded(best, 2)}` };
  return variants({
    name: "next_round",
    title: `${found.suggestions.length} variants to measure`,
    parent: item.sequence,
    rows,
    columns: titles,
    valueLabel: `predicted ${columns.value}`,
    reference,
    table,
    code,
    notes: trust(found, params, model, columns.value),
  });
}

/** How far the predictions can be trusted. */
function trust(found, params, model, label) {
  const features = {
    both: `embeddings of ${model} and residues`,
    embeddings: `embeddings of ${model}`,
    residues: "residues",
  }[params.features];
  return h(
    "div",
    { class: "stack" },
    h(
      "p",
      {},
      "On measured variants that each prediction had not seen: ",
      h("b", {}, inWords(found.spearman)),
      ` (Spearman ${rounded(found.spearman, 2)}, by resampling the ${found.measured} variants). `,
      (found.spearman ?? 0) < UNRELIABLE
        ? "Do not rely on this ranking: measure more variants first, or choose them at random."
        : "The order tells more than the values.",
    ),
    h(
      "p",
      { class: "hint" },
      `Chosen from ${found.candidates.toLocaleString("en")} candidates by ${params.acquisition}, learnt from ` +
        `${features} with ridge regressions on resampled measurements. “±” is how much these disagree, in units of ` +
        `${label}: where little was measured it is large, but it is no calibrated error. Predictions are drawn ` +
        `towards the mean, so the best measured value may be above all of them. The CSV has an empty column ` +
        `“${label}” to fill in.`,
    ),
  );
}
