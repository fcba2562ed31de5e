// Many proteins as points: read them, ask the API for a map, show it.
import { call } from "../core/api.js";
import { copyText } from "../core/code.js";
import { frame, h, one } from "../core/dom.js";
import { link, read as readState, write as writeState } from "../core/state.js";
import { duration, reveal, waiting } from "../core/waiting.js";
import { CLUSTER, Chart } from "../map/chart.js";
import { requestOf, snippets } from "../map/snippets.js";
import { source } from "../map/source.js";
import { show } from "../map/view.js";

const EXAMPLE = {
  id: "cath",
  title: "283 domains of CATH",
  name: "cath_domains.csv",
  address: new URL("../examples/cath_domains.csv", import.meta.url),
};
const NEAREST = 10;
const FEWEST = 3;
const MOST_IN_LINK = 60_000;
const { most_items: mostItems, most_bytes: mostBytes, offers } = frame.page;

const model = one("#model");
const method = one("#method");
const runButton = one("#run");
const speeds = Object.fromEntries(frame.models.map(({ slug, tokens_per_s }) => [slug, tokens_per_s]));
let chart = null;
let shown = null;
let isBusy = false;
// What the server measured last may have been a single short protein, which is slow per residue.
const measured = new Set();

const panel = source(describe, {
  maxResidues: frame.max_residues,
  mostBytes,
  examples: [{ title: EXAMPLE.title, open: openExample }],
});
one("#source").append(panel.element);
model.addEventListener("change", () => describe(panel.found()));
method.addEventListener("change", () => describe(panel.found()));
runButton.addEventListener("click", () => run());
one("#example").addEventListener("click", openExample);
one("#share").addEventListener("click", share);

const chosenModel = () => frame.models.find(({ slug }) => slug === model.value);
const residuesOf = (records) => records.reduce((sum, { sequence }) => sum + sequence.length, 0);
const isUsable = ({ records, problems, leavesOut }) =>
  offers.maps && !isBusy && records.length >= FEWEST && records.length <= mostItems && (!problems.length || leavesOut);

/** Says how much there is to do, before it is done. */
function describe(found) {
  runButton.disabled = !isUsable(found);
  const { records } = found;
  const count = records.length.toLocaleString("en");
  const expected = expectedSeconds(records);
  const about = measured.has(model.value) ? "About" : "Up to about";
  const time = expected ? ` ${about} ${duration(expected)} with ${chosenModel().title}.` : "";
  let text = records.length ? `${count} proteins, ${residuesOf(records).toLocaleString("en")} residues.${time}` : "";
  if (records.length && records.length < FEWEST) text = `A map needs ${FEWEST} proteins or more.`;
  if (records.length > mostItems)
    text = `${count} proteins; at most ${mostItems.toLocaleString("en")} fit here. Take some, or use esmkit map.`;
  one("#estimate").textContent = text;
}

/** Seconds that embedding takes; 0 while nobody knows how fast the model is here. */
function expectedSeconds(records, slug = model.value) {
  const speed = speeds[slug];
  return speed ? (residuesOf(records) + 2 * records.length) / speed : 0;
}

async function openExample() {
  const response = await fetch(EXAMPLE.address);
  panel.set({ name: EXAMPLE.name, text: await response.text(), example: EXAMPLE.id });
  await run();
}

const params = () => ({ nearest: NEAREST, ...(method.value === "umap" ? { method: "umap" } : {}) });

async function run(wanted = {}) {
  const set = panel.found();
  if (!isUsable(set)) return;
  const given = panel.given();
  const about = { model: chosenModel(), method: method.value };
  const asked = requestOf(set.records, params());
  isBusy = runButton.disabled = true;
  const layout = await embedded(about.model.slug, set, "map", asked.params, doing(set, about));
  isBusy = false;
  describe(panel.found());
  if (!layout) return;
  chart = new Chart(set, layout, about);
  const column = chart.columns.includes(wanted.column) ? wanted.column : chart.firstColumn();
  chart.colour(column, wanted.kind);
  one("#nothing").hidden = true;
  one("#map").hidden = false;
  const file = (given.name || "proteins").replace(/\.\w+$/, "");
  shown = show(one("#map"), chart, {
    file,
    remember,
    code: () =>
      snippets(chart, given.name || (set.kind === "FASTA" ? "proteins.fasta" : "proteins.csv"), set, asked.params),
    request: () => asked,
    clusters: clusterPanel(set),
  });
  one("#share").disabled = false;
  reveal(one("#map"));
  remember();
}

