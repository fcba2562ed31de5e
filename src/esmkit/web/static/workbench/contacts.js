// Predicted contacts as a map and a list; with a structure, what is near in it in the lower triangle, and in 3-D.
import { intensity, pixel, pixels } from "../core/colour.js";
import { debounced, h } from "../core/dom.js";
import { csv, download } from "../core/save.js";
import { shortest } from "../core/tensors.js";
import { legend } from "../views/legend.js";
import { matrix } from "../views/matrix.js";
import { contactCode } from "./contact_code.js";
import { contactsAbove, distances, precision, starting, touches } from "./contact_pairs.js";
import { MOST_SHOWN, listOf, precisionTable } from "./contact_tables.js";
import { structurePanel } from "./structure_panel.js";

export const view = { id: "contacts", title: "Contacts", show };

const MOST_RINGS = 1000;
const MOST_IN_CSV = 1024; // residues of a whole map as CSV

async function show(panel, work) {
  panel.replaceChildren(
    h("p", { class: "muted" }, "Computing contacts…"),
    h("progress", { "aria-label": "Computing contacts" }),
  );
  const map = await work.contacts();
  panel.replaceChildren(new ContactsView(work, map).element);
}

class ContactsView {
  #work;
  #map;
  #angstroms = null;
  #structure = null;
  #picture;
  #list;

