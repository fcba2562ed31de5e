// Variants of a parent that a model, a predictor, or both like best.
import { call } from "../core/api.js";
import { copyText } from "../core/code.js";
import { frame, h } from "../core/dom.js";
import { entry } from "../core/entry.js";
import { choiceField, clearIssues, numberField, restoreValues, showIssues, valuesOf } from "../core/fields.js";
import { job } from "../core/job.js";
import { link } from "../core/state.js";
import { PROTEINS } from "../examples/proteins.js";
import { many } from "./notation.js";
import { proposalsView } from "./proposals.js";
import { space } from "./space.js";

const SINGLE = PROTEINS.filter(({ text }) => text.split(">").length === 2);
const METHODS = [
  ["masked_marginal", "masked marginals (parent only)"],
  ["wt_marginal", "wild-type marginals (parent only)"],
  ["mutant_marginal", "mutant marginals (every variant)"],
  ["one_pass_pll", "one-pass pseudo-log-likelihood (every variant)"],
];
const STRATEGIES = [
  ["beam", "beam: the best few, step by step"],
  ["greedy", "greedy: the best, step by step"],
  ["gibbs", "gibbs: samples by probability"],
  ["anneal", "anneal: samples that cool down"],
];
const OF_STRATEGY = {
  beam: ["width"],
  greedy: [],
  gibbs: ["chains", "steps", "temperature"],
  anneal: ["chains", "steps", "temperature", "final_temperature"],
};
const BLOCK = 40; // what the server counts for a step of Gibbs sampling

