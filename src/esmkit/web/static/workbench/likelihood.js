// How likely every residue is where it stands: one pass without masks, as `log_prob` sums it.
import { biolmai, codeButton, curl } from "../core/code.js";
import { h } from "../core/dom.js";
import { residues } from "../core/fasta.js";
import { csv, download, svgText } from "../core/save.js";
import { track } from "../views/track.js";
import { logProbabilities } from "./work.js";

export const view = { id: "likelihood", title: "Likelihood", show };

async function show(panel, work) {
  panel.replaceChildren(h("p", { class: "muted" }, "Computing…"), h("progress", {}));
  const { logits, vocab_tokens: vocabulary } = await work.encoded();
  const rows = perResidue(work.sequence, logProbabilities(logits), vocabulary);
  const scored = rows.filter((row) => row.logProb !== null);
  const total = scored.reduce((sum, row) => sum + row.logProb, 0);
  const picture = track(
    rows.map((row) => ({ label: `${row.residue}${row.position}`, value: row.logProb, note: about(row) })),
    { title: `Log-probability of every residue of ${work.record.id}`, unit: "ln p", selection: work.selection },
  );
  panel.replaceChildren(
    h(
      "div",
      { class: "stack" },
      h("div", { class: "row spread" }, summary(scored, total), actions(work, rows, picture)),
      picture,
      h("p", { class: "hint" }, "One pass over the whole protein, nothing masked: the model sees the residue that it judges, so values are higher than masked ones. Natural logarithms."),
    ),
  );
}

function perResidue(sequence, logs, vocabulary) {
  return residues(sequence).map((residue, at) => {
    const own = vocabulary.indexOf(residue);
    const best = logs[at].indexOf(Math.max(...logs[at]));
    const entropy = -logs[at].reduce((sum, value) => sum + Math.exp(value) * value, 0) / Math.LN2;
    return { position: at + 1, residue, logProb: own < 0 ? null : logs[at][own], best: vocabulary[best], entropy };
  });
}

const about = (row) => `ln p ${row.logProb === null ? "not defined" : row.logProb.toFixed(2)}, most likely ${row.best}, entropy ${row.entropy.toFixed(2)} bit`;

function summary(scored, total) {
  const mean = total / scored.length;
  return h(
    "dl",
    { class: "facts" },
    h("dt", {}, "log p(sequence)"), h("dd", {}, total.toFixed(2)),
    h("dt", {}, "per residue"), h("dd", {}, `${mean.toFixed(3)} (exp of the negative: ${Math.exp(-mean).toFixed(2)})`),
  );
}

function actions(work, rows, picture) {
  const name = `${work.record.id}_likelihood`;
  const table = [["position", "residue", "log_prob", "most_likely", "entropy_bits"], ...rows.map((row) => [row.position, row.residue, row.logProb, row.best, row.entropy])];
  const items = [{ sequence: work.sequence }];
  return h(
    "div",
    { class: "row" },
    h("button", { type: "button", onclick: () => download(`${name}.csv`, csv(table), "text/csv") }, "CSV"),
    h("button", { type: "button", onclick: () => download(`${name}.svg`, svgText(picture.querySelector("svg")), "image/svg+xml") }, "SVG"),
    codeButton(() => ({
      curl: curl(work.model.slug, "log_prob", items),
      "Python (esmkit)": `import esmkit\n\nmodel = esmkit.load("${work.model.slug}")\nprint(model.log_prob("${work.sequence}"))`,
      "Python (biolmai)": biolmai(work.model.slug, "log_prob", items),
      CLI: `esmkit likelihood protein.fasta --model ${work.model.slug} -o likelihood.csv`,
    })),
  );
}
