// A sequence in blocks of ten; residues are chosen by clicks, shift-clicks for stretches, or arrow keys and space.
import { h } from "../core/dom.js";

const BLOCK = 10;

/**
 * A picker: `ontoggle(place)` for one residue, `onstretch(from, to)` for all between two, places from 0.
 * Gives {element, show(chosen, marked)}: a Set of the chosen places, and one that is pointed out or null.
 */
export function picker(letters, { label, ontoggle, onstretch }) {
  const options = letters.map((letter, at) =>
    h(
      "span",
      {
        role: "option",
        "aria-label": `${letter}${at + 1}`,
        "aria-selected": "false",
        tabindex: at ? -1 : 0,
        data: { at },
      },
      letter,
    ),
  );
  const blocks = [];
  for (let start = 0; start < letters.length; start += BLOCK) {
    const inside = options.slice(start, start + BLOCK);
    blocks.push(
      h(
        "div",
        { class: "block", role: "group", "aria-label": `${start + 1} to ${start + inside.length}` },
        h("span", { class: "number", "aria-hidden": "true" }, start + 1),
        inside,
      ),
    );
  }
  const element = h(
    "div",
    { class: "picker", role: "listbox", "aria-multiselectable": "true", "aria-label": label },
    blocks,
  );
  let here = 0;

  function go(at) {
    options[here].tabIndex = -1;
    here = Math.max(0, Math.min(options.length - 1, at));
    options[here].tabIndex = 0;
    options[here].focus();
  }
  function perLine() {
    const top = blocks[0].offsetTop;
    const inLine = blocks.findIndex((block) => block.offsetTop !== top);
    return BLOCK * (inLine < 0 ? blocks.length : inLine);
  }
  function key(event) {
    const steps = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -perLine(),
      ArrowDown: perLine(),
      Home: -here,
      End: options.length - 1 - here,
    };
    if (event.key === " " || event.key === "Enter") ontoggle(here);
    else if (event.key in steps) {
      const before = here;
      go(here + steps[event.key]);
      if (event.shiftKey) onstretch(before, here);
    } else return;
    event.preventDefault();
  }
  element.addEventListener("keydown", key);
  element.addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault()); // selects no text
  element.addEventListener("click", (event) => {
    if (event.target.dataset.at === undefined) return;
    const before = here;
    const at = Number(event.target.dataset.at);
    go(at);
    if (event.shiftKey) onstretch(before, at);
    else ontoggle(at);
  });
  function show(chosen, marked = null) {
    options.forEach((option, at) => {
      option.setAttribute("aria-selected", String(chosen.has(at)));
      option.classList.toggle("marked", at === marked);
    });
  }
  return { element, show };
}
