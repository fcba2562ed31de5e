// What `design` answered: proposals in the order of the objective, and what the objective is.
import { codeButton } from "../core/code.js";
import { h } from "../core/dom.js";
import { short, signed } from "./notation.js";
import { proposeCode } from "./snippets.js";
import { variants } from "./variants.js";

/** The answer as an element; `item`, `params` and `model` are what was asked. */
export function proposalsView(proposals, item, params, model) {
  const code = codeButton(() => proposeCode(model, item, params));
  if (!proposals.length)
    return h(
      "p",
      { class: "empty" },
      "No variant keeps to all of this. Allow more positions, amino acids or mutations.",
    );
  const isOneTerm = params.predictor === undefined; // then it is the objective itself
  const terms = isOneTerm ? [] : Object.keys(proposals[0].terms);
  const effects = ({ effects: own }) =>
    Object.entries(own)
      .map(([name, value]) => `${name} ${signed(value)}`)
      .join(", ");
  const rows = proposals.map((each) => ({
    mutant: each.mutant,
    sequence: each.sequence,
    value: each.objective,
    note: `${each.mutant}: ${short(each.objective)}`,
    cells: [...terms.map((name) => short(each.terms[name])), effects(each), each.nearest || "–"],
  }));
  const columns = [
    ...terms.map((name) => ({ title: name.replaceAll("_", " "), number: true })),
    { title: "Lost without", wide: true },
    { title: "Distance", number: true },
  ];
  const head = ["rank", "mutant", "objective", ...terms, "effects", "nearest", "found", "sequence"];
  const table = () => [
    head,
    ...proposals.map((each, at) => [
      at + 1,
      each.mutant,
      each.objective,
      ...terms.map((name) => each.terms[name]),
      Object.entries(each.effects)
        .map(([name, value]) => `${name} ${value}`)
        .join("; "),
      each.nearest,
      each.found,
      each.sequence,
    ]),
  ];
  const few =
    proposals.length < params.proposals
      ? ` ${params.proposals} were wanted; no other that was found is far enough from these.`
      : "";
  const notes = h(
    "p",
    {},
    `${about(params, model)} The parent has 0, more is better. “Lost without” is what the objective loses without a ` +
      `mutation, “distance” the positions at which it differs from the nearest better one.${few}`,
  );
  return variants({
    name: "proposals",
    title: `${proposals.length} proposals`,
    parent: item.sequence,
    rows,
    columns,
    valueLabel: "objective",
    reference: { value: 0, title: "parent" },
    table,
    code,
    notes,
  });
}

function about(params, model) {
  const weight = params.model_weight ?? (params.predictor ? 0 : 1);
  const likelihood = `the likelihood of ${model} by ${params.method.replaceAll("_", " ")} (natural logarithm)`;
  if (!params.predictor) return `Objective: ${likelihood}.`;
  const what =
    params.predictor_class === undefined ? "the prediction" : `the probability of “${params.predictor_class}”`;
  return (
    `Objective: ${params.predictor_weight ?? 1} × ${what} of ` +
    `${params.predictor}${weight ? ` + ${weight} × ${likelihood}` : ""}. A search finds what a predictor is wrong ` +
    `about as surely as what it is right about.`
  );
}
