// The same search by curl, in Python, and on the command line.
import { curl } from "../core/code.js";

const quoted = (text) => JSON.stringify(text);
const shell = (text) => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** Snippets for `codeButton`: `asked` is {index, params, label, labelParams}, `records` the proteins. */
export function snippets(records, asked) {
  const items = records.map(({ sequence }) => ({ sequence }));
  const { index, params, label } = asked;
  const all = { "curl: search": curl(index.model, "search", items, params) };
  if (label) all["curl: labels"] = curl(index.model, "annotate", items, asked.labelParams);
  if (index.layers.length === 1) all["Python (esmkit)"] = byPython(items, asked);
  return { ...all, CLI: byCommand(asked) };
}

function byPython(items, { index, params, label }) {
  const embed = [
    `[${items.map(({ sequence }) => quoted(sequence)).join(",\n    ")}]`,
    `layers=${index.layers[0]}`,
    `pool=${quoted(index.pooling)}`,
  ];
  const where = params.where ? `, where=index.where(${quoted(params.where)})` : "";
  const lines = [
    "import esmkit",
    `from esmkit.applications.search import ${label ? "Annotator, " : ""}Index`,
    "",
    `index = Index.open(${quoted(index.name)})  # its folder, on the server's machine`,
    `model = esmkit.load(${quoted(index.built_with)})`,
    `queries = model.embed(${embed.join(", ")})`,
    `for hits in index.search(queries, k=${params.k}${where}):`,
    "    print([(hit.id, round(hit.cosine, 4)) for hit in hits])",
  ];
  if (label)
    lines.push(
      `for annotation in Annotator.of(index, ${quoted(label.column)}, neighbours=${label.k}).annotate(queries):`,
      "    print(annotation.label, annotation.best, round(annotation.reliability, 2))",
    );
  return lines.join("\n");
}

function byCommand({ index, params, label }) {
  const folder = shell(index.name);
  const flags = [
    `-k ${params.k}`,
    params.identity ? "--identity" : "",
    params.where ? `--where ${shell(params.where)}` : "",
  ]
    .filter(Boolean)
    .join(" ");
  const lines = [
    `# ${index.name}: the folder of the index, on the server's machine`,
    `esmkit search ${folder} queries.fasta ${flags} --out hits.csv`,
  ];
  if (label)
    lines.push(
      `esmkit annotate ${folder} queries.fasta --label-column ${shell(label.column)} -k ${label.k} --out labels.csv`,
    );
  return lines.join("\n");
}
