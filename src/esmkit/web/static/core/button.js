// Buttons, and rows of them of which one is pressed.
import { h } from "./dom.js";

/** A button; `more` are further attributes. */
export const button = (text, onclick, more = {}) => h("button", { type: "button", onclick, ...more }, text);

/** One of several: `choices` are {value: title}. Gives {element, press(value)}; `onpick(value)` is told of clicks. */
export function segmented(label, choices, onpick) {
  const buttons = Object.entries(choices).map(([value, title]) =>
    button(title, () => onpick(value), { data: { value }, "aria-pressed": "false" }),
  );
  const element = h("div", { class: "segmented", role: "group", "aria-label": label }, buttons);
  function press(value) {
    for (const each of buttons) each.setAttribute("aria-pressed", String(each.dataset.value === value));
  }
  return { element, press };
}
