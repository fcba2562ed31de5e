// Variants in the wells of plates of 96, coloured by value; order lists and FASTA to keep.
import { css, inkOn, sequential } from "../core/colour.js";
import { h } from "../core/dom.js";
import { roving } from "../core/roving.js";
import { csv, download } from "../core/save.js";
import { markedSequence, short } from "./notation.js";

const ROWS = "ABCDEFGH";
const COLUMNS = 12;
const WELLS = ROWS.length * COLUMNS;

/** The plates; `rows` are [{mutant, sequence, value}], the best first. `onchoose(index)` is told of wells. */
export function plates(rows, { name, parent, valueLabel, onchoose = () => {} }) {
  const order = h(
    "select",
    { "aria-label": "Filled" },
    h("option", { value: "columns" }, "down the columns"),
    h("option", { value: "rows" }, "along the rows"),
  );
  const control = h("input", { type: "checkbox", checked: true });
  const holder = h("div", { class: "stack" });
  const about = h("p", { class: "well-about", "aria-live": "polite" }, "Choose a well to see its variant.");
  const low = Math.min(...rows.map(({ value }) => value));
  const high = Math.max(...rows.map(({ value }) => value));
  const colour = sequential(low, high);

  function contents() {
    const wildType = { mutant: "WT", sequence: parent, value: null, index: null };
    const listed = rows.map((row, index) => ({ ...row, index }));
    return (control.checked ? [wildType, ...listed] : listed).map((each, at) => ({
      ...each,
      ...place(at, order.value),
    }));
  }
  function draw() {
    const all = contents();
    const number = Math.ceil(all.length / WELLS);
    holder.replaceChildren(
      ...Array.from({ length: number }, (_, at) =>
        drawn(
          all.filter(({ plate }) => plate === at + 1),
          at + 1,
          number,
        ),
      ),
    );
  }
  function drawn(wells, plate, number) {
    const byName = new Map(wells.map((each) => [each.well, each]));
    const head = h(
      "tr",
      {},
      h("td", {}),
      Array.from({ length: COLUMNS }, (_, at) => h("th", { scope: "col" }, at + 1)),
    );
    const body = [...ROWS].map((letter) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, letter),
        Array.from({ length: COLUMNS }, (_, at) => h("td", {}, well(`${letter}${at + 1}`, byName))),
      ),
    );
    const table = h(
      "table",
      { class: "plate" },
      h("caption", { class: number > 1 ? "" : "visually-hidden" }, `Plate ${plate}`),
      h("thead", {}, head),
      h("tbody", {}, body),
    );
    roving(table, "button").renew();
    return h("div", { class: "scroll" }, table);
  }
  function well(at, byName) {
    const found = byName.get(at);
    if (!found)
      return h("button", { type: "button", class: "well vacant", "aria-label": `${at}: empty`, tabindex: -1 });
    const isControl = found.index === null;
    const paint = isControl ? null : colour(found.value);
    const style = isControl ? {} : { background: css(paint), color: inkOn(paint), borderColor: css(paint) };
    const label = isControl
      ? `${at}: wild type`
      : `${at}: rank ${found.index + 1}, ${found.mutant}, ${short(found.value)}`;
    const button = h(
      "button",
      { type: "button", class: "well", "aria-label": label, style, tabindex: -1 },
      isControl ? "WT" : found.index + 1,
    );
    button.addEventListener("click", () => tell(found));
    button.addEventListener("focus", () => tell(found));
    return button;
  }
  function tell(found) {
    const value = found.value === null ? "" : ` · ${valueLabel} ${short(found.value)}`;
    about.replaceChildren(
      h("b", {}, `${found.well}: ${found.mutant}`),
      `${value} · `,
      markedSequence(parent, found.sequence),
    );
    if (found.index !== null) onchoose(found.index);
  }
  const table = () => [
    ["plate", "well", "rank", "mutant", valueLabel.replaceAll(" ", "_"), "sequence"],
    ...contents().map((each) => [
      each.plate,
      each.well,
      each.index === null ? "" : each.index + 1,
      each.mutant,
      each.value,
      each.sequence,
    ]),
  ];
  const fasta = () =>
    contents()
      .map((each) => `>plate${each.plate}_${each.well} ${each.mutant}\n${each.sequence}\n`)
      .join("");
  order.addEventListener("change", draw);
  control.addEventListener("change", draw);
  draw();
  return h(
    "div",
    { class: "stack plates" },
    h(
      "div",
      { class: "row spread" },
      h(
        "div",
        { class: "row" },
        h("label", {}, "Filled ", order),
        h("label", {}, control, "Wild type in the first well"),
      ),
      h(
        "div",
        { class: "row" },
        h(
          "button",
          { type: "button", onclick: () => download(`${name}_plate.csv`, csv(table()), "text/csv") },
          "Plate CSV",
        ),
        h("button", { type: "button", onclick: () => download(`${name}_plate.fasta`, fasta()) }, "Plate FASTA"),
      ),
    ),
    about,
    holder,
    h(
      "p",
      { class: "hint" },
      `Numbers are ranks; darker wells have a higher ${valueLabel} (${short(low)} to ${short(high)}).`,
    ),
  );
}

/** Plate from 1 and well of what comes `at`, from 0. */
function place(at, order) {
  const within = at % WELLS;
  const [row, column] =
    order === "rows"
      ? [Math.floor(within / COLUMNS), within % COLUMNS]
      : [within % ROWS.length, Math.floor(within / ROWS.length)];
  return { plate: Math.floor(at / WELLS) + 1, well: `${ROWS[row]}${column + 1}` };
}
