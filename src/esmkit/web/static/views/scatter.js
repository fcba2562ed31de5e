// Points in the plane on a canvas: moved and zoomed by pointer, wheel, two fingers and keys; circled with a lasso.
import { themed } from "../core/colour.js";
import { h } from "../core/dom.js";
import { gestures } from "./gestures.js";
import { Plane, isInside, ticks } from "./plane.js";
import { trace } from "./shapes.js";
import { tip } from "./tip.js";

const NEAR_PX = 12;
const STEP_PX = 60;
const TICK_PX = 110;

/**
 * A scatter plot. `onchoose(point | null)` is told of clicks, `onlasso(points, {add})` of what was circled,
 * `about(point)` gives the text of the tip.
 *
 * Gives {element, place(points), look(looks), mark(marks), mode("move" | "lasso"), zoom(factor), fit(), radius()}:
 * points are {xs, ys, hasScale}, looks {fills, shapes, shown}, marks {selected: Set, chosen, near: [points]}.
 */
export function scatter({ label, describedBy, onchoose, onlasso, about }) {
  const canvas = h("canvas", {
    class: "scatter",
    role: "img",
    tabindex: 0,
    "aria-label": label,
    "aria-describedby": describedBy,
  });
  const element = h("div", { class: "scatter-box" }, canvas);
  const pointer = tip();
  let points = { xs: [], ys: [], hasScale: true };
  let plane = new Plane([0, 1], [0, 1]);
  let looks = { fills: [], shapes: [], shown: [] };
  let marks = { selected: new Set(), chosen: null, near: [] };
  let lasso = [];
  let colours = null;
  let isAsked = false;

  function redraw() {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => {
      isAsked = false;
      draw();
    });
  }
  function draw() {
    const ratio = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = element;
    if (!width || !height) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    plane.resize(width, height);
    colours ??= { ink: themed("--ink"), muted: themed("--muted"), line: themed("--line"), accent: themed("--accent") };
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    if (points.hasScale) drawGrid(context, plane, colours);
    drawLinks(context);
    drawPoints(context);
    drawLasso(context);
  }
  const radius = () => (points.xs.length > 800 ? 3.2 : 4.4) * Math.min(1.8, Math.max(0.8, plane.zoomed ** 0.2));
  const at = (point) => plane.toWindow(points.xs[point], points.ys[point]);

  function drawPoints(context) {
    const some = marks.selected.size > 0;
    const size = radius();
    const shown = points.xs.map((_, point) => point).filter((point) => looks.shown[point]);
    const isStrong = (point) => !some || marks.selected.has(point);
    for (const strong of [false, true]) {
      context.globalAlpha = strong ? 0.92 : 0.22;
      for (const point of shown) if (isStrong(point) === strong) drawPoint(context, point, size, strong && some);
    }
    context.globalAlpha = 1;
    if (marks.chosen !== null) {
      drawPoint(context, marks.chosen, size * 1.4, true);
      context.beginPath();
      context.arc(...at(marks.chosen), size * 2.4, 0, 2 * Math.PI);
      Object.assign(context, { strokeStyle: colours.ink, lineWidth: 2 });
      context.stroke();
    }
  }
  function drawPoint(context, point, size, isOutlined) {
    context.beginPath();
    trace(context, looks.shapes[point], ...at(point), size);
    context.fillStyle = looks.fills[point];
    context.fill();
    Object.assign(context, {
      strokeStyle: isOutlined ? colours.ink : colours.muted,
      lineWidth: isOutlined ? 1.4 : 0.5,
    });
    context.stroke();
  }
  function drawLinks(context) {
    if (marks.chosen === null) return;
    context.beginPath();
    for (const other of marks.near) {
      context.moveTo(...at(marks.chosen));
      context.lineTo(...at(other));
    }
    Object.assign(context, { strokeStyle: colours.accent, lineWidth: 1.2 });
    context.stroke();
  }
  function drawLasso(context) {
    if (lasso.length < 2) return;
    context.beginPath();
    lasso.forEach(([x, y], number) => context[number ? "lineTo" : "moveTo"](x, y));
    context.setLineDash([5, 4]);
    Object.assign(context, { strokeStyle: colours.ink, lineWidth: 1.5 });
    context.stroke();
    context.setLineDash([]);
  }

  /** The shown point next to a place of the window; null if none is near. */
  function nearest(x, y) {
    let best = null;
    let least = NEAR_PX ** 2;
    points.xs.forEach((_, point) => {
      if (!looks.shown[point]) return;
      const [px, py] = at(point);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance <= least) [best, least] = [point, distance];
    });
    return best;
  }
  const acts = gestures(canvas, {
    hover(x, y, event) {
      const point = nearest(x, y);
      canvas.classList.toggle("on-point", point !== null);
      if (point === null) pointer.hide();
      else pointer.show(event, about(point));
    },
    leave: () => pointer.hide(),
    click: (x, y) => onchoose(nearest(x, y)),
    pan(right, down) {
      pointer.hide();
      plane.pan(right, down);
      redraw();
    },
    zoom(factor, x, y) {
      pointer.hide();
      plane.zoom(factor, x, y);
      redraw();
    },
    lasso(path) {
      lasso = path;
      redraw();
    },
    lassoed(path, add) {
      lasso = [];
      const inside = points.xs
        .map((_, point) => point)
        .filter((point) => looks.shown[point] && isInside(...at(point), path));
      onlasso(inside, { add });
      redraw();
    },
  });
  canvas.addEventListener("keydown", (event) => {
    const step = {
      ArrowLeft: [STEP_PX, 0],
      ArrowRight: [-STEP_PX, 0],
      ArrowUp: [0, STEP_PX],
      ArrowDown: [0, -STEP_PX],
    }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step) plane.pan(...step);
    else if (event.key === "+" || event.key === "=") plane.zoom(1.3);
    else if (event.key === "-") plane.zoom(1 / 1.3);
    else if (event.key === "0") plane.fit();
    else if (event.key === "Escape") onlasso([], { add: false });
    else return;
    event.preventDefault();
    redraw();
  });
  new ResizeObserver(redraw).observe(element);
  document.addEventListener("themechange", () => {
    colours = null;
    redraw();
  });

  return {
    element,
    radius,
    place(given) {
      points = given;
      plane = new Plane(given.xs, given.ys);
      marks = { selected: new Set(), chosen: null, near: [] };
      redraw();
    },
    look(given) {
      looks = given;
      redraw();
    },
    mark(given) {
      marks = given;
      redraw();
    },
    mode: acts.mode,
    zoom(factor) {
      plane.zoom(factor);
      redraw();
    },
    fit() {
      plane.fit();
      redraw();
    },
    /** Where a point is, in pixels of the element. */
    at,
    /** What is seen now. */
    seen: () => plane,
  };
}

function drawGrid(context, plane, colours) {
  const [left, high] = plane.fromWindow(0, 0);
  const [right, low] = plane.fromWindow(plane.width, plane.height);
  Object.assign(context, {
    strokeStyle: colours.line,
    lineWidth: 1,
    fillStyle: colours.muted,
    font: "11px system-ui, sans-serif",
  });
  for (const { value, text } of ticks(left, right, plane.width / TICK_PX)) {
    const [x] = plane.toWindow(value, 0);
    line(context, x, 0, x, plane.height);
    context.fillText(text, x + 3, plane.height - 5);
  }
  for (const { value, text } of ticks(low, high, plane.height / TICK_PX)) {
    const [, y] = plane.toWindow(0, value);
    line(context, 0, y, plane.width, y);
    context.fillText(text, 4, y - 3);
  }
}

function line(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}
