// The heat map as tables: the best and the worst substitutions, and every position.
import { choices } from "../core/choices.js";
import { h } from "../core/dom.js";
import { signed } from "../core/residues.js";

const COUNTS = [10, 25, 100];

/** {element, update()}; rows can be chosen. */
export function lists(scan, onpick) {
  let kind = "best";
  const count = h(
    "select",
    { "aria-label": "Rows", onchange: update },
    COUNTS.map((number) => h("option", { value: number }, `${number} rows`)),
  );
  const body = h("div", {
    class: "scroll list-scroll",
    tabindex: 0,
    role: "region",
    "aria-label": "Substitutions as a table",
  });
  const element = h(
    "section",
    { class: "stack" },
    h(
      "div",
      { class: "row spread" },
      choices(
        "Table",
        [
          { id: "best", title: "Best" },
          { id: "worst", title: "Worst" },
          { id: "positions", title: "Positions" },
        ],
        kind,
        (id) => {
          kind = id;
          update();
        },
      ),
      count,
    ),
    body,
  );
  let last = 0;
  let waiting = false;
  /** At most once in a second while the scan runs, so that nobody loses the row they are on. */
  function update() {
    const rest = scan.state === "running" ? 1000 - (performance.now() - last) : 0;
    if (rest > 0 && last) {
      if (!waiting) setTimeout(update, rest);
      waiting = true;
      return;
    }
    last = performance.now();
    waiting = false;
    body.replaceChildren(kind === "positions" ? positions() : substitutions());
  }
  function substitutions() {
    const all = scan.sorted();
    const wanted = Number(count.value);
    const rows = kind === "best" ? all.slice(0, wanted) : all.slice(-wanted).reverse();
    return table(
      ["Rank", "Substitution", "Score", "Mean here"],
      rows.map(({ at, column, score }) => [
        scan.rank(score).toLocaleString("en"),
        link(scan.name(at, column), at, column),
        signed(score, 3),
        signed(scan.mean(at)),
      ]),
    );
  }
  function positions() {
    const all = scan.scores.flatMap((row, at) => (row ? [scan.position(at)] : [])).sort((a, b) => a.mean - b.mean);
    return table(
      ["Position", "Mean", "Best here", "Entropy, bit"],
      all
        .slice(0, Number(count.value))
        .map(({ at, mean, best, entropy }) => [
          link(`${scan.sequence[at]}${at + 1}`, at, null),
          signed(mean, 3),
          link(`${scan.name(at, best.column)} ${signed(best.score)}`, at, best.column),
          entropy.toFixed(2),
        ]),
    );
  }
  const link = (text, at, column) =>
    h("button", { type: "button", class: "ghost mono cell-link", onclick: () => onpick(at, column) }, text);
  return { element, update };
}

function table(heads, rows) {
  const kind = (cell) => (typeof cell === "string" ? "number" : "");
  return h(
    "table",
    {},
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        heads.map((text, at) => h("th", { scope: "col", class: rows.length ? kind(rows[0][at]) : "" }, text)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.length
        ? rows.map((row) =>
            h(
              "tr",
              {},
              row.map((cell) => h("td", { class: kind(cell) }, cell)),
            ),
          )
        : h("tr", {}, h("td", { colspan: heads.length, class: "muted" }, "Nothing computed yet.")),
    ),
  );
}