function doing({ records }, about) {
  const embedding = `Embedding ${records.length.toLocaleString("en")} proteins with ${about.model.title}`;
  return about.method === "umap"
    ? `${embedding}, then UMAP, whose first run takes some seconds more…`
    : `${embedding}…`;
}

/** The one result of an action over all proteins, while its progress is shown; null if it was stopped or failed. */
async function embedded(slug, set, action, given, text, place = one("#progress")) {
  const begun = performance.now();
  const items = set.records.map(({ sequence }) => ({ sequence }));
  const found = await waiting(place, text, (signal) => call(slug, action, items, given, { signal }), {
    expected_s: expectedSeconds(set.records, slug),
  });
  if (!found) return null;
  if (given.method !== "umap") {
    speeds[slug] = (residuesOf(set.records) * 1000) / (performance.now() - begun);
    measured.add(slug);
  }
  describe(panel.found());
  return found[0];
}

function clusterPanel(set) {
  const own = chart;
  const by = h(
    "select",
    { "aria-label": "Method of clustering" },
    h("option", { value: "hdbscan" }, "HDBSCAN (leaves noise)"),
    h(
      "option",
      { value: "leiden", disabled: !offers.leiden },
      offers.leiden ? "Leiden (no noise)" : "Leiden (not installed)",
    ),
  );
  const size = h("input", {
    type: "number",
    min: 2,
    max: set.records.length,
    value: Math.min(5, set.records.length),
    "aria-label": "Proteins of a cluster, at least",
  });
  const place = h("div", {});
  const button = h("button", { type: "button", onclick: find }, "Find clusters");
  by.addEventListener("change", () => (sizes.hidden = by.value !== "hdbscan"));
  const sizes = h("label", { class: "small" }, "at least", size, "proteins");
  async function find() {
    const given = by.value === "leiden" ? { method: "leiden" } : { method: "hdbscan", min_size: Number(size.value) };
    button.disabled = true;
    const found = await embedded(own.about.model.slug, set, "cluster", given, "Finding clusters…", place);
    button.disabled = false;
    if (!found || own !== chart) return;
    chart.clusters = found.clusters;
    chart.about.clusterMethod = by.value;
    chart.colour(CLUSTER);
    shown.refresh();
    const count = Object.keys(found.sizes).length;
    place.replaceChildren(
      h(
        "p",
        { class: "hint", role: "status" },
        `${count} ${count === 1 ? "cluster" : "clusters"}, ${found.noise} of ${own.size} are noise.`,
      ),
    );
  }
  return h(
    "section",
    { class: "stack clusters", "aria-label": "Clusters" },
    h("h2", {}, "Clusters"),
    by,
    h("div", { class: "row" }, sizes, button),
    h("p", { class: "hint" }, "Of whole embeddings, not of places on the map; they are computed again for it."),
    place,
  );
}

function state() {
  const { text, example, name, columns, leavesOut } = panel.given();
  const content = example ? { example } : { text, name, columns, leavesOut };
  const column =
    chart && chart.column !== CLUSTER ? { column: chart.column, kind: chart.canBoth ? chart.coding.kind : null } : {};
  return { ...content, model: model.value, method: method.value, ...column };
}

const fitsLink = () => panel.given().example !== null || panel.given().text.length <= MOST_IN_LINK;

function remember() {
  if (fitsLink()) writeState(state());
  else history.replaceState(null, "", location.pathname);
}

async function share() {
  copyText(await link(state()));
}

const saved = await readState();
if (saved) {
  if (frame.models.some(({ slug }) => slug === saved.model)) model.value = saved.model;
  if (saved.method === "umap" && offers.umap) method.value = "umap";
  const text = saved.example === EXAMPLE.id ? await (await fetch(EXAMPLE.address)).text() : (saved.text ?? "");
  panel.set({ ...saved, text, name: saved.example === EXAMPLE.id ? EXAMPLE.name : (saved.name ?? "") });
  await run(saved);
} else {
  describe(panel.found());
}
