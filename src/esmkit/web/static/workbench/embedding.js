// One vector for the whole protein: what it looks like, how near it is to those of the other proteins, and files of it.
import { biolmai, codeButton, curl } from "../core/code.js";
import { h } from "../core/dom.js";
import { strip } from "../views/strip.js";
import { downloads } from "./embedding_files.js";
import { similarity } from "./similarity.js";
import { facts } from "./vectors.js";

export const view = { id: "embedding", title: "Embedding", show };

const POOLS = { mean: "mean over residues", max: "maximum over residues", bos: "start token" };

async function show(panel, work) {
  panel.replaceChildren(
    h("p", { class: "muted" }, "Computing embeddings…"),
    h("progress", { "aria-label": "Computing embeddings" }),
  );
  const embedding = new Embedding(work);
  await embedding.compute();
  panel.replaceChildren(embedding.element);
}

/** What `encode` is asked for: a layer and how residues become one vector. */
export function paramsOf({ layer, pool }) {
  return pool === "bos"
    ? { include: ["bos"], repr_layers: [layer] }
    : { include: ["mean"], repr_layers: [layer], ...(pool === "max" ? { pool } : {}) };
}

class Embedding {
  #work;
  #asked = 0;

  constructor(work) {
    this.#work = work;
    const { layers } = work.model;
    this.layer = Math.min(layers, work.option("embedding.layer", layers));
    this.pool = work.option("embedding.pool", "mean") in POOLS ? work.option("embedding.pool", "mean") : "mean";
    this.failed = h("p", { class: "error", role: "alert" });
    this.summary = h("div", { class: "stack" });
    this.others = h("div", { class: "stack" });
    this.element = h(
      "div",
      { class: "stack" },
      h(
        "div",
        { class: "row spread" },
        this.#choices(),
        codeButton(() => this.#code()),
      ),
      this.failed,
      this.summary,
      this.others,
      downloads(work, () => ({ layer: this.layer, pool: this.pool, vectors: this.vectors })),
    );
  }

  #choices() {
    const { layers } = this.#work.model;
    const title = (number) =>
      number === 0 ? "layer 0 (input)" : number === layers ? `layer ${number} (last)` : `layer ${number}`;
    const layer = h(
      "select",
      {},
      Array.from({ length: layers + 1 }, (_, at) => h("option", { value: layers - at }, title(layers - at))),
    );
    const pool = h(
      "select",
      {},
      Object.entries(POOLS).map(([id, name]) => h("option", { value: id }, name)),
    );
    [layer.value, pool.value] = [this.layer, this.pool];
    const change = async () => {
      [this.layer, this.pool] = [Number(layer.value), pool.value];
      this.#work.remember("embedding.layer", this.layer);
      this.#work.remember("embedding.pool", this.pool);
      try {
        await this.compute();
        this.failed.textContent = "";
      } catch (error) {
        if (error.name !== "AbortError") this.failed.textContent = error.message;
      }
    };
    for (const each of [layer, pool]) each.addEventListener("change", change);
    return h("div", { class: "row" }, h("label", {}, "Layer", layer), h("label", {}, "Pooling", pool));
  }

  /** Asks for the vectors of all proteins given, and shows them. */
  async compute() {
    const { layer, pool } = this;
    const asked = (this.#asked += 1);
    const items = this.#work.records.map(({ sequence }) => ({ sequence }));
    const answer = await this.#work.arrays("encode", items, paramsOf(this));
    if (asked !== this.#asked) return; // something else was chosen meanwhile
    this.vectors = answer.map((arrays) => arrays[`${pool}_${layer}`].values);
    this.#show();
  }

  #show() {
    const own = this.#work.records.indexOf(this.#work.record);
    const vector = this.vectors[own];
    const { mean, spread, low, high, norm } = facts(vector);
    const row = (name, value) => [h("dt", {}, name), h("dd", {}, value)];
    this.summary.replaceChildren(
      h(
        "div",
        { class: "embedding-columns" },
        h(
          "dl",
          { class: "facts" },
          row("What", `${POOLS[this.pool]}, layer ${this.layer} of ${this.#work.model.title}`),
          row("Width", `${vector.length} numbers`),
          row("Norm", norm.toFixed(3)),
          row("Mean ± standard deviation", `${mean.toFixed(4)} ± ${spread.toFixed(4)}`),
          row("Range", `${low.toFixed(3)} to ${high.toFixed(3)}`),
        ),
        strip(vector, { label: `Embedding of ${this.#work.record.id}` }),
      ),
    );
    this.others.replaceChildren(similarity(this.#work, this.vectors, own));
  }

  #code() {
    const {
      record: { sequence },
      model: { slug },
    } = this.#work;
    const items = [{ sequence }];
    const params = paramsOf(this);
    const pool = this.pool === "mean" ? "" : `, pool="${this.pool}"`;
    return {
      curl: curl(slug, "encode", items, params),
      "Python (esmkit)": `import esmkit\n\nmodel = esmkit.load("${slug}")\nvectors = model.embed("${sequence}", layers=[${this.layer}]${pool})\nprint(vectors[${this.layer}].shape)`,
      ...(this.pool === "max" ? {} : { "Python (biolmai)": biolmai(slug, "encode", items, params) }),
      CLI: `esmkit embed --sequence ${sequence} --model ${slug} --layers ${this.layer} --pool ${this.pool} --out embedding.npz`,
    };
  }
}
