// Long work that can be seen and stopped.
import { h } from "./dom.js";

const TICK_MS = 250;
const MOST_SHOWN = 0.97; // an estimate never says that it is done

/**
 * Runs `work(signal, reached)` while `place` shows what is done, for how long, and a button that stops it.
 *
 * `expected_s` is an estimate, or 0 for none, `isMost` says that it will rather be less; work in steps calls
 * `reached(done, all)` instead.
 * Gives what the work gives; null if it was stopped. Errors are shown, and give null.
 */
export async function waiting(place, text, work, { expected_s = 0, isMost = false } = {}) {
  const stop = new AbortController();
  const begun = performance.now();
  const bar = h("progress", { max: 1, "aria-label": text });
  const time = h("span", { class: "muted small" });
  const button = h("button", { type: "button", onclick: () => stop.abort() }, "Stop");
  place.replaceChildren(
    h(
      "div",
      { class: "stack waiting" },
      h("div", { class: "row spread" }, h("span", { role: "status" }, text), h("span", { class: "row" }, time, button)),
      bar,
    ),
  );
  let steps = "";
  const reached = (done, all) => {
    steps = `${done} of ${all}, `;
    bar.value = done / all;
  };
  const tick = () => {
    const seconds = (performance.now() - begun) / 1000;
    const estimate = ` of ${isMost ? "up to about" : "about"} ${duration(expected_s)}`;
    time.textContent = `${steps}${seconds.toFixed(0)} s${expected_s && !steps ? estimate : ""}`;
    if (expected_s && !steps) bar.value = Math.min(MOST_SHOWN, seconds / expected_s);
  };
  tick();
  const timer = setInterval(tick, TICK_MS);
  try {
    const found = await work(stop.signal, reached);
    place.replaceChildren();
    return found;
  } catch (error) {
    if (error.name === "AbortError")
      place.replaceChildren(h("p", { class: "muted", role: "status" }, "Stopped; nothing was kept."));
    else place.replaceChildren(h("p", { class: "error", role: "alert" }, error.message.replace(/^params__\w+: /, "")));
    return null;
  } finally {
    clearInterval(timer);
  }
}

/** Brings what was found into view where it lies below the window, as on phones. */
export function reveal(element) {
  if (element.getBoundingClientRect().top > innerHeight * 0.7) element.scrollIntoView({ block: "start" });
}

/** A duration for people. */
export function duration(seconds) {
  if (seconds < 1.5) return "a second";
  if (seconds < 90) return `${Math.ceil(seconds)} seconds`;
  if (seconds < 5400) return `${Math.ceil(seconds / 60)} minutes`;
  return `${(seconds / 3600).toFixed(1)} hours`;
}
