// Numbers by day, as lines or as stacked bars; the axes and what stands under the pointer come from uPlot.
import { themed } from "../core/colour.js";
import { debounced, h } from "../core/dom.js";
import uPlot from "../vendor/uPlot-1.6.32.esm.js";
import { tip } from "./tip.js";

/**
 * Draws into `box`. `days` are "2026-01-31" in order, `series` [{label, values, colour}] with null where there is
 * nothing; `colour` may be the name of a custom property. With `stacked`, values stand on top of each other. Gives {remove()}.
 */
export function timeChart(
  box,
  { days, series, label, height = 190, stacked = false, format = plain, formatAxis = compact },
) {
  const times = days.map((day) => Date.parse(`${day}T00:00:00Z`) / 1000);
  const columns = stacked ? sums(series, days.length) : series.map(({ values }) => values);
  const pointer = tip();
  const canvas = h("div", { role: "img", "aria-label": label });
  const watched = new AbortController();
  let chart = null;
  let width = 0;

  function draw() {
    width = box.clientWidth;
    if (!width) return;
    chart?.destroy();
    // Sums lie over each other, so the largest is drawn first.
    const order = stacked ? [...series.keys()].reverse() : [...series.keys()];
    const drawn = order.map((at) => (stacked ? bars(series[at]) : line(series[at], columns[at])));
    chart = new uPlot(options(drawn), [times, ...order.map((at) => columns[at])], canvas);
  }
  function options(drawn) {
    const [ink, grid] = [themed("--muted"), themed("--line")];
    const axis = {
      stroke: ink,
      grid: { stroke: grid, width: 1 },
      ticks: { stroke: grid, width: 1 },
      font: "12px system-ui, sans-serif",
    };
    return {
      width,
      height,
      legend: { show: false },
      tzDate: (time) => uPlot.tzDate(new Date(time * 1e3), "UTC"),
      cursor: { drag: { x: false, y: false }, y: false, points: { show: !stacked } },
      scales: {
        x: { range: (_, low, high) => [low - 43_200, high + 43_200] },
        y: { range: (_, __, high) => [0, (high || 1) * 1.08] },
      },
      axes: [
        {
          ...axis,
          values: (_, splits) => splits.map(shortDay),
          space: 64,
          incrs: [1, 2, 7, 14, 30, 90].map((count) => count * 86_400),
        },
        { ...axis, values: (_, splits) => splits.map(formatAxis), size: 58 },
      ],
      series: [{}, ...drawn],
      hooks: { setCursor: [shown] },
    };
  }
  function shown(plot) {
    const { idx, left, top } = plot.cursor;
    if (idx == null || left < 0) return pointer.hide();
    const texts = series
      .filter(({ values }) => values[idx] != null)
      .map((each) => `${each.label} ${format(each.values[idx])}`);
    const place = plot.over.getBoundingClientRect();
    return pointer.show({ clientX: place.left + left, clientY: place.top + top }, [days[idx], ...texts].join(" · "));
  }
  const legend = series.length > 1 ? h("ul", { class: "legend" }, series.map(key)) : null;
  box.replaceChildren(...[canvas, legend].filter(Boolean));
  canvas.addEventListener("pointerleave", () => pointer.hide());
  const resized = debounced(() => box.clientWidth !== width && draw(), 100);
  const observer = new ResizeObserver(resized);
  observer.observe(box);
  document.addEventListener("themechange", draw, { signal: watched.signal });
  draw();
  return {
    remove() {
      observer.disconnect();
      watched.abort();
      chart?.destroy();
      pointer.remove();
    },
  };
}

const colourOf = ({ colour }) => (colour.startsWith("--") ? themed(colour) : colour);

function line(each, values) {
  // A day between two without data would be no line at all.
  const alone = values.flatMap((value, at) =>
    value !== null && values[at - 1] == null && values[at + 1] == null ? [at] : [],
  );
  const points = { show: true, filter: () => alone, size: 7, fill: colourOf(each), stroke: colourOf(each) };
  return { label: each.label, stroke: colourOf(each), width: 2, points, dash: each.dash };
}

function bars(each) {
  return {
    label: each.label,
    stroke: colourOf(each),
    fill: colourOf(each),
    width: 0,
    points: { show: false },
    paths: uPlot.paths.bars({ size: [0.8, 40], gap: 1 }),
  };
}

function sums(series, count) {
  const total = new Array(count).fill(0);
  return series.map(({ values }) => values.map((value, at) => (total[at] += value ?? 0)));
}

function key(each) {
  const mark = h("span", {
    class: "mark",
    style: { background: each.colour.startsWith("--") ? `var(${each.colour})` : each.colour },
  });
  return h("li", {}, mark, each.label);
}

const plain = (value) => value.toLocaleString("en");
const compact = (value) => value.toLocaleString("en", { notation: "compact" });
const shortDay = (time) =>
  new Date(time * 1e3).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
