// A set of proteins with the map that the server made of it, and what of it is looked at.
import { coded, understood } from "./coding.js";

const MOST_CATEGORIES_AT_FIRST = 40;
export const CLUSTER = "cluster";
export const LENGTH = "length";

export class Chart {
  /**
   * @param set what was read: {records, columns}
   * @param layout the answer of the action `map`: {coordinates, axes, explained, nearest}
   * @param about {model, method} as asked
   */
  constructor(set, layout, about) {
    Object.assign(this, { records: set.records, own: set.columns, layout, about, clusters: null });
    this.xs = layout.coordinates.map(([x]) => x);
    this.ys = layout.coordinates.map(([, y]) => y ?? 0);
    this.selected = new Set();
    this.chosen = null;
    this.hidden = new Set();
  }

  get size() {
    return this.records.length;
  }

  /** Names of what points can be coloured by. */
  get columns() {
    return [...(this.clusters ? [CLUSTER] : []), ...this.own, LENGTH];
  }

  /** What a point has in a column, as text, or a number for the length. */
  cell(point, column) {
    const { sequence, values } = this.records[point];
    if (column === CLUSTER && this.clusters) return this.clusters[point];
    if (column === LENGTH && !this.own.includes(LENGTH)) return sequence.length;
    return values[column] ?? "";
  }

  cells(column) {
    return this.records.map((_, point) => this.cell(point, column));
  }

  /** The column that says most at first sight: the first with a few groups. */
  firstColumn() {
    const isGood = (column) => {
      const cells = this.cells(column);
      const groups = new Set(cells).size;
      return understood(cells).kind === "categories"
        ? groups > 1 && groups <= Math.min(MOST_CATEGORIES_AT_FIRST, this.size / 2)
        : column !== LENGTH;
    };
    return this.own.find(isGood) ?? LENGTH;
  }

  /** Colours by a column; `kind` is "numbers", "categories", or null for what its cells look like. */
  colour(column, kind = null) {
    const cells = this.cells(column);
    const { kind: guessed, canBoth } = understood(cells);
    this.column = column;
    this.canBoth = canBoth && column !== CLUSTER;
    this.coding = coded(
      column === CLUSTER ? cells.map((name) => (name === "noise" ? "" : name)) : cells,
      column === CLUSTER ? "categories" : (this.canBoth && kind) || guessed,
    );
    if (column === CLUSTER)
      this.coding.groups.filter(({ name }) => name === "missing").forEach((group) => (group.name = "noise"));
    this.hidden.clear();
  }

  /** Whether each point is shown, by the groups of the legend. */
  get shown() {
    return this.coding.group.map((group) => !this.hidden.has(group));
  }

  /** Points of a group. */
  members(group) {
    return this.coding.group.flatMap((each, point) => (each === group ? [point] : []));
  }

  /** Points whose name or any column holds a text, whatever its case. */
  matches(text) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return [];
    const says = (point) => [this.records[point].id, ...this.columns.map((column) => this.cell(point, column))];
    return this.records.flatMap((_, point) =>
      says(point).some((each) => String(each).toLowerCase().includes(wanted)) ? [point] : [],
    );
  }

  /** The nearest others of a point: [{point, cosine}]. */
  near(point) {
    return this.layout.nearest[point].map(({ item, cosine }) => ({ point: item, cosine }));
  }

  select(points, { add = false } = {}) {
    this.selected = new Set([...(add ? this.selected : []), ...points]);
  }

  /** The selected points in their order; all of them if there is no selection. */
  get taken() {
    const all = this.records.map((_, point) => point);
    return this.selected.size ? all.filter((point) => this.selected.has(point)) : all;
  }

  /** "PC1 (25.7 % of the variance)", "UMAP 1". */
  axis(number) {
    const share = this.layout.explained?.[number];
    return share === undefined
      ? this.layout.axes[number]
      : `${this.layout.axes[number]} (${(100 * share).toFixed(1)} % of the variance)`;
  }

  /** Rows for a CSV file: place, columns, nearest, sequence. */
  table(points) {
    const [x, y] = this.layout.axes.map((name) => name.toLowerCase().replace(" ", ""));
    const kept = this.columns.filter((column) => column !== LENGTH || !this.own.includes(LENGTH));
    const rows = points.map((point) => {
      const [nearest] = this.near(point);
      const { id, sequence } = this.records[point];
      const named = nearest ? [this.records[nearest.point].id, nearest.cosine] : ["", ""];
      return [
        id,
        this.xs[point],
        this.ys[point],
        ...kept.map((column) => this.cell(point, column)),
        ...named,
        sequence,
      ];
    });
    return [["id", x, y, ...kept, "nearest", "cosine", "sequence"], ...rows];
  }
}
