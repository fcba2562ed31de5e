// What colours and shapes stand for: categories or numbers of one column.
import { GROUPS, NO_GROUP, css, viridis } from "../core/colour.js";

export const SHAPES = ["circle", "square", "triangle", "diamond"];
const MISSING = new Set(["", "na", "n/a", "nan", "null", "-", "?"]);
const SHARE_OF_NUMBERS = 0.9;
const MOST_CLASSES = 12;

const isMissing = (text) => text === null || text === undefined || MISSING.has(String(text).trim().toLowerCase());
const number = (text) => (isMissing(text) || !Number.isFinite(Number(text)) ? null : Number(text));

/** Whether cells are "numbers" or "categories", and whether both would do; the rule of `esmkit map`. */
export function understood(cells) {
  const said = cells.filter((cell) => !isMissing(cell));
  const numbers = said.filter((cell) => number(cell) !== null);
  const canBoth = said.length > 0 && numbers.length >= SHARE_OF_NUMBERS * said.length;
  return { kind: canBoth && new Set(numbers.map(Number)).size > MOST_CLASSES ? "numbers" : "categories", canBoth };
}

/**
 * How points look: {kind, groups, fills, shapes, group} with a fill and a shape per point, and the number of its group.
 * Groups are [{name, count, fill, shape}], the largest first; of numbers there are two, "numbers" and "missing", and
 * `low`, `high`, `scale`.
 */
export function coded(cells, kind) {
  return kind === "numbers" ? codedNumbers(cells) : codedCategories(cells);
}

function codedNumbers(cells) {
  const values = cells.map(number);
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))] ?? 0;
  const [low, high] = [at(0.01), at(0.99)];
  const scale = viridis(low, high);
  const group = values.map((value) => (value === null ? 1 : 0));
  const missing = values.length - sorted.length;
  const groups = [{ name: "numbers", count: sorted.length, fill: null, shape: "circle" }];
  if (missing) groups.push({ name: "missing", count: missing, fill: NO_GROUP, shape: "circle" });
  return {
    kind: "numbers",
    low,
    high,
    scale,
    groups,
    group,
    fills: values.map((value) => (value === null ? NO_GROUP : css(scale(value)))),
    shapes: values.map(() => "circle"),
  };
}

function codedCategories(cells) {
  const names = cells.map((cell) => (isMissing(cell) ? null : String(cell).trim()));
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const ordered = [...counts.keys()].sort(
    (a, b) => (a === null) - (b === null) || counts.get(b) - counts.get(a) || compare(a, b),
  );
  const most = GROUPS.length * SHAPES.length;
  const groups = ordered.map((name, at) => ({
    name: name ?? "missing",
    count: counts.get(name),
    fill: name === null || at >= most ? NO_GROUP : GROUPS[at % GROUPS.length],
    shape: name === null || at >= most ? "circle" : SHAPES[Math.floor(at / GROUPS.length)],
  }));
  const places = new Map(ordered.map((name, at) => [name, at]));
  const group = names.map((name) => places.get(name));
  return {
    kind: "categories",
    groups,
    group,
    fills: group.map((at) => groups[at].fill),
    shapes: group.map((at) => groups[at].shape),
  };
}

const compare = (a, b) => String(a).localeCompare(String(b), "en", { numeric: true });
