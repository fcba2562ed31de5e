// The list of contacts, and how often it is right.
import { h } from "../core/dom.js";
import { MOST_LISTED, RANGES, TOPS } from "./contact_pairs.js";

export const MOST_SHOWN = 100;

/**
 * A table of pairs, one of which is reached by Tab and the others by arrow keys. Gives {element, show(pairs, about),
 * mark(i, j)}.
 */
export function listOf({ onchoose, onpoint }) {
  const title = h("h3", { "aria-live": "polite" });
  const body = h("tbody", {});
  const distance = h("th", { class: "number", scope: "col", hidden: true }, "Å");
  const head = h(
    "tr",
    {},
    h("th", { scope: "col" }, "Pair"),
    h("th", { class: "number", scope: "col" }, "Probability"),
    h("th", { class: "number", scope: "col" }, "|i − j|"),
    distance,
  );
  const table = h("table", { class: "contact-list" }, h("thead", {}, head), body);
  const element = h(
    "div",
    { class: "stack" },
    title,
    h("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "List of contacts" }, table),
  );

  function show(shown, { count, threshold, separation, hasStructure }) {
    const kept = count > MOST_LISTED ? `the first ${MOST_LISTED.toLocaleString("en")}` : "all";
    const rest = count > MOST_SHOWN ? `, the first ${MOST_SHOWN} shown; ${kept} are in the CSV` : "";
    title.textContent = `${count.toLocaleString("en")} ${count === 1 ? "pair" : "pairs"} with p ≥ ${threshold.toFixed(2)} and |i − j| ≥ ${separation}${rest}`;
    distance.hidden = !hasStructure;
    const none = h("tr", {}, h("td", { colspan: 4, class: "muted" }, "No pair is above the threshold; lower it."));
    body.replaceChildren(...(shown.length ? shown.map((pair, at) => row(pair, at, hasStructure)) : [none]));
  }
  function row(pair, at, hasStructure) {
    const away = pair.away === undefined || Number.isNaN(pair.away) ? "–" : pair.away.toFixed(1);
    const button = h(
      "button",
      { type: "button", class: "ghost mono", tabindex: at ? -1 : 0, onclick: () => onchoose(pair) },
      `${pair.first} – ${pair.second}`,
    );
    return h(
      "tr",
      {
        onpointerenter: () => onpoint(pair),
        onpointerleave: () => onpoint(null),
        data: { pair: `${pair.i}-${pair.j}` },
      },
      h("td", {}, button),
      h("td", { class: "number" }, pair.p.toFixed(3)),
      h("td", { class: "number" }, String(pair.j - pair.i)),
      hasStructure ? h("td", { class: `number ${pair.away < 8 ? "hit" : ""}` }, away) : null,
    );
  }
  body.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const buttons = [...body.querySelectorAll("button")];
    const next = buttons[buttons.indexOf(document.activeElement) + step];
    event.preventDefault();
    if (!next) return;
    for (const button of buttons) button.tabIndex = button === next ? 0 : -1;
    next.focus();
    next.click();
  });
  function mark(i, j) {
    for (const each of body.rows) each.classList.toggle("chosen", i !== null && each.dataset.pair === `${i}-${j}`);
  }
  return { element, show, mark };
}

const NAMES = { all: "all, 6 or more", short: "short, 6 to 11", medium: "medium, 12 to 23", long: "long, 24 or more" };

/** The precision per range and top, as elements. */
export function precisionTable(found) {
  const share = (value) => h("td", { class: "number" }, value === null ? "–" : `${(value * 100).toFixed(1)} %`);
  const heads = [...Object.keys(TOPS), "chance"];
  return [
    h("h3", {}, "How many of the most probable pairs touch in the structure"),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Precision" },
      h(
        "table",
        { class: "precision" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, "|i − j|"),
            heads.map((name) => h("th", { class: "number", scope: "col" }, name)),
          ),
        ),
        h(
          "tbody",
          {},
          Object.keys(RANGES).map((name) =>
            h(
              "tr",
              { data: { range: name } },
              h("th", { scope: "row" }, NAMES[name]),
              heads.map((head) => share(found[name][head])),
            ),
          ),
        ),
      ),
    ),
    h(
      "p",
      { class: "hint" },
      "L is the length of the protein: the L, L/2 and L/5 most probable pairs of each range. Chance: the share of all pairs that touch.",
    ),
  ];
}