/** The panel: {element, state(), restore(saved)}; `bounds` are those of the action. */
export function proposing({ predictors, bounds }, onchange) {
  const editor = entry(readParent, {
    title: "Parent",
    label: "The parent, as FASTA or as a sequence",
    examples: SINGLE,
    limits: { maxResidues: frame.max_residues, maxRecords: 1 },
  });
  const open = space(describe);
  const settings = {
    model: choiceField(
      "Model",
      frame.models.map(({ slug, title }) => [slug, title]),
    ),
    method: choiceField("Likelihood by", METHODS),
    predictor: choiceField("Predictor", [["", "none: the model’s likelihood"]]),
    predictor_class: choiceField("Class wanted", []),
    predictor_weight: numberField("Weight of the predictor", 1, { step: "any", hint: "negative: less is better" }),
    model_weight: numberField("Weight of the likelihood", 0, { step: "any" }),
    strategy: choiceField("Search", STRATEGIES),
    width: numberField("Variants kept (width)", 5, { min: 1, max: 1000 }),
    chains: numberField("Chains", 5, { min: 1, max: 1000 }),
    steps: numberField("Steps of each", 100, { min: 1, max: 10_000 }),
    temperature: numberField("Temperature", 1, { min: 0.001, max: 1000, step: "any" }),
    final_temperature: numberField("Last temperature", 0.05, { min: 0.001, max: 1000, step: "any" }),
    proposals: numberField("Proposals", 10, { min: 1, max: 100 }),
    min_distance: numberField("Distance apart", 1, { min: 1, max: 100, hint: "positions that differ" }),
    seed: numberField("Seed", 0, { min: 0 }),
  };
  const fields = {
    ...open.fields,
    ...Object.fromEntries(Object.entries(settings).map(([name, each]) => [`params.${name}`, each])),
  };
  const estimate = h("p", { class: "hint", "aria-live": "polite" });
  const share = h(
    "button",
    {
      type: "button",
      class: "ghost",
      onclick: async () => copyText(await link({ view: "propose", propose: state() })),
    },
    "Copy link",
  );
  const work = job(run, {
    action: "Propose variants",
    label: "Proposals",
    refused: (error) => showIssues(error, fields) || "Not accepted: see the marked field.",
    empty: () => [
      h("p", {}, "Choose what may change, then ", h("b", {}, "Propose variants"), "."),
      h("p", { class: "hint" }, "Likelihood is what evolution would keep: a first plate, not a promise of function."),
    ],
  });

  const predictor = () => predictors.find(({ name }) => name === settings.predictor.value());
  function readParent({ records, problems }) {
    open.set(records.length && !problems.length ? records[0].sequence : "");
    describe();
  }
  function offered() {
    const fitting = predictors.filter(({ served_by: model }) => model === settings.model.value());
    const before = settings.predictor.value();
    settings.predictor.control.replaceChildren(
      h("option", { value: "" }, "none: the model’s likelihood"),
      ...fitting.map(({ name, label }) =>
        h("option", { value: name, selected: name === before }, `${name} (${label})`),
      ),
    );
    const classes = predictor()?.classes ?? [];
    const wanted = settings.predictor_class.value();
    settings.predictor_class.control.replaceChildren(
      ...classes.map((name) => h("option", { value: name, selected: name === wanted }, name)),
    );
  }
  function describe() {
    offered();
    const has = predictor();
    for (const name of ["predictor_weight", "model_weight"]) settings[name].element.hidden = !has;
    settings.predictor_class.element.hidden = !has?.classes.length;
    const own = OF_STRATEGY[settings.strategy.value()];
    for (const name of ["width", "chains", "steps", "temperature", "final_temperature"])
      settings[name].element.hidden = !own.includes(name);
    work.enable(Boolean(open.item().sequence && open.places()));
    sayCost();
    onchange();
  }
  function sayCost() {
    const { sequence, most } = open.item();
    const looked = lookedAt(open.choices(), most, params());
    const letters = looked * sequence.length;
    const computes = /mutant_marginal|one_pass_pll/.test(settings.method.value()) || predictor();
    const limit = Math.floor(
      Math.min(
        bounds.most_variants,
        (computes ? bounds.most_computed : bounds.most_letters) / Math.max(1, sequence.length),
      ),
    );
    const isMore = looked > limit && letters > 0;
    estimate.classList.toggle("error", isMore);
    const why = computes ? ", as each goes through the model" : "";
    const advice = isMore
      ? " Allow fewer positions, amino acids or mutations, or search with a smaller width, fewer chains or steps."
      : "";
    estimate.textContent = sequence
      ? `The search looks at up to ${many(looked)} variants; at most ${many(limit)} are allowed here${why}.${advice}`
      : "";
  }
  function params() {
    const has = predictor();
    const asked = [
      "method",
      "strategy",
      "proposals",
      "min_distance",
      "seed",
      ...OF_STRATEGY[settings.strategy.value()],
    ];
    const found = Object.fromEntries(asked.map((name) => [name, settings[name].value()]));
    if (has)
      Object.assign(found, {
        predictor: has.name,
        predictor_weight: settings.predictor_weight.value(),
        model_weight: settings.model_weight.value(),
      });
    if (has?.classes.length) found.predictor_class = settings.predictor_class.value();
    return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== null));
  }
  async function run(signal, progress) {
    const [item, asked, model] = [open.item(), params(), settings.model.value()];
    clearIssues(fields);
    progress("Searching…");
    const [{ proposals }] = await call(model, "design", [item], asked, { signal });
    return { element: proposalsView(proposals, item, asked, model), said: `${proposals.length} proposals` };
  }
  for (const { control } of Object.values(settings)) control.addEventListener("change", describe);

  const state = () => ({ text: editor.text(), space: open.state(), settings: valuesOf(settings) });
  function restore(saved) {
    editor.set(saved?.text ?? SINGLE[0].text);
    settings.model.control.value = frame.models.some(({ slug }) => slug === saved?.settings?.model)
      ? saved.settings.model
      : frame.models[0].slug;
    offered();
    restoreValues(settings, saved?.settings);
    offered();
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
    { class: "panel stack", "aria-label": "How to search" },
    part("model", "method"),
    part("predictor", "predictor_class", "predictor_weight", "model_weight"),
    part("strategy", "width", "chains", "steps", "temperature", "final_temperature"),
    part("proposals", "min_distance", "seed"),
    estimate,
    h("div", { class: "row" }, work.buttons, share),
  );
  const element = h(
    "div",
    { class: "design" },
    h("section", { class: "panel stack", "aria-label": "Parent" }, editor.element),
    h("section", { class: "panel", "aria-label": "What may change" }, open.element),
    left,
    work.results,
  );
  return { element, state, restore };
}

/** How many variants a search looks at, as the server counts them. */
function lookedAt(choices, most, { strategy, width = 0, chains = 0, steps = 0, proposals }) {
  const singles = choices.reduce((sum, each) => sum + each, 0);
  const by = {
    greedy: singles * most,
    beam: singles * (1 + width * (most - 1)),
    gibbs: chains * (1 + steps * BLOCK),
    anneal: chains * (1 + steps),
  };
  return by[strategy] + proposals * (most + 1);
}
