// How likely every residue is where it stands: one pass without masks, as `log_prob` sums it.
import { choices } from "../core/choices.js";
import { biolmai, codeButton, curl } from "../core/code.js";
import { h, notify } from "../core/dom.js";
import { entropyBits, probability, signed } from "../core/residues.js";
import { csv, download, pngOfSvg, svgText } from "../core/save.js";
import { track } from "../views/track.js";
import { logProbabilities } from "./work.js";

export const view = { id: "likelihood", title: "Likelihood", show };

const LOWEST = 10;
const MODES = [
  { id: "logProb", title: "ln p", about: "Natural logarithm of the probability of the residue that is there" },
  { id: "entropy", title: "Entropy", about: "How undecided the model is, in bits" },
];
const ABOUT = {
  logProb: "Bars hang from 0, the longer the less likely. Orange: the model finds another residue more likely.",
  entropy:
    "Bars rise from 0, certain, to at most 4.32 bits, all 20 amino acids alike. " +
    "Orange: the model finds another residue more likely.",
};

async function show(panel, work) {
  panel.replaceChildren(h("p", { class: "muted" }, "Computing…"), h("progress", { "aria-label": "Computing" }));
  const { logits, vocab_tokens: vocabulary } = await work.encoded();
  const rows = perResidue(work.sequence, logProbabilities(logits), vocabulary);
  const scored = rows.filter((row) => row.logProb !== null);
  const picture = h("div", { class: "track-box" });
  const legend = h("p", { class: "hint" });
  const readout = h("p", { class: "readout", "aria-live": "polite" });
  const tell = () => {
    const row = rows[work.selection.chosen];
    readout.textContent = row
      ? `${row.residue}${row.position}: ${about(row)}`
      : "Choose a residue to read its numbers.";
  };
  let mode = work.option("track", "logProb") === "entropy" ? "entropy" : "logProb";
  const draw = () => {
    legend.textContent = ABOUT[mode];
    picture.replaceChildren(drawn(work, rows, mode));
  };
  work.selection.addEventListener("choose", tell);
  panel.replaceChildren(
    h(
      "div",
      { class: "stack" },
      h(
        "div",
        { class: "row spread" },
        choices("Track", MODES, mode, (chosen) => {
          mode = chosen;
          work.remember("track", chosen);
          draw();
        }),
        actions(work, rows, picture),
      ),
      summary(scored),
      picture,
      readout,
      legend,
      h(
        "p",
        { class: "hint" },
        "One pass over the whole protein, nothing masked: the model sees the residue that it judges, so values are " +
          "higher than masked ones, and their sum is no true likelihood. Compare proteins of one length by it; " +
          "for single residues, Mutations is the better question.",
      ),
      h("div", { class: "columns likelihood-lists" }, lowest(work, scored), everything(work, rows)),
    ),
  );
  draw();
  tell();
}

function perResidue(sequence, logs, vocabulary) {
  return [...sequence].map((residue, at) => {
    const own = vocabulary.indexOf(residue);
    const best = logs[at].indexOf(Math.max(...logs[at]));
    return {
      position: at + 1,
      residue,
      logProb: own < 0 ? null : logs[at][own],
      best: vocabulary[best],
      bestLogProb: logs[at][best],
      entropy: entropyBits(logs[at].map(Math.exp)),
    };
  });
}

function about(row) {
  const own =
    row.logProb === null
      ? "not one of the 20 amino acids, no probability"
      : `ln p ${signed(row.logProb)}, p ${probability(Math.exp(row.logProb))}`;
  const best = `most likely ${row.best}, p ${probability(Math.exp(row.bestLogProb))}`;
  return `${own}; ${best}; entropy ${row.entropy.toFixed(2)} bit`;
}

function drawn(work, rows, mode) {
  const isEntropy = mode === "entropy";
  const lowest = Math.min(-1, ...rows.map((row) => row.logProb ?? 0));
  return track(
    rows.map((row) => ({
      label: `${row.residue}${row.position}`,
      value: row[mode],
      note: about(row),
      flag: row.best !== row.residue,
    })),
    {
      title: `${isEntropy ? "Entropy" : "Log-probability"} of every residue of ${work.record.id}`,
      unit: isEntropy ? "bits" : "ln p",
      range: isEntropy ? [0, Math.log2(20)] : [lowest, 0],
      selection: work.selection,
    },
  );
}

