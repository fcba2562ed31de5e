// What residues look at: a small map per layer and head, one of them large, and what every residue receives.
import { biolmai, codeButton, curl } from "../core/code.js";
import { diverging, intensity, isDark, pixels } from "../core/colour.js";
import { h } from "../core/dom.js";
import { csv, download, svgText } from "../core/save.js";
import { shortest } from "../core/tensors.js";
import { legend } from "../views/legend.js";
import { matrix } from "../views/matrix.js";
import { track } from "../views/track.js";
import { attentionGrid } from "./attention_grid.js";
import { corrected, fetchMap, quantile, symmetrised } from "./attention_maps.js";

export const view = { id: "attention", title: "Attention", show };

const MOST_IN_CSV = 1024;
const MOST_KEPT = 6;
const SHARE_SHOWN = 0.995;
const KINDS = {
  raw: {
    title: "As it is",
    make: (values) => values,
    text: "Row i is a residue that looks, column j what it looks at. A row adds up to less than 1: the rest goes to the start and end tokens.",
  },
  symmetric: {
    title: "Symmetrised",
    make: symmetrised,
    text: "Both directions added, A + Aᵀ: the first step towards contacts.",
  },
  corrected: {
    title: "APC-corrected",
    make: (values, size) => corrected(symmetrised(values, size), size),
    text: "Symmetrised, less the product of row and column sums over the total: what the contact regression gets of this head.",
  },
};

async function show(panel, work) {
  panel.replaceChildren(
    h("p", { class: "muted" }, "Computing attention…"),
    h("progress", { "aria-label": "Computing attention" }),
  );
  const [{ attentions }] = await work.arrays("encode", [{ sequence: work.sequence }], { include: ["attentions"] });
  const received = receivedTrack(work, attentions);
  const large = new LargeMap(work);
  const grid = attentionGrid(work, { onchoose: (layer, head) => large.show(layer, head) });
  panel.replaceChildren(
    h(
      "div",
      { class: "stack" },
      h("div", { class: "attention-columns" }, grid.element, large.element),
      received,
      h(
        "p",
        { class: "hint" },
        `Attention of ${work.model.title}: where each head looks, a share of one look and no measure of importance; many heads look at the start token when they have nothing to say.`,
      ),
    ),
  );
  const [layer, head] = work.option("attention.map", [work.model.layers, 1]);
  grid.choose(Math.min(layer, work.model.layers), Math.min(head, work.model.heads));
  await large.drawn;
}

class LargeMap {
  #work;
  #kept = new Map();
  #size;

