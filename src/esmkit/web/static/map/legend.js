// What the colours mean; groups can be hidden, and selected.
import { css } from "../core/colour.js";
import { h, svg } from "../core/dom.js";
import { outline } from "../views/shapes.js";

const STEPS = 24;

/** The legend of a chart: `onhide(group, isHidden)`, `ononly(group)` and `onselect(group)` are told what is clicked. */
export function legend(chart, { onhide, ononly, onselect }) {
  const { coding, hidden } = chart;
  const groups = coding.groups.filter((group) => coding.kind === "categories" || group.fill !== null);
  const list = h(
    "ul",
    { class: "legend-list" },
    groups.map((group) => entry(group, coding.groups.indexOf(group))),
  );
  return h(
    "div",
    { class: "stack legend" },
    coding.kind === "numbers" ? numberBar(coding) : null,
    groups.length ? list : null,
  );

  function entry(group, at) {
    const tick = h("input", { type: "checkbox", data: { group: at }, onchange: () => onhide(at, !tick.checked) });
    tick.checked = !hidden.has(at);
    const only = h(
      "button",
      {
        type: "button",
        class: "ghost",
        title: `Show only ${group.name}`,
        "aria-label": `Show only ${group.name}`,
        onclick: () => ononly(at),
      },
      "only",
    );
    const select = h(
      "button",
      {
        type: "button",
        class: "ghost",
        title: `Select all of ${group.name}`,
        "aria-label": `Select ${group.name}`,
        onclick: () => onselect(at),
      },
      "select",
    );
    const name = h(
      "label",
      { class: "grow" },
      tick,
      swatch(group),
      h("span", { class: "group-name", title: group.name }, group.name),
      h("span", { class: "muted" }, group.count.toLocaleString("en")),
    );
    return h("li", { class: "row" }, name, h("span", { class: "legend-buttons" }, only, select));
  }
}

/** A mark as in the picture. */
export function swatch({ fill, shape }) {
  return svg(
    "svg",
    { width: 16, height: 16, class: "swatch", "aria-hidden": "true" },
    svg("path", { d: outline(shape, 8, 8, 5), fill, stroke: "currentColor", "stroke-width": 0.5 }),
  );
}

function numberBar({ low, high, scale }) {
  const stops = Array.from({ length: STEPS }, (_, at) => css(scale(low + ((high - low) * at) / (STEPS - 1))));
  const bar = h("div", { class: "number-bar", style: { background: `linear-gradient(to right, ${stops.join(",")})` } });
  return h(
    "div",
    {},
    bar,
    h("div", { class: "row spread small" }, h("span", {}, shortNumber(low)), h("span", {}, shortNumber(high))),
    h("p", { class: "hint" }, "From the 1st to the 99th percentile."),
  );
}

/** A number with about four digits. */
export const shortNumber = (value) =>
  Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });
