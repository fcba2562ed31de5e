// Something that takes a while: a button that starts it, one that stops it, and the place for what comes of it.
import { h } from "./dom.js";

/**
 * The parts: {buttons, results, start(), clear(), enable(is)}.
 * `work(signal, progress)` gives {element, said}, `said` for those who do not see it; `progress(text, done, all)` tells how
 * far it is. `refused(error)` is what an error says to people; `empty` are the children of the place before there is anything.
 */
export function job(work, { action, label, empty, refused = (error) => error.message }) {
  const begin = h("button", { type: "button", class: "primary", onclick: start }, action);
  const stop = h("button", { type: "button", hidden: true, onclick: () => running?.abort() }, "Stop");
  const status = h("span", { class: "visually-hidden", role: "status" });
  const results = h("section", { class: "panel stack results", "aria-label": label });
  let running = null;
  let isEnabled = true;

  function enable(is) {
    isEnabled = is;
    begin.disabled = !is || running !== null;
  }
  function clear() {
    results.replaceChildren(h("div", { class: "empty" }, empty()));
  }
  function progress(text, done, all) {
    results.replaceChildren(h("p", { class: "muted" }, text), h("progress", { value: done, max: all }));
  }
  async function start() {
    running = new AbortController();
    stop.hidden = false;
    status.textContent = "";
    enable(isEnabled);
    try {
      const { element, said } = await work(running.signal, progress);
      results.replaceChildren(element);
      status.textContent = said;
    } catch (error) {
      if (error.name === "AbortError") clear();
      else results.replaceChildren(h("p", { class: "error", role: "alert" }, refused(error)));
    } finally {
      running = null;
      stop.hidden = true;
      enable(isEnabled);
    }
  }
  clear();
  return { buttons: [begin, stop, status], results, start, clear, enable };
}
