// One substitution, or one position, in words and numbers, beside the heat map.
import { copyText } from "../core/code.js";
import { h } from "../core/dom.js";
import { NAMES, VOCABULARY, probability, signed } from "../core/residues.js";
import { masksOf } from "./masks.js";

const ALIKE = 0.05; // scores nearer to 0 say nothing

/** The panel: {element, show(at, column), update(), at}; column null shows the position alone. */
export function details(work, scan, onpick) {
  const body = h("div", { class: "stack" });
  const said = h("p", { class: "visually-hidden", "aria-live": "polite" }); // once, while numbers below change in silence
  const element = h("section", { class: "details", "aria-label": "Chosen substitution" }, said, body);
  const panel = { element, at: null, column: null, show, update };

  function show(at, column) {
    Object.assign(panel, { at, column });
    update();
    said.textContent = column === null ? `${scan.sequence[at]}${at + 1} chosen` : meaning(scan, at, column);
  }
  /** Ranks change while the scan goes on. */
  function update() {
    const focused = element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    body.replaceChildren(...(panel.at === null ? nothing() : content(panel.at, panel.column)));
    if (focused) element.querySelector(`[data-key="${focused}"]`)?.focus();
  }
  function content(at, column) {
    const found = scan.position(at);
    const own = scan.sequence[at];
    const title = column === null ? `${own}${at + 1}` : scan.name(at, column);
    const words =
      column === null
        ? `${NAMES[own]} at position ${at + 1}`
        : `${NAMES[own]} to ${NAMES[VOCABULARY[column]]} at position ${at + 1}`;
    return [
      h("div", { class: "row" }, h("h3", { class: "mono" }, title), h("span", { class: "muted" }, words)),
      column === null ? null : substitution(scan, at, column, found),
      position(scan, at, found),
      h("p", { class: "hint" }, "Probability of all 20 here; choose one:"),
      bars(scan, at, found, column, onpick),
      h(
        "div",
        { class: "row" },
        column === null
          ? null
          : h(
              "button",
              { type: "button", data: { key: "copy" }, onclick: () => copyText(scan.mutant(at, column)) },
              "Copy mutant sequence",
            ),
        maskButton(work, at),
      ),
    ].filter(Boolean);
  }
  update();
  return panel;
}

const nothing = () => [
  h(
    "div",
    { class: "empty" },
    h("p", {}, "Choose a substitution in the map or in the table to see what its score means."),
  ),
];

function substitution(scan, at, column, found) {
  const score = scan.scores[at][column];
  const rank = scan.rank(score);
  const below = (100 * (scan.total - rank)) / Math.max(1, scan.total - 1);
  const here = found.others.findIndex((other) => other.column === column) + 1;
  const total = scan.total.toLocaleString("en");
  const soFar = scan.state === "done" ? "" : " so far";
  return h(
    "div",
    { class: "stack" },
    h("p", {}, meaning(scan, at, column)),
    h(
      "dl",
      { class: "facts" },
      h("dt", {}, "Score"),
      h("dd", {}, h("b", {}, signed(score, 3)), " ln p(new) − ln p(wild type)"),
      h("dt", {}, "Rank"),
      h(
        "dd",
        {},
        `${rank.toLocaleString("en")} of ${total}${soFar}; higher than ${below.toFixed(0)} % of them`,
      ),
      h("dt", {}, "At this position"),
      h("dd", {}, `${here} of 19`),
    ),
  );
}

function meaning(scan, at, column) {
  const score = scan.scores[at][column];
  const [own, other] = [scan.sequence[at], VOCABULARY[column]].map((letter) => NAMES[letter]);
  if (Math.abs(score) < ALIKE) return `The model finds ${other} about as likely here as ${own}.`;
  const times = Math.exp(Math.abs(score));
  const factor = times < 10 ? times.toFixed(1) : Math.round(times).toLocaleString("en");
  return `The model finds ${other} ${factor} times ${score < 0 ? "less" : "more"} likely here than ${own}.`;
}

function position(scan, at, found) {
  const lower = scan.scores.filter((row, other) => row && scan.mean(other) < found.mean).length;
  return h(
    "dl",
    { class: "facts" },
    h("dt", {}, "Mean of the position"),
    h("dd", {}, `${signed(found.mean)}; ${lower + 1} of ${scan.done} by sensitivity`),
    h("dt", {}, "Best here"),
    h("dd", {}, `${scan.name(at, found.best.column)} ${signed(found.best.score)}`),
    h("dt", {}, "Entropy"),
    h("dd", {}, `${found.entropy.toFixed(2)} bit (0: certain, 4.32: all 20 alike)`),
  );
}

/** The 20 amino acids, the most probable first; the height of a bar is its probability. */
function bars(scan, at, found, chosen, onpick) {
  const own = scan.own(at);
  const order = VOCABULARY.map((_, column) => column).sort((a, b) => found.probabilities[b] - found.probabilities[a]);
  const top = found.probabilities[order[0]];
  return h(
    "div",
    { class: "bars", role: "group", "aria-label": `Amino acids at position ${at + 1}` },
    order.map((column) => {
      const share = found.probabilities[column];
      const role = column === own ? "wild type" : `score ${signed(scan.scores[at][column])}`;
      const label = `${VOCABULARY[column]}: probability ${probability(share)}, ${role}`;
      return h(
        "button",
        {
          type: "button",
          class: column === own ? "own" : "",
          "aria-label": label,
          title: label,
          data: { key: `bar${column}` },
          "aria-pressed": String(column === chosen),
          onclick: () => onpick(at, column === own ? null : column),
        },
        h("span", { class: "bar-fill", style: { height: `${Math.max(1, (36 * share) / top)}px` } }),
        VOCABULARY[column],
      );
    }),
  );
}

function maskButton(work, at) {
  const masks = masksOf(work);
  return h(
    "button",
    {
      type: "button",
      data: { key: "mask" },
      onclick: () => {
        if (!masks.chosen.has(at)) masks.toggle(at);
        work.view("masked");
      },
    },
    "Mask this residue",
  );
}
