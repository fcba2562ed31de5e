// A part of the plane in a window: the same scale along both axes, moved and zoomed.

const MARGIN = 26;
const MOST_ZOOM = 400;

/** Which part of the plane is seen, in pixels of the window: y goes up. */
export class Plane {
  /** @param xs, ys coordinates of all points */
  constructor(xs, ys) {
    this.bounds = { left: Math.min(...xs), right: Math.max(...xs), low: Math.min(...ys), high: Math.max(...ys) };
    this.width = this.height = 1;
    this.fit();
  }

  /** Everything is seen. */
  fit() {
    const { left, right, low, high } = this.bounds;
    this.x = (left + right) / 2;
    this.y = (low + high) / 2;
    this.zoomed = 1;
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
  }

  /** Pixels of one unit. */
  get scale() {
    const { left, right, low, high } = this.bounds;
    const across = Math.max(this.width - 2 * MARGIN, 20) / (right - left || 1);
    const up = Math.max(this.height - 2 * MARGIN, 20) / (high - low || 1);
    return Math.min(across, up) * this.zoomed;
  }

  toWindow(x, y) {
    return [this.width / 2 + (x - this.x) * this.scale, this.height / 2 - (y - this.y) * this.scale];
  }

  fromWindow(left, top) {
    return [this.x + (left - this.width / 2) / this.scale, this.y - (top - this.height / 2) / this.scale];
  }

  /** Moves what is seen by pixels. */
  pan(right, down) {
    this.x -= right / this.scale;
    this.y += down / this.scale;
  }

  /** Zooms so that what lies at a place of the window stays there. */
  zoom(factor, left = this.width / 2, top = this.height / 2) {
    const [x, y] = this.fromWindow(left, top);
    this.zoomed = Math.min(MOST_ZOOM, Math.max(0.5, this.zoomed * factor));
    const [nowX, nowY] = this.fromWindow(left, top);
    this.x += x - nowX;
    this.y += y - nowY;
  }
}

/** Round numbers between two, about as many as asked for. */
export function ticks(low, high, count) {
  const rough = (0.7 * (high - low)) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((each) => each >= rough);
  const first = Math.ceil(low / step);
  const last = Math.floor(high / step);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  return Array.from({ length: last - first + 1 }, (_, at) => ({
    value: (first + at) * step,
    text: ((first + at) * step).toFixed(digits),
  }));
}

/** Whether a point lies inside of a polygon [[x, y], ...]. */
export function isInside(x, y, polygon) {
  let inside = false;
  polygon.forEach(([x1, y1], at) => {
    const [x2, y2] = polygon[(at + polygon.length - 1) % polygon.length];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
  });
  return inside;
}
