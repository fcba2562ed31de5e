// What may change in a protein: positions, amino acids (everywhere, or at one position), how many mutations at once.
import { h } from "../core/dom.js";
import { field, numberField } from "../core/fields.js";
import { AMINO_ACIDS, countVariants, many, readPositions, writePositions } from "./notation.js";
import { residueGrid } from "./residues.js";

const SETS = [
  ["All", AMINO_ACIDS],
  ["Hydrophobic", "AFILMVWY"],
  ["Polar", "HNQST"],
  ["Charged", "DEKR"],
  ["Not C, P", "ADEFGHIKLMNQRSTVWY"],
];

/**
 * The chooser; `onchange` is told of every change. Gives {element, fields, set(sequence), choose(places),
 * item(), choices(), state(), restore(saved), offset(), places()}; `fields` are by their place in a request of the API.
 */
export function space(onchange, { most = 3, none = "Give a parent sequence first." } = {}) {
  let sequence = "";
  let places = new Set();
  let everywhere = AMINO_ACIDS;
  const restricted = new Map();
  let pointed = 0;
  let isLocal = false;

  const positions = field(
    "Positions that may change",
    h("input", { type: "text", placeholder: "39-41, 54", spellcheck: "false" }),
  );
  const fewest = numberField("Mutations, at least", 1, { min: 1, max: 50 });
  const atMost = numberField("at most", most, { min: 1, max: 50 });
  const firstNumber = numberField("Numbered from", 1);
  const fields = {
    "items.0.positions": positions,
    "items.0.fewest": fewest,
    "items.0.most": atMost,
    "items.0.offset": firstNumber,
    "items.0.allowed": null,
    "items.0.allowed_at": null,
  };
  const grid = residueGrid(
    (chosen) => {
      places = chosen;
      changed();
    },
    (at) => {
      pointed = at;
      drawAllowed();
    },
  );
  const empty = h("p", { class: "empty small" }, none);
  const holder = h("div", { class: "scroll grid-holder" }, grid.element);
  const said = h("p", { class: "hint", "aria-live": "polite" });
  const allowed = h("div", { class: "stack allowed" });
  const problem = h("p", { class: "error", role: "alert" });
  fields["items.0.allowed"] = fields["items.0.allowed_at"] = { wrong: (text) => (problem.textContent = text) };

  const offset = () => (firstNumber.value() ?? 1) - 1;
  const numbers = () => [...places].sort((a, b) => a - b).map((at) => at + 1 + offset());
  const all = () => new Set([...sequence].keys());

  positions.control.addEventListener("change", () => {
    try {
      const read = readPositions(positions.control.value, 1 + offset(), sequence.length + offset());
      places = new Set(read.map((each) => each - 1 - offset()));
      positions.wrong("");
      changed();
    } catch (error) {
      positions.wrong(error.message);
    }
  });
  for (const { control } of [fewest, atMost, firstNumber]) control.addEventListener("change", changed);

  function changed() {
    draw();
    onchange();
  }
  function draw() {
    empty.hidden = Boolean(sequence);
    holder.hidden = !sequence;
    positions.control.value = writePositions(numbers());
    grid.draw({ sequence, offset: offset(), places, restricted });
    drawAllowed();
    said.textContent = sequence
      ? `${places.size} of ${sequence.length} positions may change: ${many(size())} variants keep to this.`
      : "";
  }
  function drawAllowed() {
    const name = sequence ? `${sequence[pointed] ?? ""}${pointed + 1 + offset()}` : "one position";
    const scope = h(
      "div",
      { class: "segmented", role: "group", "aria-label": "Where these amino acids hold" },
      pressed(
        "Everywhere",
        !isLocal,
        () => {
          isLocal = false;
          drawAllowed();
        },
        "scope-all",
      ),
      pressed(
        `At ${name}`,
        isLocal,
        () => {
          isLocal = true;
          drawAllowed();
        },
        "scope-one",
      ),
    );
    const now = isLocal ? (restricted.get(pointed) ?? everywhere) : everywhere;
    const toggles = [...AMINO_ACIDS].map((residue) =>
      pressed(residue, now.includes(residue), () => put(toggled(now, residue), residue), `amino-${residue}`),
    );
    const sets = SETS.map(([title, residues]) =>
      h("button", { type: "button", class: "ghost small", onclick: () => put(residues) }, title),
    );
    const chips = [...restricted].sort(([a], [b]) => a - b).map(([at, residues]) => chip(at, residues));
    const focused = document.activeElement?.closest?.(".allowed") && document.activeElement.dataset.key;
    allowed.replaceChildren(
      h("div", { class: "row spread" }, h("h3", {}, "Amino acids that may be put in"), scope),
      h(
        "div",
        { class: "row amino", role: "group", "aria-label": `Amino acids ${isLocal ? `at ${name}` : "everywhere"}` },
        toggles,
      ),
      h("div", { class: "row" }, sets, chips),
    );
    if (focused) allowed.querySelector(`[data-key="${focused}"]`)?.focus();
  }
  function put(residues) {
    problem.textContent = residues
      ? ""
      : "At least one amino acid must be allowed; to keep a position as it is, do not let it change.";
    if (!residues) return;
    if (!isLocal) everywhere = residues;
    else if (residues === everywhere) restricted.delete(pointed);
    else restricted.set(pointed, residues);
    changed();
  }
  function chip(at, residues) {
    const name = `${sequence[at]}${at + 1 + offset()}`;
    const away = () => {
      restricted.delete(at);
      changed();
    };
    return h(
      "span",
      { class: "badge" },
      `${name}: ${residues} `,
      h("button", { type: "button", class: "ghost away", "aria-label": `${name} as everywhere`, onclick: away }, "×"),
    );
  }
  const choices = () =>
    [...places].map(
      (at) => [...(restricted.get(at) ?? everywhere)].filter((residue) => residue !== sequence[at]).length,
    );
  const size = () => countVariants(choices(), fewest.value() ?? 1, atMost.value() ?? 1);

  /** As the API takes it; what is by default is left out. */
  function item() {
    const own = [...restricted]
      .filter(([at]) => places.has(at))
      .map(([at, residues]) => ({ position: at + 1 + offset(), residues }));
    return {
      sequence,
      ...(places.size === sequence.length ? {} : { positions: numbers() }),
      ...(everywhere === AMINO_ACIDS ? {} : { allowed: everywhere }),
      ...(own.length ? { allowed_at: own } : {}),
      fewest: fewest.value() ?? 1,
      most: atMost.value() ?? 1,
      ...(offset() ? { offset: offset() } : {}),
    };
  }
  function set(given) {
    if (given === sequence) return;
    sequence = given;
    places = all();
    restricted.clear();
    pointed = 0;
    draw();
  }
  function choose(chosen) {
    places = new Set(chosen);
    changed();
  }
  const state = () => ({
    places: [...places],
    everywhere,
    restricted: [...restricted],
    fewest: fewest.control.value,
    most: atMost.control.value,
    first: firstNumber.control.value,
  });
  function restore(saved) {
    if (!saved) return;
    fewest.control.value = saved.fewest;
    atMost.control.value = saved.most;
    firstNumber.control.value = saved.first;
    everywhere = saved.everywhere;
    restricted.clear();
    for (const [at, residues] of saved.restricted) restricted.set(at, residues);
    places = new Set(saved.places.filter((at) => at < sequence.length));
    draw();
  }
  const quick = h(
    "div",
    { class: "row" },
    h("button", { type: "button", class: "ghost", onclick: () => choose(all()) }, "All"),
    h("button", { type: "button", class: "ghost", onclick: () => choose([]) }, "None"),
  );
  const element = h(
    "div",
    { class: "stack space" },
    h("div", { class: "row spread" }, h("h2", {}, "What may change"), quick),
    h(
      "p",
      { class: "hint" },
      "Choose residues: filled ones may change. Arrow keys move, space chooses, Shift takes a range.",
    ),
    empty,
    holder,
    positions.element,
    allowed,
    problem,
    h("div", { class: "numbers" }, fewest.element, atMost.element, firstNumber.element),
    said,
  );
  draw();
  return { element, fields, set, choose, item, choices, state, restore, offset, places: () => places.size };
}

function pressed(text, is, onclick, key) {
  return h("button", { type: "button", "aria-pressed": String(is), onclick, data: { key } }, text);
}

function toggled(residues, residue) {
  return [...AMINO_ACIDS].filter((each) => (each === residue) !== residues.includes(each)).join("");
}
