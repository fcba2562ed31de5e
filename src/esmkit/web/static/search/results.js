// What was found for each protein: an overview of all, the hits of one, and what can be taken away.
import { codeButton } from "../core/code.js";
import { h } from "../core/dom.js";
import { write as fasta } from "../core/fasta.js";
import { csv, download } from "../core/save.js";
import { sortable } from "../views/sortable.js";

const LIKELY = 0.7;

/**
 * Fills `place` with answers: [{record, hits, label}], label as the action `annotate` gives it, or null.
 * `asked` is what was asked: {index, label, identity}; `code()` gives snippets; `chosen` is the protein shown first.
 */
export function show(place, answers, asked, { code, chosen = 0, onchoose = () => {} }) {
  const overview = h("div", {});
  const detail = h("section", { class: "stack", "aria-label": "Hits", "aria-live": "polite" });
  const name = `search_${asked.index.name}`;
  place.replaceChildren(
    h(
      "div",
      { class: "row spread" },
      h("h2", {}, answers.length === 1 ? "1 protein" : `${answers.length} proteins`),
      h(
        "div",
        { class: "row" },
        h(
          "button",
          { type: "button", onclick: () => download(`${name}.csv`, csv(table(answers, asked)), "text/csv") },
          "CSV",
        ),
        h(
          "button",
          { type: "button", onclick: () => download(`${name}_hits.fasta`, hitsAsFasta(answers)) },
          "FASTA of hits",
        ),
        codeButton(code),
      ),
    ),
    overview,
    detail,
  );
  function choose(at) {
    chosen = at;
    drawOverview();
    detail.replaceChildren(...hitsOf(answers[at], asked));
    onchoose(at);
  }
  function drawOverview() {
    if (answers.length === 1) return;
    const columns = [
      {
        title: "protein",
        value: ({ record }) => record.id,
        show: ({ record, at }) =>
          h(
            "button",
            { type: "button", class: "ghost name", "aria-pressed": String(at === chosen), onclick: () => choose(at) },
            record.id,
          ),
      },
      { title: "residues", value: ({ record }) => record.sequence.length, number: true },
      { title: "nearest", value: ({ hits }) => hits[0]?.id, show: ({ hits }) => hits[0]?.id ?? "none" },
      {
        title: "cosine",
        value: ({ hits }) => hits[0]?.cosine,
        show: ({ hits }) => hits[0]?.cosine.toFixed(4),
        number: true,
      },
      ...(asked.identity
        ? [
            {
              title: "identity",
              value: ({ hits }) => hits[0]?.identity,
              show: ({ hits }) => percent(hits[0]?.identity),
              number: true,
            },
          ]
        : []),
      ...(asked.label ? labelColumns(asked) : []),
    ];
    const rows = answers.map((answer, at) => ({ ...answer, at }));
    overview.replaceChildren(
      sortable({
        columns,
        rows,
        caption: "All proteins, and what is nearest to each",
        rowClass: ({ at }) => (at === chosen ? "chosen" : null),
      }),
    );
  }
  choose(Math.min(chosen, answers.length - 1));
}

const labelColumns = ({ label }) => [
  { title: label.column, value: (row) => row.label?.label, show: (row) => labelBadge(row.label) },
  {
    title: "reliability",
    value: (row) => row.label?.reliability,
    show: (row) => row.label?.reliability.toFixed(2),
    number: true,
    note: "the probability that the best label is right",
  },
];

function labelBadge(label) {
  if (!label) return "";
  return label.label === label.best ? label.label : h("span", { class: "muted" }, `unknown (perhaps ${label.best})`);
}

function hitsOf({ record, hits, label }, asked) {
  const parts = [h("h2", {}, `Nearest to ${record.id}`)];
  if (label) parts.push(labelCard(label, asked));
  if (!hits.length) return [...parts, h("p", { class: "muted" }, "No protein of the index meets the conditions.")];
  const columns = [
    { title: "name", value: (hit) => hit.id, show: (hit) => h("span", { class: "mono" }, hit.id) },
    {
      title: "cosine",
      value: (hit) => hit.cosine,
      show: (hit) => hit.cosine.toFixed(4),
      number: true,
      note: "of the angle between the embeddings",
    },
    ...(asked.identity ? identityColumns() : []),
    { title: "length", value: (hit) => hit.length, number: true },
    ...asked.index.columns.map(({ name, kind }) => ({
      title: name,
      value: (hit) => hit.metadata[name],
      number: kind === "number",
    })),
  ];
  return [
    ...parts,
    sortable({ columns, rows: hits, caption: `Hits for ${record.id}`, sorted: { column: 1, down: true } }),
    h("p", { class: "hint" }, remark(asked)),
  ];
}

