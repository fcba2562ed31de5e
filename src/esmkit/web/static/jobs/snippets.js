// The same job by curl and on the command line.
import { frame } from "../core/dom.js";

const shell = (text) => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

const flag = (name) => `--${name === "outputs" ? "include" : name.replaceAll("_", "-")}`;

/** Snippets for `codeButton`: `query` is what a job is asked with, `file` the name of its input. */
export function snippets(query, file) {
  const key = frame.asks_for_keys ? ` \\\n  -H 'Authorization: Token KEY'` : "";
  const options = Object.entries(query)
    .filter(([name]) => name !== "name")
    .map(([name, value]) => `${flag(name)} ${shell(value)}`);
  return {
    CLI: [
      `export ESMKIT_SERVER=${frame.origin}${frame.asks_for_keys ? " ESMKIT_API_KEY=KEY" : ""}`,
      `job=$(esmkit jobs submit ${shell(file)} ${options.join(" ")})`,
      `esmkit jobs get $job --out results.${query.format}`,
    ].join("\n"),
    curl: `curl '${frame.origin}/api/v3/jobs?${new URLSearchParams(query)}'${key} \\\n  --data-binary @${shell(file)}`,
  };
}
