// Embeddings to keep, in every format that the API has, and as a table.
import { callBinary } from "../core/api.js";
import { h } from "../core/dom.js";
import { csv, download } from "../core/save.js";
import { shortest } from "../core/tensors.js";
import { paramsOf } from "./embedding.js";

const FORMATS = {
  csv: { title: "CSV" },
  json: { title: "JSON", accept: "application/json" },
  npz: { title: "npz (NumPy)", accept: "application/x-npz" },
  safetensors: { title: "safetensors", accept: "application/x-safetensors" },
  arrow: { title: "Arrow stream", accept: "application/vnd.apache.arrow.stream", ending: "arrows" },
};
const MOST_NUMBERS = 5_000_000; // in one CSV

/** A form for files: `chosen()` gives the {layer, pool, vectors} that are shown. */
export function downloads(work, chosen) {
  const option = ([value, title]) => h("option", { value }, title);
  const whose = h(
    "select",
    {},
    [
      ["one", "this protein"],
      ["all", "all proteins given"],
    ].map(option),
  );
  const what = h(
    "select",
    {},
    [
      ["pooled", "one vector per protein"],
      ["residues", "one vector per residue"],
    ].map(option),
  );
  const format = h(
    "select",
    {},
    Object.entries(FORMATS).map(([id, { title }]) => option([id, title])),
  );
  const dtype = h(
    "select",
    {},
    [
      ["float32", "float32"],
      ["float16", "float16, half the size"],
    ].map(option),
  );
  const kind = h("label", {}, "Numbers", dtype);
  const failed = h("p", { class: "error", role: "alert" });
  const save = h("button", { type: "button", class: "primary", onclick: () => run() }, "Download");
  format.addEventListener("change", plain);
  function plain() {
    kind.hidden = ["csv", "json"].includes(format.value);
  }
  plain();
  if (work.records.length < 2) whose.disabled = true;

  async function run() {
    save.disabled = true;
    failed.textContent = "";
    try {
      const { layer, pool, vectors } = chosen();
      const records = whose.value === "all" ? work.records : [work.record];
      const params =
        what.value === "residues" ? { include: ["per_token"], repr_layers: [layer] } : paramsOf({ layer, pool });
      const name = `${whose.value === "all" ? "proteins" : work.record.id}_${what.value === "residues" ? "per_residue" : pool}_${layer}`;
      if (format.value !== "csv") await sent(records, params, name);
      else if (what.value === "residues") await perResidue(records, params, layer, name);
      else download(`${name}.csv`, csv(rows(records, vectors)), "text/csv");
    } catch (error) {
      if (error.name !== "AbortError") failed.textContent = error.message;
    }
    save.disabled = false;
  }
  async function sent(records, params, name) {
    const { accept, ending = format.value } = FORMATS[format.value];
    const type = kind.hidden ? accept : `${accept}; dtype=${dtype.value}`;
    const items = records.map(({ sequence }) => ({ sequence }));
    download(
      `${name}.${ending}`,
      await callBinary(work.model.slug, "encode", items, params, type, { signal: work.signal }),
    );
  }
  function rows(records, vectors) {
    const head = ["id", ...Array.from(vectors[0], (_, at) => `d${at + 1}`)];
    return [
      head,
      ...records.map((record) => [record.id, ...Array.from(vectors[work.records.indexOf(record)], shortest)]),
    ];
  }
  async function perResidue(records, params, layer, name) {
    const numbers = records.reduce((sum, { sequence }) => sum + sequence.length * work.model.width, 0);
    if (numbers > MOST_NUMBERS)
      throw new Error(
        `${numbers.toLocaleString("en")} numbers are too many for a table, at most ${MOST_NUMBERS.toLocaleString("en")}; take npz, safetensors or Arrow`,
      );
    const answer = await work.arrays(
      "encode",
      records.map(({ sequence }) => ({ sequence })),
      params,
    );
    const { width } = work.model;
    const table = [["id", "position", "residue", ...Array.from({ length: width }, (_, at) => `d${at + 1}`)]];
    records.forEach(({ id, sequence }, index) => {
      const { values } = answer[index][`per_residue_${layer}`];
      for (let at = 0; at < sequence.length; at += 1) {
        table.push([id, at + 1, sequence[at], ...Array.from(values.subarray(at * width, (at + 1) * width), shortest)]);
      }
    });
    download(`${name}.csv`, csv(table), "text/csv");
  }
  return h(
    "section",
    { class: "stack", "aria-label": "Download embeddings" },
    h("h3", {}, "Download"),
    h(
      "div",
      { class: "row" },
      h("label", {}, "Of", whose),
      h("label", {}, "What", what),
      h("label", {}, "Format", format),
      kind,
      save,
    ),
    failed,
    h(
      "p",
      { class: "hint" },
      "The files are the API's own answers: in npz and safetensors an array per protein, named 0/mean_6 by its number and layer. CSV is made here from the same numbers.",
    ),
  );
}
