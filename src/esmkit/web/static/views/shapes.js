// The marks of points: outlines as polygons around 0, all of about the same area, for canvas and SVG alike.

const OUTLINES = {
  square: [
    [-0.88, -0.88],
    [0.88, -0.88],
    [0.88, 0.88],
    [-0.88, 0.88],
  ],
  triangle: [
    [0, -1.25],
    [1.15, 0.85],
    [-1.15, 0.85],
  ],
  diamond: [
    [0, -1.3],
    [1.15, 0],
    [0, 1.3],
    [-1.15, 0],
  ],
};

/** Adds a mark to the path of a canvas. */
export function trace(context, shape, x, y, radius) {
  if (shape === "circle") {
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 2 * Math.PI);
    return;
  }
  OUTLINES[shape].forEach(([dx, dy], at) => context[at ? "lineTo" : "moveTo"](x + dx * radius, y + dy * radius));
  context.closePath();
}

/** The same as the `d` of an SVG path. */
export function outline(shape, x, y, radius) {
  const of = (value) => value.toFixed(2);
  if (shape === "circle") {
    const half = (across) => `a${radius} ${radius} 0 1 0 ${across} 0`;
    return `M${of(x - radius)} ${of(y)}${half(2 * radius)}${half(-2 * radius)}z`;
  }
  return `M${OUTLINES[shape].map(([dx, dy]) => `${of(x + dx * radius)} ${of(y + dy * radius)}`).join("L")}z`;
}
