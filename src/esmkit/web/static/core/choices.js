// A few choices of which one holds, as buttons side by side.
import { h } from "./dom.js";

/** `entries` are [{id, title, about}]; `onchoose(id)` is told of another choice. */
export function choices(label, entries, chosen, onchoose) {
  const buttons = entries.map(({ id, title, about }) =>
    h(
      "button",
      { type: "button", title: about, onclick: () => choose(id), "aria-pressed": String(id === chosen), data: { id } },
      title,
    ),
  );
  function choose(id) {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.id === id));
    onchoose(id);
  }
  return h(
    "div",
    { class: "choice" },
    h("span", { class: "hint" }, label),
    h("div", { class: "segmented", role: "group", "aria-label": label }, buttons),
  );
}
