// The cells, axes and rings of a square map: on a canvas, and as SVG.
import { h } from "../core/dom.js";

const EDGE = { left: 54, top: 10, right: 12, bottom: 40 };
const INK = { ink: "#17212b", muted: "#55636f", ground: "#ffffff" };
const ON_WHITE = { "--good": "#1b6e38", "--warn": "#7d5200", "--bad": "#a8231b", "--accent": "#0b6670" };
const PAPER = { width: 900, ratio: 2 };

const sideOf = (width) => width - EDGE.left - EDGE.right;
const heightOf = (width) => sideOf(width) + EDGE.top + EDGE.bottom;
const onWhite = (name) => ON_WHITE[name] ?? INK.ink;

export const layout = { EDGE, sideOf, heightOf };

/**
 * Draws a map: `cells` is a canvas with a pixel per cell, `view` {x, y, span} what is seen of it, `marks` are cells to
 * ring, `colours` {ink, muted, named(custom property)}.
 */
export function plot(context, width, { cells, size, view, axis, marks }, colours) {
  const side = sideOf(width);
  context.imageSmoothingEnabled = side * (devicePixelRatio || 1) < view.span;
  context.imageSmoothingQuality = "high";
  context.drawImage(cells, view.x, view.y, view.span, view.span, EDGE.left, EDGE.top, side, side);
  inside(context, side, () => rings(context, side, view, marks, colours.named));
  context.strokeStyle = colours.muted;
  context.strokeRect(EDGE.left - 0.5, EDGE.top - 0.5, side + 1, side + 1);
  const stroke = (x1, y1, x2, y2) => {
    context.beginPath();
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
    context.stroke();
  };
  const style = { fillStyle: colours.ink, font: "12px system-ui, sans-serif", textBaseline: "middle" };
  axes(side, { size, view, axis }, stroke, (text, x, y, align, turned) => {
    context.save();
    context.translate(x, y);
    if (turned) context.rotate(-Math.PI / 2);
    Object.assign(context, style, { textAlign: align });
    context.fillText(text, 0, 0);
    context.restore();
  });
}

/** Draws within the map only. */
export function inside(context, side, work) {
  context.save();
  context.beginPath();
  context.rect(EDGE.left, EDGE.top, side, side);
  context.clip();
  work();
  context.restore();
}

function rings(context, side, view, marks, colourOf) {
  const cell = side / view.span;
  const room = Math.max(cell, 4);
  context.lineWidth = 1.5;
  for (const { row, column, colour } of marks) {
    context.strokeStyle = colourOf(colour);
    const [x, y] = [EDGE.left + (column + 0.5 - view.x) * cell, EDGE.top + (row + 0.5 - view.y) * cell];
    context.strokeRect(x - room / 2, y - room / 2, room, room);
  }
}

function axes(side, { size, view, axis }, stroke, write) {
  const cell = side / view.span;
  const step = niceStep(view.span);
  for (let position = Math.ceil((Math.min(view.x, view.y) + 1) / step) * step; position <= size; position += step) {
    const [x, y] = [view.x, view.y].map((from) => (position - 0.5 - from) * cell);
    if (x > 0 && x < side) {
      stroke(EDGE.left + x, EDGE.top + side, EDGE.left + x, EDGE.top + side + 5);
      write(String(position), EDGE.left + x, EDGE.top + side + 13, "center");
    }
    if (y > 0 && y < side) {
      stroke(EDGE.left - 5, EDGE.top + y, EDGE.left, EDGE.top + y);
      write(String(position), EDGE.left - 8, EDGE.top + y, "right");
    }
  }
  write(`${axis} j`, EDGE.left + side / 2, EDGE.top + side + 30, "center");
  write(`${axis} i`, 7, EDGE.top + side / 2, "center", true);
}

function niceStep(span) {
  const rough = span / 8;
  const power = 10 ** Math.floor(Math.log10(rough));
  const steps = [1, 2, 5, 10].map((factor) => factor * power);
  return Math.max(
    1,
    steps.find((step) => step >= rough),
  );
}

/** The same map on white, as a canvas of its own. */
export function paper(map) {
  const { width, ratio } = PAPER;
  const copy = h("canvas", { width: width * ratio, height: heightOf(width) * ratio });
  const context = copy.getContext("2d");
  context.scale(ratio, ratio);
  context.fillStyle = INK.ground;
  context.fillRect(0, 0, width, heightOf(width));
  plot(context, width, map, { ...INK, named: onWhite });
  return copy;
}

/** The same map on white, as the text of an SVG file: cells as an image, all else as lines and letters. */
export function svgOf(title, { cells, size, view, axis, marks }) {
  const side = sideOf(PAPER.width);
  const cell = side / view.span;
  const [left, top] = [Math.floor(view.x), Math.floor(view.y)];
  const count = Math.ceil(view.span) + 1;
  const part = h("canvas", { width: count, height: count });
  part.getContext("2d").drawImage(cells, -left, -top);
  const box = `x="${EDGE.left}" y="${EDGE.top}" width="${side}" height="${side}"`;
  const at = (column, row) => `x="${EDGE.left + (column - view.x) * cell}" y="${EDGE.top + (row - view.y) * cell}"`;
  const sized = (number) => `width="${number * cell}" height="${number * cell}"`;
  const lines = [
    `<clipPath id="map"><rect ${box}/></clipPath><g clip-path="url(#map)">`,
    `<image ${at(left, top)} ${sized(count)} style="image-rendering:pixelated" preserveAspectRatio="none" `,
    `href="${part.toDataURL()}"/>`,
    ...marks.map(
      ({ row, column, colour }) =>
        `<rect ${at(column, row)} ${sized(1)} fill="none" stroke="${onWhite(colour)}" stroke-width="1.5"/>`,
    ),
    `</g><rect ${box} fill="none" stroke="${INK.muted}"/>`,
  ];
  const stroke = (x1, y1, x2, y2) => {
    lines.push(`<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${INK.muted}"/>`);
  };
  axes(side, { size, view, axis }, stroke, (text, x, y, align, turned) => {
    const anchor = { center: "middle", right: "end" }[align];
    const turn = turned ? ` transform="rotate(-90 ${x} ${y})"` : "";
    const place = `x="${x}" y="${y}" text-anchor="${anchor}" dominant-baseline="central"`;
    lines.push(`<text ${place}${turn}>${escaped(text)}</text>`);
  });
  const root = `xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PAPER.width} ${heightOf(PAPER.width)}"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>\n',
    `<svg ${root} font-family="system-ui, sans-serif" font-size="12" fill="${INK.ink}">`,
    `<title>${escaped(title)}</title><rect width="100%" height="100%" fill="${INK.ground}"/>`,
    ...lines,
    "</svg>\n",
  ].join("");
}

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
