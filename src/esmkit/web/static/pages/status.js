// The server has written the page; this keeps it fresh, draws latencies, and says so when the server cannot be reached.
import { frame, one } from "../core/dom.js";
import { timeChart } from "../views/timechart.js";
import { explorable } from "../views/uptime.js";

const refreshed = one("#refreshed");
const button = one("#refresh");
const intervalMs = frame.page.refresh_s * 1000;
const chosenDays = new Map();
let charts = [];
let goodAt = new Date();
let timer = null;
let isRunning = false;

/** Draws what the server does not: latencies; and makes bars explorable. */
function enliven(data) {
  for (const chart of charts) chart.remove();
  charts = data.models.flatMap((model) => {
    const box = document.querySelector(`.chart[data-model="${CSS.escape(model.slug)}"]`);
    return box ? [latencies(box, model)] : [];
  });
  for (const figure of document.querySelectorAll(".uptime")) {
    const { name } = figure.dataset;
    explorable(figure, chosenDays.get(name) ?? null, (at) => chosenDays.set(name, at));
  }
}

function latencies(box, { title, bars }) {
  const first = Math.max(
    0,
    bars.findIndex(({ p50_ms: median }) => median !== null),
  );
  const shown = bars.slice(Math.min(first, bars.length - 14));
  return timeChart(box, {
    days: shown.map(({ day }) => day),
    series: [
      { label: "median", values: shown.map((bar) => bar.p50_ms), colour: "--accent" },
      { label: "95th percentile", values: shown.map((bar) => bar.p95_ms), colour: "--warn", dash: [5, 4] },
    ],
    label: `Latency of ${title} by day; the table below has the numbers`,
    height: 160,
    format: milliseconds,
    formatAxis: milliseconds,
  });
}

const milliseconds = (value) => `${value.toLocaleString("en")} ms`;

/** Takes what the server says now in place of what is shown; what was open or focused stays so. */
async function refresh() {
  if (isRunning) return;
  isRunning = true;
  try {
    const response = await fetch(location.pathname, {
      headers: { Accept: "text/html" },
      signal: AbortSignal.timeout(20_000),
    });
    if (!response.ok) throw new Error(`status ${response.status}`);
    replace(new DOMParser().parseFromString(await response.text(), "text/html"));
    goodAt = new Date();
    say(true);
  } catch {
    say(false);
  } finally {
    isRunning = false;
    schedule();
  }
}

function replace(fresh) {
  const open = [...document.querySelectorAll("#live details[open]")].map(({ id }) => id);
  const focused = focusedFigure();
  const chosen = [...chosenDays]; // what is taken away loses the focus, and with it its day
  one("#live").replaceWith(document.adoptNode(one("#live", fresh)));
  for (const [name, at] of chosen) chosenDays.set(name, at);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  enliven(JSON.parse(one("#frame", fresh).textContent).page);
  if (focused)
    document.querySelector(`.uptime[data-name="${CSS.escape(focused)}"] svg`)?.focus({ preventScroll: true });
}

const focusedFigure = () => document.activeElement?.closest(".uptime")?.dataset.name;

function say(isGood) {
  const time = goodAt.toLocaleTimeString("en-GB");
  refreshed.classList.toggle("stale", !isGood);
  announce(isGood ? one("#overall").textContent : "The server cannot be reached.");
  refreshed.textContent = isGood
    ? `Last refreshed at ${time}; again every ${frame.page.refresh_s} s.`
    : `The server cannot be reached; what is shown is from ${time}.`;
}

/** Tells screen readers what has changed, and nothing every 30 s. */
function announce(text) {
  const place = one("#announced");
  if (place.textContent !== text) place.textContent = text;
}

/** Nothing is asked while nobody looks. */
function schedule() {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, intervalMs);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && Date.now() - goodAt > intervalMs) refresh();
  else schedule();
});
button.hidden = false;
button.addEventListener("click", refresh);
enliven(frame.page);
say(true);
schedule();
