// What every single substitution would do, by the model: a heat map that fills as it is computed.
import { choices } from "../core/choices.js";
import { css, diverging } from "../core/colour.js";
import { h } from "../core/dom.js";
import { KINDS, VOCABULARY, signed } from "../core/residues.js";
import { heatmap } from "../views/heatmap.js";
import { actions } from "./mutation_files.js";
import { lists } from "./mutation_lists.js";
import { METHODS, Scan } from "./scan.js";
import { details } from "./substitution.js";

export const view = { id: "mutations", title: "Mutations", show };

const ORDERS = [
  { id: "sequence", title: "Sequence" },
  { id: "sensitive", title: "Most sensitive", about: "Lowest mean over the 19 substitutions first" },
  { id: "best", title: "Best substitution", about: "Highest single score first" },
];
const ROWS = [
  { id: "kinds", title: "By kind" },
  { id: "letters", title: "A–Z" },
];
const ABOUT = {
  masked_marginal:
    "Each position is hidden behind a mask in turn; the score compares how likely the model finds both residues there.",
  wt_marginal: "One pass over the whole protein, nothing masked: quick, but the model sees the residue that it judges.",
};

async function show(panel, work) {
  const odd = [...work.sequence].flatMap((residue, at) =>
    VOCABULARY.includes(residue) ? [] : [`${residue}${at + 1}`],
  );
  if (odd.length) {
    panel.replaceChildren(refusal(odd));
    return;
  }
  const scans = {};
  const open = (method) => {
    scans[method] ??= new Scan(work, method);
    const shown = new AbortController();
    const signal = AbortSignal.any([work.signal, shown.signal]);
    const onmethod = (other) => {
      shown.abort();
      scans[method].stop();
      work.remember("method", other);
      open(other);
    };
    panel.replaceChildren(scanned(work, scans[method], { onmethod, signal }));
    scans[method].start();
    return scans[method];
  };
  const wanted = work.option("method");
  const scan = open(Object.hasOwn(METHODS, wanted) ? wanted : "masked_marginal");
  if (scan.state === "running")
    await new Promise((resolve) => {
      scan.addEventListener("progress", () => scan.state !== "running" && resolve());
    });
}

/** The API would say the same; here all places are named at once. */
function refusal(odd) {
  const shown = odd.slice(0, 12).join(", ") + (odd.length > 12 ? ` and ${odd.length - 12} more` : "");
  return h(
    "div",
    { class: "empty" },
    h("p", {}, h("b", {}, `This protein has residues that are none of the 20 amino acids: ${shown}.`)),
    h(
      "p",
      {},
      "A score compares with the residue that is there, and these have no probability. Replace them in the sequence; " +
        "or see Masked prediction, which takes X, B, Z, U and O.",
    ),
  );
}

/** Listens as long as `signal` lasts. */
function scanned(work, scan, { onmethod, signal }) {
  // A link may hold anything.
  const known = (name, entries) => (entries.find(({ id }) => id === work.option(name)) ?? entries[0]).id;
  const chosen = { order: known("order", ORDERS), rows: known("rows", ROWS) };
  const panel = details(work, scan, (at, column) => pick(at, column));
  const map = heatmap(scan, {
    about: (at, column) => about(scan, at, column),
    onpick: (at, column) => pick(at, column),
    label: `Scores of all substitutions of ${work.record.id}. Arrow keys move, Enter chooses.`,
    signal,
  });
  const tables = lists(scan, (at, column) => pick(at, column));
  const scale = legend();
  const progress = progressLine(scan);
  const arrangement = () => ({ columns: columnsOf(scan, chosen.order), rows: rowsOf(chosen.rows) });
  const set = (name) => (value) => {
    chosen[name] = value;
    work.remember(name, value);
    map.arrange(arrangement());
  };
  function pick(at, column) {
    const kept = column === null || column === scan.own(at) ? null : column;
    work.remember("substitution", { of: work.record.id, at, residue: VOCABULARY[kept] ?? null });
    panel.show(at, kept);
    map.pick({ at, column: kept });
    if (work.selection.chosen !== at) work.selection.choose(at);
  }
  function update() {
    progress.update();
    scale.update(scan.limit());
    map.arrange(arrangement());
    tables.update();
    panel.update();
  }
  scan.addEventListener("progress", update, { signal });
  const follow = ({ detail }) => detail !== null && detail !== panel.at && scan.scores[detail] && pick(detail, null);
  work.selection.addEventListener("choose", follow, { signal });
  const element = h(
    "div",
    { class: "stack mutations" },
    h(
      "div",
      { class: "row controls" },
      choices(
        "Method",
        Object.entries(METHODS).map(([id, title]) => ({ id, title, about: ABOUT[id] })),
        scan.method,
        onmethod,
      ),
      choices("Amino acids", ROWS, chosen.rows, set("rows")),
      choices("Positions", ORDERS, chosen.order, set("order")),
    ),
    h("div", { class: "row spread" }, progress.element, actions(work, scan, arrangement)),
    map.element,
    scale.element,
    h(
      "p",
      { class: "hint" },
      `${ABOUT[scan.method]} Score = ln p(new) − ln p(wild type); dots are the wild type, bars below the mean of a ` +
        "position. A model's expectation, not a measurement.",
    ),
    h("div", { class: "columns" }, panel.element, tables.element),
  );
  update();
  restore(work, scan, pick, signal);
  return element;
}

