// The calls of the design page as code: for a shell, for Python, for the command line.
import { curl } from "../core/code.js";
import { writePositions } from "./notation.js";

const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
const packed = (numbers) => writePositions(numbers).replaceAll(" ", "");
const pythonDict = (each) => `{${each.map(({ position, residues }) => `${position}: "${residues}"`).join(", ")}}`;

/** The constraints as options of the command line. */
function constraintFlags(item) {
  return [
    item.positions && `--positions ${packed(item.positions)}`,
    item.allowed && `--allowed ${item.allowed}`,
    item.allowed_at &&
      `--allowed-at ${item.allowed_at.map(({ position, residues }) => `${position}:${residues}`).join(",")}`,
    `--mutations ${item.fewest}-${item.most}`,
    item.offset && `--offset ${item.offset}`,
  ].filter(Boolean);
}

/** The constraints in Python, as arguments of `Space.of`. */
function constraintArguments(item) {
  return [
    item.positions && `positions=[${item.positions.join(", ")}]`,
    item.allowed && `allowed="${item.allowed}"`,
    item.allowed_at && `allowed_at=${pythonDict(item.allowed_at)}`,
    `mutations=(${item.fewest}, ${item.most})`,
    item.offset && `offset=${item.offset}`,
  ]
    .filter(Boolean)
    .join(", ");
}

const flag = (params, name) =>
  params[name] === undefined ? null : `--${name.replaceAll("_", "-")} ${quoted(params[name])}`;
const option = (params, name) => (params[name] === undefined ? null : `${name}=${JSON.stringify(params[name])}`);

/** Of `design`. */
export function proposeCode(model, item, params) {
  const of = (names, write) => names.map((name) => write(params, name)).filter(Boolean);
  const search = ["width", "chains", "steps", "temperature", "final_temperature", "seed"];
  const weight = params.model_weight ?? (params.predictor ? 0 : 1);
  const wanted = params.predictor_class === undefined ? "" : `, ${JSON.stringify(params.predictor_class)}`;
  const predictor = params.predictor && [
    `predictor = esmkit.load_predictor("${params.predictor}")  # its folder`,
    `terms.append(design.Weighted(design.PredictedProperty(predictor${wanted}), ${params.predictor_weight ?? 1}))`,
  ];
  const offset = item.offset ? `, offset=${item.offset}` : "";
  return {
    curl: curl(model, "design", [item], params),
    "Python (esmkit)": [
      "import esmkit",
      "from esmkit.applications import design",
      "",
      `parent = "${item.sequence}"`,
      `space = design.Space.of(parent, ${constraintArguments(item)})`,
      `terms = [design.Weighted(design.Likelihood(esmkit.load("${model}"), "${params.method}"), ${weight})]`,
      ...(predictor || []),
      `strategy = design.Strategy("${params.strategy}", ${of(search, option).join(", ")})`,
      "objective = design.Objective(parent, terms)",
      `for found in design.propose(objective, space, strategy, proposals=${params.proposals}, ` +
        `min_distance=${params.min_distance}${offset}):`,
      "    print(found.mutant, round(found.objective, 3), found.terms)",
    ].join("\n"),
    CLI: [
      `esmkit design propose --sequence ${item.sequence}`,
      `--model ${model}`,
      ...constraintFlags(item),
      `--method ${params.method}`,
      `--strategy ${params.strategy}`,
      ...of(search, flag),
      ...of(["predictor", "predictor_class", "predictor_weight", "model_weight"], flag),
      `--proposals ${params.proposals}`,
      `--min-distance ${params.min_distance}`,
      "--out proposals.csv",
    ].join(" \\\n  "),
  };
}

/** Of `next_round`; `columns` is {variant, isSequence, value}, of the table that was pasted. */
export function nextCode(model, item, params, columns) {
  const { measured, ...rest } = item;
  const random = "import numpy as np\n\n";
  const generated =
    params.generate === "offspring"
      ? [
          "sign = 1 if " + JSON.stringify(params.goal) + ' == "max" else -1',
          `best = np.argsort(-sign * measured.values, kind="stable")[:${params.parents}]`,
          `candidates = design.offspring(space, [measured.sequences[at] for at in best], ${params.max_candidates}, ` +
            `np.random.default_rng([${params.seed}, 1]))`,
        ]
      : [`candidates = space.sample(${params.max_candidates}, np.random.default_rng([${params.seed}, 1]))`];
  const column = columns.isSequence
    ? `sequence_column=${JSON.stringify(columns.variant)}`
    : `variant_column=${JSON.stringify(columns.variant)}`;
  const models = params.features === "residues" ? "()" : `(esmkit.load("${model}"),)`;
  const beta = params.acquisition === "ucb" ? `beta=${params.beta}, ` : "";
  return {
    curl: curl(model, "next_round", [item], params),
    "Python (esmkit)": [
      `${random}import esmkit`,
      "from esmkit.applications import design",
      "from esmkit.applications.mutations.table import VariantTable",
      "",
      `wild_type = "${rest.sequence}"`,
      `table = VariantTable("round1.csv", wild_type=wild_type, ` +
        `${column}${rest.offset ? `, offset=${rest.offset}` : ""})`,
      `measured = design.read_rounds([table], ${JSON.stringify(columns.value)})`,
      `space = design.Space.of(wild_type, ${constraintArguments(rest)})`,
      ...generated,
      `features = design.Featurizer(${models}, residues=${params.features === "embeddings" ? "False" : "True"})`,
      `policy = design.Policy("${params.acquisition}", ${beta}goal="${params.goal}", ` +
        `min_distance=${params.min_distance}, seed=${params.seed})`,
      `plate = design.next_plate(measured, candidates, features, policy, wells=${params.plate})`,
      "print(plate.ensemble.spearman)",
      "for each in plate.suggestions:",
      "    print(each.sequence, round(each.mean, 3), round(each.sd, 3))",
    ].join("\n"),
    CLI: [
      "esmkit design next round1.csv",
      `--wild-type ${rest.sequence}`,
      `--model ${model}`,
      `--${columns.isSequence ? "sequence" : "variant"}-column ${quoted(columns.variant)}`,
      `--label-column ${quoted(columns.value)}`,
      ...constraintFlags(rest),
      ...[
        "generate",
        "max_candidates",
        ...(params.generate === "offspring" ? ["parents"] : []),
        "features",
        "plate",
        "goal",
        "acquisition",
        ...(beta ? ["beta"] : []),
        "min_distance",
        "seed",
      ]
        .map((name) => flag(params, name))
        .filter(Boolean),
      "--out plate2.csv",
    ].join(" \\\n  "),
  };
}