function summary(scored) {
  const total = scored.reduce((sum, row) => sum + row.logProb, 0);
  const mean = total / scored.length;
  const others = scored.filter((row) => row.best !== row.residue).length;
  if (!scored.length) return h("p", {}, "None of the residues is one of the 20 amino acids.");
  return h(
    "dl",
    { class: "facts" },
    h("dt", {}, "Sum of ln p"),
    h("dd", {}, `${signed(total)} over ${scored.length} residues (log_prob)`),
    h("dt", {}, "Mean"),
    h("dd", {}, `${signed(mean, 3)} per residue: a probability of ${probability(Math.exp(mean))} (geometric mean)`),
    h("dt", {}, "Prefers another"),
    h("dd", {}, `at ${others} of ${scored.length} positions`),
  );
}

function lowest(work, scored) {
  const rows = [...scored].sort((a, b) => a.logProb - b.logProb).slice(0, LOWEST);
  return h(
    "section",
    { class: "stack" },
    h("h3", {}, `The ${rows.length} least likely residues`),
    table(
      ["Residue", "ln p", "p", "Most likely"],
      rows.map((row) => [
        link(work, row),
        signed(row.logProb),
        probability(Math.exp(row.logProb)),
        `${row.best} ${probability(Math.exp(row.bestLogProb))}`,
      ]),
    ),
  );
}

function everything(work, rows) {
  return h(
    "section",
    { class: "stack" },
    h("h3", {}, "All residues"),
    h(
      "div",
      { class: "scroll list-scroll", tabindex: 0, role: "region", "aria-label": "All residues" },
      table(
        ["Residue", "ln p", "Most likely", "Entropy, bit"],
        rows.map((row) => [
          link(work, row),
          row.logProb === null ? "–" : signed(row.logProb),
          row.best,
          row.entropy.toFixed(2),
        ]),
      ),
    ),
  );
}

const link = (work, { residue, position }) =>
  h(
    "button",
    { type: "button", class: "ghost mono cell-link", onclick: () => work.selection.choose(position - 1) },
    `${residue}${position}`,
  );

function table(heads, rows) {
  return h(
    "table",
    {},
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        heads.map((text, at) => h("th", { scope: "col", class: at ? "number" : "" }, text)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((row) =>
        h(
          "tr",
          {},
          row.map((cell, at) => h("td", { class: at ? "number" : "mono" }, cell)),
        ),
      ),
    ),
  );
}

function actions(work, rows, picture) {
  const name = `${work.record.id}_likelihood`;
  const heads = ["position", "residue", "log_prob", "most_likely", "most_likely_log_prob", "entropy_bits"];
  const cells = rows.map((row) => [row.position, row.residue, row.logProb, row.best, row.bestLogProb, row.entropy]);
  const items = [{ sequence: work.sequence }];
  const drawing = () => picture.querySelector("svg");
  const png = async () => {
    try {
      download(`${name}.png`, await pngOfSvg(drawing()));
    } catch (error) {
      notify(error.message, "bad");
    }
  };
  return h(
    "div",
    { class: "row" },
    h("button", { type: "button", onclick: () => download(`${name}.csv`, csv([heads, ...cells]), "text/csv") }, "CSV"),
    h("button", { type: "button", onclick: png }, "PNG"),
    h("button", { type: "button", onclick: () => download(`${name}.svg`, svgText(drawing()), "image/svg+xml") }, "SVG"),
    codeButton(() => ({
      curl: curl(work.model.slug, "log_prob", items),
      "Python (esmkit)": [
        "import esmkit",
        "",
        `model = esmkit.load("${work.model.slug}")`,
        `print(model.log_prob("${work.sequence}"))`,
      ].join("\n"),
      "Python (biolmai)": biolmai(work.model.slug, "log_prob", items),
      CLI: `esmkit likelihood --sequence ${work.sequence} --model ${work.model.slug} --method log_prob`,
    })),
  );
}