/** Chooses again what the link has, as soon as it is computed. */
function restore(work, scan, pick, signal) {
  const saved = work.option("substitution", null);
  if (saved?.of !== work.record.id || !(saved.at >= 0 && saved.at < scan.length)) return;
  const again = () => {
    if (!scan.scores[saved.at]) return;
    scan.removeEventListener("progress", again);
    const column = VOCABULARY.indexOf(saved.residue);
    pick(saved.at, column < 0 ? null : column);
  };
  scan.addEventListener("progress", again, { signal });
  again();
}

function about(scan, at, column) {
  const place = `${scan.sequence[at]}${at + 1}`;
  if (!scan.scores[at]) return `${place}: not computed yet`;
  if (column === null) return `${place}: mean ${signed(scan.mean(at))}`;
  if (column === scan.own(at)) return `${place}: the wild type, 0`;
  const score = scan.scores[at][column];
  const total = scan.total.toLocaleString("en");
  const rank = `rank ${scan.rank(score).toLocaleString("en")} of ${total}${scan.state === "done" ? "" : " so far"}`;
  return `${scan.name(at, column)}  ${signed(score)}  (${rank})`;
}

/** Places from left to right; those without scores stay at the end. */
function columnsOf(scan, order) {
  const all = Array.from({ length: scan.length }, (_, at) => at);
  if (order === "sequence") return all;
  const keys = all.map((at) => {
    if (!scan.scores[at]) return Infinity;
    return order === "sensitive"
      ? scan.mean(at)
      : -Math.max(...scan.scores[at].filter((_, column) => column !== scan.own(at)));
  });
  return all.sort((a, b) => keys[a] - keys[b] || a - b);
}

function rowsOf(order) {
  if (order === "letters")
    return [...VOCABULARY].sort().map((letter) => ({ column: VOCABULARY.indexOf(letter), gap: false }));
  return KINDS.flatMap(({ residues }, group) =>
    residues.map((letter, at) => ({ column: VOCABULARY.indexOf(letter), gap: group > 0 && at === 0 })),
  );
}

function progressLine(scan) {
  const text = h("span", {});
  const bar = h("progress", { max: scan.length, value: 0, "aria-label": "Positions computed" });
  const button = h(
    "button",
    { type: "button", onclick: () => (scan.state === "running" ? scan.stop() : scan.start()) },
    "Stop",
  );
  const problem = h("span", { class: "error", role: "alert" });
  function update() {
    const count = `${scan.done} of ${scan.length} positions`;
    const left = scan.secondsLeft;
    text.textContent =
      {
        running: `${count}${left === null ? "" : `, about ${duration(left)} left`}`,
        done: `All ${scan.length} positions, ${scan.total.toLocaleString("en")} substitutions`,
        stopped: `Stopped after ${count}`,
        failed: `Interrupted after ${count}`,
      }[scan.state] ?? "";
    bar.value = scan.done;
    bar.hidden = scan.state === "done";
    button.hidden = scan.state === "done";
    button.textContent = scan.state === "running" ? "Stop" : "Continue";
    problem.textContent = scan.state === "failed" ? scan.error.message : "";
  }
  return {
    element: h("div", { class: "row progress-line", role: "status", "aria-live": "off" }, text, bar, button, problem),
    update,
  };
}

const duration = (seconds) =>
  seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;

function legend() {
  const bar = h("div", { class: "scale-bar", "aria-hidden": "true" });
  const ticks = h("div", { class: "scale-ticks" });
  function update(limit) {
    const colour = diverging(limit);
    const stops = Array.from({ length: 21 }, (_, at) => css(colour(-limit + (at * limit) / 10)));
    bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    ticks.replaceChildren(...[-1, -0.5, 0, 0.5, 1].map((share) => h("span", {}, signed(share * limit, 1))));
  }
  const element = h(
    "div",
    { class: "scale-legend" },
    h("div", { class: "ends" }, h("span", {}, "← less likely than the wild type"), h("span", {}, "more likely →")),
    bar,
    ticks,
  );
  return { element, update };
}
