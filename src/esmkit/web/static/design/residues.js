// The residues of a protein as buttons: pressed ones may change. Clicks, or arrow keys and space; Shift takes a range.
import { h } from "../core/dom.js";
import { roving } from "../core/roving.js";

const BLOCK = 10;

/**
 * The grid: `onchange(places)` is told which may change (a Set of places from 0), `onpoint(place)` which one has the
 * focus.
 * Gives {element, draw({sequence, offset, places, restricted})}; `restricted` is a Map from places to their residues.
 */
export function residueGrid(onchange, onpoint) {
  const element = h("div", { class: "residues", role: "group", "aria-label": "Residues that may change" });
  const moving = roving(element, "button");
  let places = new Set();
  let last = null;
  let drawn = "";

  element.addEventListener("click", (event) => {
    const at = Number(event.target.closest("button")?.dataset.at ?? NaN);
    if (Number.isNaN(at)) return;
    const to = !places.has(at);
    const from = event.shiftKey && last !== null ? last : at;
    for (let each = Math.min(from, at); each <= Math.max(from, at); each += 1)
      to ? places.add(each) : places.delete(each);
    last = at;
    onchange(places);
  });
  element.addEventListener("focusin", (event) => {
    const at = event.target.closest("button")?.dataset.at;
    if (at !== undefined) onpoint(Number(at));
  });

  function draw(shown) {
    places = shown.places;
    if (drawn !== `${shown.offset} ${shown.sequence}`) build(shown);
    for (const button of element.querySelectorAll("button")) mark(button, shown);
  }
  function build({ sequence, offset }) {
    const buttons = [...sequence].map((residue, at) =>
      h(
        "button",
        { type: "button", data: { at }, tabindex: -1 },
        residue,
        at === 0 || (at + 1) % BLOCK === 0
          ? h("span", { class: "place", "aria-hidden": "true" }, at + 1 + offset)
          : null,
      ),
    );
    const blocks = [];
    for (let at = 0; at < buttons.length; at += BLOCK)
      blocks.push(h("span", { class: "block" }, buttons.slice(at, at + BLOCK)));
    element.replaceChildren(...blocks);
    drawn = `${offset} ${sequence}`;
    last = null;
    if (buttons.length) moving.renew();
  }
  function mark(button, { sequence, offset, restricted }) {
    const at = Number(button.dataset.at);
    const own = restricted.get(at);
    button.setAttribute("aria-pressed", String(places.has(at)));
    button.setAttribute("aria-label", `${sequence[at]}${at + 1 + offset}${own ? `, only to ${own}` : ""}`);
    button.classList.toggle("restricted", Boolean(own));
  }
  return { element, draw };
}