  constructor(work, map) {
    this.#work = work;
    this.#map = map;
    const { threshold, top } = starting(map);
    this.threshold = work.option("contacts.threshold", threshold);
    this.top = top;
    this.separation = Math.min(work.option("contacts.separation", 6), Math.max(1, map.size - 1));
    this.#picture = matrix({
      size: map.size,
      label: `Contact map of ${work.record.id}`,
      signal: work.signal,
      paint: (cells, dark) => this.#paint(cells, dark),
      describe: (row, column) => this.#describe(row, column),
      marks: () => this.#marks(),
      onchoose: (row, column) => this.#chosen(row, column),
      onhover: (row, column) => this.#pointed(row, column),
    });
    this.#list = listOf({
      onchoose: (pair) => this.#choosePair(pair),
      onpoint: (pair) => this.#pointed(pair?.i ?? null, pair?.j ?? null),
    });
    this.element = this.#layout();
    this.#listed();
    work.selection.addEventListener("choose", ({ detail }) => this.#picture.guide(detail));
  }

  #layout() {
    const scale = legend(intensity(0, this.top), 0, this.top, "Probability of contact");
    document.addEventListener("themechange", () => scale.redraw(intensity(0, this.top)), { signal: this.#work.signal });
    this.precision = h("div", { class: "stack" });
    this.triangles = h("p", { class: "hint" });
    const right = structurePanel(this.#work, this.#map, {
      onstructure: (found) => this.#compare(found),
      onresidue: (position) => this.#work.selection.choose(position),
    });
    this.structure = right;
    const left = h("div", { class: "stack" }, this.#picture.element, scale.element, this.triangles);
    return h(
      "div",
      { class: "stack contacts" },
      h("div", { class: "row spread" }, this.#controls(), this.#actions()),
      h("div", { class: "contact-columns" }, left, right.element),
      h("div", { class: "contact-columns" }, this.#list.element, this.precision),
      h(
        "p",
        { class: "hint" },
        `Contact: C-beta atoms (in glycine, where one would be) less than 8 Å apart. Probabilities come from a regression on the attention of ${this.#work.model.title}`,
        this.#work.model.slug === "esm2-mini" ? ", a very small model that knows little about contacts." : ".",
        " The regression was fitted to pairs at least 6 positions apart; nearer pairs are near in every protein.",
      ),
    );
  }

  #controls() {
    const shown = h("output", { class: "nowrap" });
    const say = () => (shown.textContent = `p ≥ ${this.threshold.toFixed(2)}`);
    const threshold = h("input", { type: "range", min: 0.01, max: 1, step: 0.01, value: this.threshold });
    const changed = debounced(() => {
      this.#work.remember("contacts.threshold", this.threshold);
      this.#listed();
    }, 60);
    threshold.addEventListener("input", () => {
      this.threshold = Number(threshold.value);
      say();
      changed();
    });
    const separation = h("input", {
      type: "number",
      min: 1,
      max: Math.max(1, this.#map.size - 1),
      value: this.separation,
      class: "narrow-number",
    });
    separation.addEventListener("change", () => {
      this.separation = Math.min(
        Math.max(1, Math.round(Number(separation.value)) || 6),
        Math.max(1, this.#map.size - 1),
      );
      separation.value = this.separation;
      this.#work.remember("contacts.separation", this.separation);
      this.#listed();
    });
    say();
    return h(
      "div",
      { class: "row" },
      h("label", {}, "Threshold", threshold, shown),
      h("label", {}, "At least |i − j|", separation),
    );
  }

  #actions() {
    const name = `${this.#work.record.id}_contacts`;
    const button = (text, work, more = {}) => h("button", { type: "button", onclick: work, ...more }, text);
    const isLarge = this.#map.size > MOST_IN_CSV;
    const title = isLarge
      ? `Above ${MOST_IN_CSV} residues, take the map from the API: see As code`
      : "All probabilities, residues x residues";
    return h(
      "div",
      { class: "row" },
      button("CSV", () => download(`${name}.csv`, csv(this.#rows()), "text/csv"), { title: "The list of contacts" }),
      button("CSV of the map", () => download(`${name}_map.csv`, csv(this.#mapRows()), "text/csv"), {
        title,
        disabled: isLarge,
      }),
      button("PNG", async () => download(`${name}.png`, await this.#picture.png())),
      button("SVG", () =>
        download(
          `${name}.svg`,
          this.#picture.svg(`Predicted contacts of ${this.#work.record.id}, ${this.#work.model.title}`),
          "image/svg+xml",
        ),
      ),
      contactCode(this.#work),
    );
  }

  #rows() {
    const near = this.#angstroms ? ["distance_angstrom"] : [];
    const rows = this.found.pairs.map(({ i, j, p }) => {
      const pair = [i + 1, this.#residue(i), j + 1, this.#residue(j), j - i, shortest(p)];
      const away = this.#angstroms?.[i * this.#map.size + j];
      return near.length ? [...pair, Number.isNaN(away) ? null : Number(away.toFixed(2))] : pair;
    });
    return [["i", "residue_i", "j", "residue_j", "separation", "probability", ...near], ...rows];
  }

  #mapRows() {
    const { size, values } = this.#map;
    const numbers = Array.from({ length: size }, (_, at) => at + 1);
    return [
      ["position", ...numbers],
      ...numbers.map((position) => [
        position,
        ...Array.from(values.subarray((position - 1) * size, position * size), shortest),
      ]),
    ];
  }

  #residue = (at) => this.#work.sequence[at];
  #named = (at) => `${this.#residue(at)}${at + 1}`;

  #paint(cells, dark) {
    const { size, values } = this.#map;
    const colours = pixels(intensity(0, this.top, dark), 0, this.top);
    const [near, far, unknown] = [
      dark ? [245, 200, 110] : [178, 112, 20],
      dark ? [24, 32, 39] : [255, 255, 255],
      dark ? [44, 54, 62] : [232, 235, 238],
    ].map(pixel);
    const factor = 255 / this.top;
    for (let at = 0; at < values.length; at += 1) cells[at] = colours[Math.min(255, Math.round(values[at] * factor))];
    if (!this.#angstroms) return;
    for (let row = 1; row < size; row += 1) {
      for (let at = row * size; at < row * size + row; at += 1) {
        const away = this.#angstroms[at];
        cells[at] = Number.isNaN(away) ? unknown : touches(away) ? near : far;
      }
    }
  }

  #marks() {
    const { size } = this.#map;
    return (this.found?.pairs ?? []).slice(0, MOST_RINGS).map(({ i, j }) => {
      const away = this.#angstroms?.[i * size + j];
      const colour = away === undefined || Number.isNaN(away) ? "--accent" : touches(away) ? "--good" : "--bad";
      return { row: i, column: j, colour };
    });
  }

  #describe(row, column) {
    const [i, j] = row < column ? [row, column] : [column, row];
    const at = i * this.#map.size + j;
    const away = this.#angstroms?.[at];
    const near =
      away === undefined
        ? ""
        : Number.isNaN(away)
          ? ", not in the structure"
          : `, ${away.toFixed(1)} Å in the structure`;
    return `${this.#named(i)} – ${this.#named(j)}: p ${this.#map.values[at].toFixed(3)}, |i − j| ${j - i}${near}`;
  }

  #listed() {
    const { size } = this.#map;
    this.found = contactsAbove(this.#map, this.separation, this.threshold);
    this.#list.show(
      this.found.pairs
        .slice(0, MOST_SHOWN)
        .map((pair) => ({
          ...pair,
          first: this.#named(pair.i),
          second: this.#named(pair.j),
          away: this.#angstroms?.[pair.i * size + pair.j],
        })),
      {
        count: this.found.count,
        threshold: this.threshold,
        separation: this.separation,
        hasStructure: Boolean(this.#angstroms),
      },
    );
    this.#picture.refresh();
    const rings = "Squares mark the pairs of the list";
    this.triangles.textContent = this.#angstroms
      ? `Upper triangle: predicted. Lower triangle: contacts of the structure (amber; grey where it says nothing). ${rings}: green touch in the structure, red do not.`
      : `Both triangles: predicted. ${rings}. Give a structure to compare with it in the lower triangle.`;
  }

  #compare(found) {
    this.#structure = found;
    this.#angstroms = found ? distances(found.chain, found.places, this.#map.size) : null;
    this.#picture.redraw();
    this.precision.replaceChildren(...(found ? precisionTable(precision(this.#map, this.#angstroms)) : []));
    this.#listed();
  }

  #choosePair({ i, j }) {
    this.#picture.choose(i, j);
    this.#chosen(i, j);
  }

  #chosen(row, column) {
    this.pair = row === null ? null : [row, column];
    this.#pointed(null, null);
    this.#list.mark(row === null ? null : Math.min(row, column), row === null ? null : Math.max(row, column));
  }

  /** Shows a pair in 3-D while it is pointed at, else the one that was chosen. */
  #pointed(row, column) {
    const [i, j] = row === null ? (this.pair ?? [null, null]) : [row, column];
    this.structure.pair(i, j, i === null ? "" : this.#describe(i, j));
  }
}
