// A scan as files, and as code.
import { codeButton, curl } from "../core/code.js";
import { h, notify } from "../core/dom.js";
import { VOCABULARY } from "../core/residues.js";
import { csv, download, pngOfSvg, svgText } from "../core/save.js";
import { heatmapSvg } from "../views/heatmap_svg.js";
import { METHODS } from "./scan.js";

/** The buttons; `arrangement()` is how the map is sorted now. */
export function actions(work, scan, arrangement) {
  const name = `${work.record.id}_${scan.method}`;
  const picture = () =>
    heatmapSvg(scan, arrangement(), {
      title: `${work.record.id}: ${METHODS[scan.method].toLowerCase()}, ${work.model.title}`.slice(0, 90),
      note: "ln p(new) − ln p(wild type); dots: wild type",
    });
  const saving = (save) => async () => {
    if (scan.state !== "done") notify("The scan is not complete; what has been computed is saved.");
    try {
      await save();
    } catch (error) {
      notify(error.message, "bad");
    }
  };
  const button = (title, save) => h("button", { type: "button", onclick: saving(save) }, title);
  return h(
    "div",
    { class: "row" },
    button("CSV", () => download(`${name}.csv`, csv(table(scan)), "text/csv")),
    button("PNG", async () => download(`${name}.png`, await pngOfSvg(picture()))),
    button("SVG", () => download(`${name}.svg`, svgText(picture()), "image/svg+xml")),
    codeButton(() => snippets(work, scan)),
  );
}

/** The columns that `esmkit mutations scan` writes; positions from 1. */
function table(scan) {
  const letters = [...VOCABULARY].sort();
  const rows = scan.scores.flatMap((scores, at) =>
    !scores
      ? []
      : letters
          .filter((letter) => letter !== scan.sequence[at])
          .map((letter) => {
            const column = VOCABULARY.indexOf(letter);
            return [at + 1, scan.sequence[at], letter, scan.name(at, column), scores[column]];
          }),
  );
  return [["position", "wild_type", "residue", "mutant", scan.method], ...rows];
}

function snippets(work, scan) {
  const { slug } = work.model;
  const params = scan.method === "masked_marginal" ? undefined : { method: scan.method };
  const more = params ? `, method="${scan.method}"` : "";
  const option = params ? ` --method ${scan.method}` : "";
  return {
    curl: curl(slug, "mutations", [{ sequence: work.sequence }], params),
    "Python (esmkit)": [
      "import esmkit",
      "from esmkit.applications import mutations",
      "",
      `scan = mutations.scan(esmkit.load("${slug}"), "${work.sequence}"${more})`,
      "print(scan.scores.shape)  # positions x 20, in the order of esmkit.alphabet.STANDARD",
      "for position in scan.summary():",
      "    print(position.position, position.best_substitution, round(position.mean_effect, 3))",
    ].join("\n"),
    CLI: [
      `esmkit mutations scan --sequence ${work.sequence} \\`,
      `  --model ${slug}${option} --out scan.csv --heatmap scan.html`,
    ].join("\n"),
  };
}
