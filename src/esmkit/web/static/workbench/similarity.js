// How near the embeddings of the proteins given are to each other.
import { css, diverging, inkOn, sequential } from "../core/colour.js";
import { h } from "../core/dom.js";
import { csv, download } from "../core/save.js";
import { centred, cosines } from "./vectors.js";

const LEAST_CENTRED = 3;

/** Cosines of all pairs as a table, and the nearest of `own`; text on what to do where there is one protein only. */
export function similarity(work, vectors, own) {
  const names = work.records.map(({ id }) => id);
  if (vectors.length < 2) {
    return h("p", { class: "hint" }, "Give more than one protein to see how near their embeddings are.");
  }
  const canCentre = vectors.length >= LEAST_CENTRED;
  const isCentred = h("input", {
    type: "checkbox",
    disabled: !canCentre,
    checked: canCentre && work.option("embedding.centred", false),
  });
  const place = h("div", { class: "stack" });
  let shown = [];
  function draw() {
    shown = cosines(isCentred.checked ? centred(vectors) : vectors);
    place.replaceChildren(nearest(names, shown[own], own), table(names, shown, isCentred.checked));
  }
  isCentred.addEventListener("change", () => {
    work.remember("embedding.centred", isCentred.checked);
    draw();
  });
  draw();
  const save = () =>
    download(
      "cosine_similarity.csv",
      csv([["id", ...names], ...names.map((name, at) => [name, ...shown[at]])]),
      "text/csv",
    );
  return h(
    "section",
    { class: "stack", "aria-label": "Similarity" },
    h(
      "div",
      { class: "row spread" },
      h("h3", {}, "Cosine similarity"),
      h(
        "div",
        { class: "row" },
        h("label", {}, isCentred, "Centred on the mean of these"),
        h("button", { type: "button", onclick: save, "aria-label": "CSV of similarities" }, "CSV"),
      ),
    ),
    place,
    h(
      "p",
      { class: "hint" },
      "Mean embeddings of one model all point in much the same direction: high cosines, often above 0.9, are normal, also between proteins that have nothing in common. Compare them with each other rather than with 1",
      canCentre
        ? ", or take away what these proteins share."
        : `; with ${LEAST_CENTRED} proteins or more, what they share can be taken away.`,
    ),
  );
}

function nearest(names, row, own) {
  const order = names
    .map((_, at) => at)
    .filter((at) => at !== own && row[at] !== null)
    .sort((a, b) => row[b] - row[a]);
  if (!order.length) return h("p", {}, "This vector has no direction to compare.");
  return h(
    "p",
    {},
    `Nearest to ${names[own]}: `,
    h("b", {}, names[order[0]]),
    ` (${row[order[0]].toFixed(3)})`,
    order.length > 1
      ? `, then ${order
          .slice(1)
          .map((at) => `${names[at]} (${row[at].toFixed(3)})`)
          .join(", ")}.`
      : ".",
  );
}

function table(names, rows, isCentred) {
  const others = rows.flatMap((row, i) => row.filter((value, j) => i !== j && value !== null));
  const scale = isCentred ? diverging(1) : sequential(Math.min(...others, 0.99) - 0.01, 1);
  const cell = (value) => {
    if (value === null) return h("td", { class: "cell" }, "–");
    const colour = scale(value);
    return h("td", { class: "cell", style: { background: css(colour), color: inkOn(colour) } }, value.toFixed(3));
  };
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Cosine similarity of all pairs" },
    h(
      "table",
      { class: "similarity" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("td", {}),
          names.map((name) => h("th", { scope: "col", title: name }, name)),
        ),
      ),
      h(
        "tbody",
        {},
        names.map((name, at) => h("tr", {}, h("th", { scope: "row", title: name }, name), rows[at].map(cell))),
      ),
    ),
  );
}
