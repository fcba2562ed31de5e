// What the model would put where residues are hidden: choose them in the sequence, then predict.
import { h } from "../core/dom.js";
import { ranges, rangesText } from "../core/residues.js";
import { picker } from "../views/picker.js";
import { results } from "./masked_results.js";
import { masksOf } from "./masks.js";
import { predict } from "./prediction.js";

export const view = { id: "masked", title: "Masked prediction", show };
const SHARE = 0.15; // of the residues, as in training

async function show(panel, work) {
  const masks = masksOf(work);
  const letters = [...work.sequence];
  const found = h("div", { class: "stack masked-results", "aria-live": "polite" });
  const problem = h("p", { class: "error", role: "alert" });
  const facts = h("p", { class: "hint", "aria-live": "polite" });
  const button = h("button", { type: "button", class: "primary", onclick: run }, "Predict");
  const choose = picker(letters, {
    label: "Residues to mask; space masks or shows one, shift and arrow keys mask a stretch",
    ontoggle: (at) => {
      masks.toggle(at);
      work.selection.choose(at);
    },
    onstretch: (from, to) => masks.set([...masks.chosen, ...between(from, to)]),
  });
  let predicted = null;
  let running = null;

  function update() {
    choose.show(masks.chosen, work.selection.chosen);
    const count = masks.chosen.size;
    button.disabled = count === 0;
    const where = rangesText(masks.places.map((at) => at + 1)).replaceAll(",", ", ");
    const stale =
      predicted && predicted.sequence !== masks.sequence ? " The masks have changed since the prediction below." : "";
    facts.textContent = count
      ? `${count} of ${letters.length} masked: ${short(where)}.${stale}`
      : `No residue is masked.${stale}`;
  }
  async function run() {
    running?.abort();
    const stop = (running = new AbortController());
    problem.textContent = "";
    button.textContent = "Predicting…";
    try {
      predicted = await predict(work, masks, AbortSignal.any([work.signal, stop.signal]));
      found.replaceChildren(...results(work, predicted));
    } catch (error) {
      if (error.name !== "AbortError") problem.textContent = error.message;
    } finally {
      if (running === stop) button.textContent = "Predict";
      update();
    }
  }
  masks.addEventListener("change", update);
  work.selection.addEventListener("choose", update);
  panel.replaceChildren(
    h(
      "div",
      { class: "stack masked" },
      h(
        "p",
        { class: "hint" },
        "Click residues to hide them (shift-click for a stretch), then predict. All masks of a sequence are " +
          "predicted in one pass, each without knowing the others; every mask changes all numbers a little.",
      ),
      h("div", { class: "scroll picker-box" }, choose.element),
      h("div", { class: "row spread" }, tools(masks, letters, problem), h("div", { class: "row" }, button)),
      facts,
      problem,
      found,
    ),
  );
  found.replaceChildren(
    h(
      "div",
      { class: "empty" },
      h("p", {}, "The prediction appears here: a logo, and a table with the probabilities."),
    ),
  );
  update();
  if (masks.chosen.size) await run();
}

/** Ways to mask many at once, or none. */
function tools(masks, letters, problem) {
  const text = h("input", { type: "text", "aria-label": "Positions to mask", placeholder: "10-15, 20", size: 12 });
  const form = h("form", { class: "row", onsubmit: add }, text, h("button", { type: "submit" }, "Mask"));
  function add(event) {
    event.preventDefault();
    problem.textContent = "";
    try {
      masks.set([...masks.chosen, ...ranges(text.value, letters.length).map((position) => position - 1)]);
      text.value = "";
    } catch (error) {
      problem.textContent = error.message;
    }
  }
  return h(
    "div",
    { class: "row" },
    form,
    h("button", { type: "button", onclick: () => masks.set(random(letters.length)) }, "Mask random 15 %"),
    h("button", { type: "button", class: "ghost", onclick: () => masks.set([]) }, "Clear"),
  );
}

function random(count) {
  const places = Array.from({ length: count }, (_, at) => at);
  const wanted = Math.max(1, Math.round(SHARE * count));
  for (let at = 0; at < wanted; at += 1) {
    const other = at + Math.floor(Math.random() * (count - at));
    [places[at], places[other]] = [places[other], places[at]];
  }
  return places.slice(0, wanted);
}

const between = (from, to) => {
  const [low, high] = [Math.min(from, to), Math.max(from, to)];
  return Array.from({ length: high - low + 1 }, (_, at) => low + at);
};

const short = (text) => (text.length > 120 ? `${text.slice(0, 120)}…` : text);