  constructor(work) {
    this.#work = work;
    this.#size = work.sequence.length;
    this.kind = work.option("attention.kind", "raw") in KINDS ? work.option("attention.kind", "raw") : "raw";
    this.title = h("h3", { "aria-live": "polite" }, "Layer and head");
    this.failed = h("p", { class: "error", role: "alert" });
    this.text = h("p", { class: "hint" });
    this.values = new Float32Array(this.#size ** 2);
    this.limit = 1;
    this.picture = matrix({
      size: this.#size,
      label: `Attention map of ${work.record.id}`,
      signal: work.signal,
      paint: (cells, dark) => this.#paint(cells, dark),
      describe: (row, column) => this.#describe(row, column),
      onchoose: (row) => work.selection.choose(row),
    });
    this.scale = legend(intensity(0, 1), 0, 1, "Attention");
    document.addEventListener("themechange", () => this.#relegend(), { signal: work.signal });
    this.element = h(
      "section",
      { class: "stack", "aria-label": "Large attention map" },
      h("div", { class: "row spread" }, this.title, this.#kinds()),
      this.failed,
      this.picture.element,
      this.scale.element,
      this.text,
      this.#actions(),
    );
  }

  /** Shows a head; `drawn` settles when it is there. */
  show(layer, head) {
    Object.assign(this, { layer, head });
    this.#work.remember("attention.map", [layer, head]);
    this.title.textContent = `Layer ${layer}, head ${head}`;
    this.drawn = this.#fetched(layer, head).then(
      (values) => {
        if (this.layer !== layer || this.head !== head) return;
        this.raw = values;
        this.failed.textContent = "";
        this.#redraw();
        this.element.dataset.shown = `${layer}-${head}`;
      },
      (error) => {
        if (error.name !== "AbortError") this.failed.textContent = error.message;
      },
    );
  }

  async #fetched(layer, head) {
    const key = `${layer}-${head}`;
    if (!this.#kept.has(key)) {
      const values = await fetchMap(this.#work, layer, head);
      if (this.#kept.size >= MOST_KEPT) this.#kept.delete(this.#kept.keys().next().value);
      this.#kept.set(key, values);
    }
    return this.#kept.get(key);
  }

  #redraw() {
    this.values = KINDS[this.kind].make(this.raw, this.#size);
    this.limit = quantile(this.values, SHARE_SHOWN);
    this.text.textContent = `${KINDS[this.kind].text} Colours end where the top 0.5 % of the values begin.`;
    this.#relegend();
    this.picture.redraw();
  }

  #scaleOf = (dark) => (this.kind === "corrected" ? diverging(this.limit) : intensity(0, this.limit, dark));
  #low = () => (this.kind === "corrected" ? -this.limit : 0);

  #relegend() {
    this.scale.redraw(this.#scaleOf(isDark()), this.#low(), this.limit);
  }

  #paint(cells, dark) {
    const low = this.#low();
    const colours = pixels(this.#scaleOf(dark), low, this.limit);
    const factor = 255 / (this.limit - low);
    for (let at = 0; at < cells.length; at += 1)
      cells[at] = colours[Math.round(Math.min(255, Math.max(0, (this.values[at] - low) * factor)))];
  }

  #describe(row, column) {
    const named = (at) => `${this.#work.sequence[at]}${at + 1}`;
    const joint =
      this.kind === "raw" ? `${named(row)} looks at ${named(column)}` : `${named(row)} and ${named(column)}`;
    return `${joint}: ${this.values[row * this.#size + column].toFixed(4)}`;
  }

  #kinds() {
    const group = h("div", { class: "segmented", role: "group", "aria-label": "Correction" });
    for (const [id, { title }] of Object.entries(KINDS)) {
      const press = () => {
        this.kind = id;
        this.#work.remember("attention.kind", id);
        for (const button of group.children) button.setAttribute("aria-pressed", String(button === pressed));
        if (this.raw) this.#redraw();
      };
      const pressed = h("button", { type: "button", onclick: press, "aria-pressed": String(id === this.kind) }, title);
      group.append(pressed);
    }
    return group;
  }

  #actions() {
    const button = (text, work, more = {}) => h("button", { type: "button", onclick: work, ...more }, text);
    const name = () => `${this.#work.record.id}_attention_layer${this.layer}_head${this.head}_${this.kind}`;
    const isLarge = this.#size > MOST_IN_CSV;
    const title = isLarge
      ? `Above ${MOST_IN_CSV} residues, take the map from the API: see As code`
      : "The map as shown, residues x residues";
    return h(
      "div",
      { class: "row" },
      button("CSV of the map", () => download(`${name()}.csv`, csv(this.#rows()), "text/csv"), {
        title,
        disabled: isLarge,
      }),
      button("PNG", async () => download(`${name()}.png`, await this.picture.png())),
      button("SVG", () =>
        download(
          `${name()}.svg`,
          this.picture.svg(`${this.title.textContent}, ${this.#work.record.id}, ${this.#work.model.title}`),
          "image/svg+xml",
        ),
      ),
      codeButton(() => this.#code()),
    );
  }

  #rows() {
    const numbers = Array.from({ length: this.#size }, (_, at) => at + 1);
    const row = (position) =>
      Array.from(this.values.subarray((position - 1) * this.#size, position * this.#size), shortest);
    return [["query", ...numbers], ...numbers.map((position) => [position, ...row(position)])];
  }

  #code() {
    const {
      sequence,
      model: { slug },
    } = this.#work;
    const items = [{ sequence }];
    const params = { include: ["attentions"], layers: [this.layer], heads: [this.head] };
    return {
      curl: curl(slug, "encode", items, params),
      "Python (esmkit)": `import esmkit\n\nmodel = esmkit.load("${slug}")\nmaps = model.attentions("${sequence}", layers=[${this.layer}], heads=[${this.head}])\nprint(maps.shape)`,
      "Python (biolmai)": biolmai(slug, "encode", items, params),
      CLI: `esmkit attentions --sequence ${sequence} --model ${slug} --attention-layers ${this.layer} --attention-heads ${this.head} --out maps.npz`,
    };
  }
}

/** Attention received per residue in a layer, as bars, with a choice of the layer. */
function receivedTrack(work, { shape: [layers, size], values }) {
  const even = 1 / (size + 2);
  const choose = h(
    "select",
    {},
    Array.from({ length: layers }, (_, at) => h("option", { value: at }, `layer ${at + 1}`)),
  );
  choose.value = Math.min(layers - 1, work.option("attention.received", layers - 1));
  const place = h("div", {});
  let picture = null;
  function draw() {
    const row = values.subarray(Number(choose.value) * size, (Number(choose.value) + 1) * size);
    picture = track(
      Array.from(row, (value, at) => ({
        label: `${work.sequence[at]}${at + 1}`,
        value,
        note: `receives ${(value * 100).toFixed(2)} %, ${(value / even).toFixed(1)} times an even share`,
      })),
      {
        title: `Attention that every residue of ${work.record.id} receives`,
        unit: "of all attention",
        selection: work.selection,
      },
    );
    place.replaceChildren(picture);
  }
  choose.addEventListener("change", () => {
    work.remember("attention.received", Number(choose.value));
    draw();
  });
  draw();
  const table = () => [
    ["position", "residue", ...Array.from({ length: layers }, (_, at) => `layer_${at + 1}`)],
    ...Array.from({ length: size }, (_, at) => [
      at + 1,
      work.sequence[at],
      ...Array.from({ length: layers }, (__, layer) => shortest(values[layer * size + at])),
    ]),
  ];
  const name = `${work.record.id}_attention_received`;
  return h(
    "section",
    { class: "stack", "aria-label": "Attention received" },
    h(
      "div",
      { class: "row spread" },
      h("div", { class: "row" }, h("h3", {}, "Attention received"), h("label", {}, "in", choose)),
      h(
        "div",
        { class: "row" },
        h(
          "button",
          {
            type: "button",
            onclick: () => download(`${name}.csv`, csv(table()), "text/csv"),
            "aria-label": "CSV of attention received",
          },
          "CSV",
        ),
        h(
          "button",
          {
            type: "button",
            onclick: () => download(`${name}.svg`, svgText(picture.querySelector("svg")), "image/svg+xml"),
            "aria-label": "SVG of attention received",
          },
          "SVG",
        ),
      ),
    ),
    place,
    h(
      "p",
      { class: "hint" },
      "The mean over all heads of the layer and all residues that look, start and end tokens included.",
    ),
  );
}
