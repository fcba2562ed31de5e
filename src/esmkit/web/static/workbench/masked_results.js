// A masked prediction as a logo and as a table.
import { choices } from "../core/choices.js";
import { biolmai, codeButton, curl } from "../core/code.js";
import { h, notify } from "../core/dom.js";
import { VOCABULARY, probability } from "../core/residues.js";
import { csv, download, pngOfSvg, svgText } from "../core/save.js";
import { logo } from "../views/logo.js";

const TOP = 5;

/** The elements that show a prediction of `predict`. */
export function results(work, predicted) {
  const box = h("div", { class: "logo-box" });
  let mode = work.option("logo", "probability") === "bits" ? "bits" : "probability";
  let drawnFor = 0;
  const columns = predicted.rows.map(({ at, own, probabilities }) => ({ label: `${own}${at + 1}`, probabilities }));
  const drawn = (width) =>
    logo(columns, {
      mode,
      width,
      title: `Logo of ${columns.length} masked positions of ${work.record.id}; the table below has the numbers`,
    });
  function draw() {
    const width = box.clientWidth;
    if (!width || width === drawnFor) return;
    drawnFor = width;
    box.replaceChildren(drawn(width));
  }
  new ResizeObserver(draw).observe(box);
  const known = predicted.rows.filter(({ recovered }) => recovered !== null);
  const right = known.filter(({ recovered }) => recovered).length;
  const share = Math.round((100 * right) / known.length);
  const summary = known.length
    ? `The most probable residue is the original at ${right} of ${known.length} masked positions (${share} %).`
    : "None of the masked residues is one of the 20 amino acids.";
  const letters = [
    { id: "probability", title: "Probability", about: "Letters as high as their probability" },
    {
      id: "bits",
      title: "Information",
      about: "Probability times the information of the position, log2(20) − entropy",
    },
  ];
  return [
    h("p", { class: "masked-summary" }, summary),
    h(
      "div",
      { class: "row spread" },
      choices("Letters", letters, mode, (chosen) => {
        mode = chosen;
        work.remember("logo", chosen);
        drawnFor = 0;
        draw();
      }),
      actions(work, predicted, () => drawn(1100)),
    ),
    box,
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Prediction as a table" },
      table(work, predicted),
    ),
  ];
}

function table(work, { rows }) {
  const heads = ["Position", "Original", "Most probable", "p(original)", "Recovered", "Entropy, bit"];
  return h(
    "table",
    { class: "masked-table" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        heads.map((text) => h("th", { scope: "col" }, text)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((row) => line(work, row)),
    ),
  );
}

function line(work, { at, own, probabilities, order, ownProbability, recovered, entropy }) {
  const best = order
    .slice(0, TOP)
    .map((column) =>
      h(
        "span",
        { class: VOCABULARY[column] === own ? "guess own" : "guess" },
        h("b", {}, VOCABULARY[column]),
        ` ${probability(probabilities[column])}`,
      ),
    );
  const verdict =
    recovered === null ? "–" : h("span", { class: recovered ? "badge good" : "badge" }, recovered ? "yes" : "no");
  return h(
    "tr",
    {},
    h(
      "td",
      {},
      h("button", { type: "button", class: "ghost mono cell-link", onclick: () => work.selection.choose(at) }, at + 1),
    ),
    h("td", { class: "mono" }, own),
    h("td", { class: "guesses mono" }, best),
    h("td", { class: "mono" }, ownProbability === null ? "not defined" : probability(ownProbability)),
    h("td", {}, verdict),
    h("td", { class: "mono" }, entropy.toFixed(2)),
  );
}

function actions(work, predicted, picture) {
  const name = `${work.record.id}_masked`;
  const png = async () => {
    try {
      download(`${name}.png`, await pngOfSvg(picture()));
    } catch (error) {
      notify(error.message, "bad");
    }
  };
  const button = (title, onclick) => h("button", { type: "button", onclick }, title);
  return h(
    "div",
    { class: "row" },
    button("CSV", () => download(`${name}.csv`, csv(asTable(predicted)), "text/csv")),
    button("JSON", () =>
      download(`${name}.json`, JSON.stringify(asObject(work, predicted), null, 2), "application/json"),
    ),
    button("PNG", png),
    button("SVG", () => download(`${name}.svg`, svgText(picture()), "image/svg+xml")),
    codeButton(() => snippets(work.model.slug, predicted.sequence)),
  );
}

function asTable({ rows }) {
  const heads = [
    "position",
    "original",
    "predicted",
    "probability",
    "original_probability",
    "recovered",
    "entropy_bits",
    ...VOCABULARY.map((letter) => `p_${letter}`),
  ];
  return [
    heads,
    ...rows.map((row) => [
      row.at + 1,
      row.own,
      VOCABULARY[row.order[0]],
      row.probabilities[row.order[0]],
      row.ownProbability,
      row.recovered,
      row.entropy,
      ...row.probabilities,
    ]),
  ];
}

const asObject = (work, { sequence, rows }) => ({
  model: work.model.slug,
  id: work.record.id,
  sequence,
  positions: rows.map((row) => ({
    position: row.at + 1,
    original: row.own,
    recovered: row.recovered,
    entropy_bits: row.entropy,
    probabilities: Object.fromEntries(row.order.map((column) => [VOCABULARY[column], row.probabilities[column]])),
  })),
});

function snippets(slug, sequence) {
  const items = [{ sequence }];
  return {
    curl: curl(slug, "predict", items),
    "Python (esmkit)": [
      "import esmkit",
      "",
      `model = esmkit.load("${slug}")`,
      `found = model.predict_masked("${sequence}", top_k=5)`,
      "for position, residues, probabilities in zip(found.positions, found.residues, found.probabilities):",
      "    print(position, residues, probabilities.round(3))",
    ].join("\n"),
    "Python (biolmai)": biolmai(slug, "predict", items),
    CLI: `esmkit predict --sequence '${sequence}' --model ${slug} --top-k 5`,
  };
}
