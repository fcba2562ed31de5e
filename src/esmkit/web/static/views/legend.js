// What the colours of a picture stand for.
import { css } from "../core/colour.js";
import { h } from "../core/dom.js";

const STOPS = 12;

/** A bar of colours with the numbers of its ends; `redraw` when the theme has changed. */
export function legend(colour, low, high, text) {
  const bar = h("span", { class: "legend-bar", "aria-hidden": "true" });
  const ends = [h("span", {}), h("span", {})];
  const element = h(
    "p",
    { class: "legend hint" },
    h("span", {}, text),
    h("span", { class: "legend-scale" }, ends[0], bar, ends[1]),
  );
  function redraw(newColour = colour, newLow = low, newHigh = high) {
    const stops = Array.from({ length: STOPS + 1 }, (_, at) =>
      css(newColour(newLow + ((newHigh - newLow) * at) / STOPS)),
    );
    bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    ends[0].textContent = short(newLow);
    ends[1].textContent = short(newHigh);
  }
  redraw();
  return { element, redraw };
}

const short = (value) => (value === 0 || Math.abs(value) >= 0.1 ? value.toFixed(2) : value.toPrecision(2));
