// A question that has to be answered before anything else happens.
import { h } from "./dom.js";

let count = 0;

/**
 * Asks; gives the `value` of the chosen one of `choices` [{label, value, kind}], null if it was closed without.
 * `kind` is "primary", "danger" or "ghost"; the first choice is focused. `body` are elements or texts.
 */
export function ask({ title, body, choices }) {
  count += 1;
  const heading = h("h2", { id: `dialog-${count}` }, title);
  return new Promise((resolve) => {
    let answer = null;
    const chosen = (value) => {
      answer = value;
      dialog.close();
    };
    const buttons = choices.map(({ label, value, kind = "" }) =>
      h("button", { type: "button", class: kind, onclick: () => chosen(value) }, label),
    );
    const dialog = h(
      "dialog",
      {
        class: "ask",
        "aria-labelledby": heading.id,
        onclose() {
          dialog.remove();
          resolve(answer);
        },
      },
      h("div", { class: "stack" }, heading, body, h("div", { class: "row" }, buttons)),
    );
    document.body.append(dialog);
    dialog.showModal();
    buttons[0].focus();
  });
}