const identityColumns = () => [
  {
    title: "identity",
    value: (hit) => hit.identity,
    show: (hit) => percent(hit.identity),
    number: true,
    note: "identical pairs of all aligned columns",
  },
  {
    title: "coverage",
    value: (hit) => hit.coverage,
    show: (hit) => percent(hit.coverage),
    number: true,
    note: "the share of your protein that is aligned",
  },
  { title: "aligned", value: (hit) => hit.aligned, number: true, note: "pairs of residues" },
];

function remark({ identity, index }) {
  const alike = identity
    ? " Read identity together with coverage: of unrelated proteins a few residues may be all that is aligned."
    : "";
  const found = index.approximate ? " The index is searched approximately, so a near one may be missing." : "";
  const cosines = "All vectors of a model lie in similar directions: compare cosines of one index with each other.";
  return `A cosine of 1 means equal embeddings. ${cosines}${alike}${found}`;
}

function labelCard(label, asked) {
  const { best, second, reliability, neighbour, cosine } = label;
  const sure = label.label === best;
  const next = second ? `; the next best label is ${second}` : "";
  const look = reliability >= LIKELY ? "good" : sure ? "" : "warn";
  return h(
    "div",
    { class: `label-card ${look}` },
    h(
      "p",
      {},
      h("span", { class: "muted" }, `${asked.label.column}: `),
      h("strong", {}, sure ? best : "unknown"),
      sure ? "" : h("span", {}, `, perhaps ${best}`),
    ),
    h(
      "p",
      { class: "small" },
      `${inWords(reliability)} Reliability ${reliability.toFixed(2)}. `,
      `Nearest with this label: ${neighbour} (cosine ${cosine.toFixed(4)})${next}.`,
    ),
  );
}

/** A probability as a sentence. */
export function inWords(reliability) {
  const times = Math.round(10 * reliability);
  const how = [
    "Almost certainly wrong",
    "Probably wrong",
    "Doubtful",
    "More likely right than not",
    "Probably right",
    "Very probably right",
  ];
  const word = how[[0.05, 0.3, 0.5, 0.7, 0.9].filter((limit) => reliability >= limit).length];
  return `${word}: labels from neighbours as near as this were right in about ${times} of 10 cases.`;
}

const percent = (share) => (share === undefined || share === null ? "" : `${(100 * share).toFixed(0)} %`);

function table(answers, { index, identity, label }) {
  const alike = identity ? ["identity", "aligned", "coverage"] : [];
  const names = index.columns.map(({ name }) => name);
  const labelled = label ? [`${label.column}_label`, "reliability", "best", "second"] : [];
  const rows = answers.flatMap((answer) =>
    answer.hits.map((hit, rank) => [
      answer.record.id,
      rank + 1,
      hit.id,
      hit.cosine,
      ...alike.map((field) => hit[field]),
      hit.length,
      ...names.map((name) => hit.metadata[name]),
      ...(label ? [answer.label?.label, answer.label?.reliability, answer.label?.best, answer.label?.second] : []),
    ]),
  );
  return [["query", "rank", "hit", "cosine", ...alike, "length", ...names, ...labelled], ...rows];
}

/** Every hit once; those that the index has no sequence of are left out. */
function hitsAsFasta(answers) {
  const byId = new Map(
    answers.flatMap(({ hits }) => hits.filter(({ sequence }) => sequence).map((hit) => [hit.id, hit])),
  );
  return fasta(
    [...byId.values()].map(({ id, sequence, metadata }) => ({
      id,
      sequence,
      description: Object.entries(metadata)
        .map(([name, value]) => `${name}=${value ?? ""}`)
        .join(" "),
    })),
  );
}
