// The same map by curl, in Python, and on the command line.
import { curl } from "../core/code.js";
import { path } from "../core/api.js";
import { frame } from "../core/dom.js";
import { CLUSTER, LENGTH } from "./chart.js";

const MOST_INLINE = 6;
const quoted = (text) => JSON.stringify(text);
const shell = (text) => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** What the request was: {items, params}. */
export const requestOf = (records, params) => ({ items: records.map(({ sequence }) => ({ sequence })), params });

/** Snippets for `codeButton`; `file` is the name of the file that holds the proteins, `set` what was read of it. */
export function snippets(chart, file, set, params) {
  return {
    curl: byCurl(chart, params),
    "Python (esmkit)": byPython(chart, file, set),
    CLI: byCommand(chart, file, set),
  };
}

function byCurl({ records, about }, params) {
  const { items } = requestOf(records, params);
  if (items.length <= MOST_INLINE) return curl(about.model.slug, "map", items, params);
  const key = frame.asks_for_keys ? ` \\\n  -H 'Authorization: Token KEY'` : "";
  return [
    "# map-request.json: the button “Request” saves it",
    `curl ${frame.origin}${path(about.model.slug, "map")} \\`,
    `  -H 'Content-Type: application/json'${key} \\`,
    "  -d @map-request.json",
  ].join("\n");
}

function byPython({ about }, file, { kind, idColumn, sequenceColumn }) {
  const columns =
    kind === "table"
      ? [idColumn && `id_column=${quoted(idColumn)}`, `sequence_column=${quoted(sequenceColumn)}`].filter(Boolean)
      : [];
  return [
    "import esmkit",
    `from esmkit.applications.maps import ${about.method}`,
    "from esmkit.inputs import open_records",
    "",
    `records = list(open_records(${[quoted(file), ...columns].join(", ")}))`,
    `model = esmkit.load(${quoted(about.model.slug)})`,
    `found = ${about.method}(model.embed(records))`,
    "for record, (x, y) in zip(records, found.coordinates.tolist()):",
    "    print(record.id, x, y)",
  ].join("\n");
}

function byCommand({ about, column, own }, file, { kind, idColumn, sequenceColumn }) {
  const words = ["esmkit map", shell(file), "--model", about.model.slug];
  if (about.method === "umap") words.push("--method umap");
  if (kind === "table") {
    if (idColumn) words.push("--id-column", shell(idColumn));
    words.push("--sequence-column", shell(sequenceColumn));
    if (own.includes(column) || column === LENGTH) words.push("--color-by", shell(column));
  }
  if (column === CLUSTER) words.push(`--cluster ${about.clusterMethod}`);
  return [...words, "--out map.csv --plot map.png"].join(" ");
}
