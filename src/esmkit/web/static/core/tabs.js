// Tabs as the ARIA practices describe them: arrow keys move, the chosen panel alone is shown.
import { h } from "./dom.js";

/**
 * Tabs over panels: `entries` are [{id, title}]. `onchoose(id)` is told when another one is shown.
 * Gives {list, panels: {id: element}, choose(id), mark(id, "" | "busy" | "ready" | "failed")}.
 */
export function tabs(label, entries, onchoose = () => {}) {
  const buttons = {};
  const panels = {};
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": label });
  for (const { id, title } of entries) {
    buttons[id] = h(
      "button",
      { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": `panel-${id}`, onclick: () => choose(id) },
      title,
      h("span", { class: "dot" }),
    );
    panels[id] = h("section", { role: "tabpanel", id: `panel-${id}`, "aria-labelledby": `tab-${id}`, hidden: true });
    list.append(buttons[id]);
  }
  const ids = entries.map((entry) => entry.id);
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = ids.findIndex((id) => buttons[id] === document.activeElement);
    const next = ids[(at + step + ids.length) % ids.length];
    choose(next);
    buttons[next].focus();
    event.preventDefault();
  });
  function choose(chosen) {
    for (const id of ids) {
      buttons[id].setAttribute("aria-selected", String(id === chosen));
      buttons[id].tabIndex = id === chosen ? 0 : -1;
      panels[id].hidden = id !== chosen;
    }
    onchoose(chosen);
  }
  const words = { busy: "computing", ready: "ready", failed: "failed" };
  function mark(id, state) {
    const dot = buttons[id].querySelector(".dot");
    dot.className = `dot ${state}`;
    dot.title = words[state] ?? "";
  }
  return { list, panels, choose, mark };
}
