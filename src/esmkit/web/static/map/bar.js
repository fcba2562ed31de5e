// The controls above a map: what the colours are, what dragging does, how near one is, and what is looked for.
import { button, segmented } from "../core/button.js";
import { debounced, h } from "../core/dom.js";

const ZOOM = 1.4;

/**
 * The controls of a chart. `does` has oncolour(column, kind | null), onmode("move" | "lasso"), onzoom(factor), onfit(),
 * onselect(points). Gives {element, refresh()}, for when the colours have changed.
 */
export function bar(chart, does) {
  const colours = h("select", { id: "colour", onchange: () => does.oncolour(colours.value, null) });
  const kinds = segmented("Read the column as", { categories: "categories", numbers: "numbers" }, (kind) =>
    does.oncolour(colours.value, kind),
  );
  const modes = segmented("What dragging does", { move: "Move", lasso: "Lasso" }, (mode) => {
    modes.press(mode);
    does.onmode(mode);
  });
  modes.press("move");
  const zooms = [
    button("+", () => does.onzoom(ZOOM), { "aria-label": "Zoom in" }),
    button("−", () => does.onzoom(1 / ZOOM), { "aria-label": "Zoom out" }),
    button("All", () => does.onfit(), { title: "Show all points" }),
  ];
  const element = h(
    "div",
    { class: "row spread map-bar" },
    h("div", { class: "row" }, h("label", {}, "Colour", colours), kinds.element),
    h("div", { class: "row" }, modes.element, h("div", { class: "row zooms" }, zooms)),
    finder(chart, does.onselect),
  );
  function refresh() {
    colours.replaceChildren(...chart.columns.map((column) => h("option", { value: column }, column)));
    colours.value = chart.column;
    kinds.element.hidden = !chart.canBoth;
    kinds.press(chart.coding.kind);
  }
  return { element, refresh };
}

/** Finds proteins by any of their words, and selects them. */
function finder(chart, onselect) {
  const select = button("Select", null, { type: "submit", disabled: true });
  const text = h("input", {
    type: "search",
    "aria-label": "Find proteins by name or column",
    placeholder: "Find…",
    oninput: debounced(() => {
      const count = chart.matches(text.value).length;
      select.disabled = !count;
      select.textContent = text.value.trim() ? `Select ${count}` : "Select";
    }),
  });
  function submit(event) {
    event.preventDefault();
    const found = chart.matches(text.value);
    if (found.length) onselect(found);
  }
  return h("form", { class: "row", role: "search", onsubmit: submit }, text, select);
}
