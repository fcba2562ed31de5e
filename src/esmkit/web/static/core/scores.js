// What the scores of predictors are called, and what they mean in words.
import { h } from "./dom.js";

/** By the API's name: for people, and whether more is better. */
const NAMES = {
  spearman: ["Spearman rank correlation", "1: order as measured, 0: none of it"],
  pearson: ["Pearson correlation", "1: on a line, 0: none"],
  r2: ["R²", "1: exact, 0: no better than the mean"],
  rmse: ["Root mean square error", "in units of the label, less is better"],
  mae: ["Mean absolute error", "in units of the label, less is better"],
  accuracy: ["Accuracy", "share of right answers"],
  f1: ["F1, mean over classes", "1: all right"],
  mcc: ["Matthews correlation", "1: all right, 0: chance"],
  auroc: ["Area under the ROC curve", "1: all right, 0.5: chance"],
  log_likelihood: ["Log-likelihood", "mean ln p of the true class, nearer to 0 is better"],
};

/** A number of few digits. */
export const rounded = (value, digits = 3) =>
  value == null
    ? "–"
    : Number(value)
        .toFixed(digits)
        .replace(/^-(0\.?0*)$/, "$1");

/**
 * A table of scores, a column per `judged`: {title, scores: {name: number}, intervals: {name: [low, high]}}.
 */
export function scoresTable(caption, judged) {
  const names = Object.keys(NAMES).filter((name) => judged.some(({ scores }) => scores?.[name] !== undefined));
  const cell = ({ scores, intervals }, name) => {
    const interval = intervals?.[name];
    const range = interval
      ? h("span", { class: "muted range" }, `${rounded(interval[0])} to ${rounded(interval[1])}`)
      : null;
    return h("td", { class: "number" }, rounded(scores?.[name]), range);
  };
  const row = (name) =>
    h(
      "tr",
      {},
      h("th", { scope: "row", title: NAMES[name][1] }, NAMES[name][0]),
      judged.map((each) => cell(each, name)),
    );
  const heads = judged.map(({ title }) => h("th", { scope: "col", class: "number" }, title));
  const table = h(
    "table",
    { class: "scores" },
    h("caption", { class: "visually-hidden" }, caption),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Score"), heads)),
    h("tbody", {}, names.map(row)),
  );
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, table);
}

/** A rank correlation in plain words. */
export function inWords(spearman) {
  if (spearman == null) return "no agreement can be computed, all values are the same";
  const size = Math.abs(spearman);
  const strength = ["hardly any", "a weak", "a moderate", "a strong", "a very strong"][
    Math.min(4, Math.floor(size * 5))
  ];
  const direction = spearman < 0 && size >= 0.2 ? ", and the wrong way round" : "";
  return `${strength} agreement between the predicted and the measured order${direction}`;
}
