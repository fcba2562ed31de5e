// Where a structure is given: a file or the example, one of its chains, how it fits to the protein, and the chain in
// 3-D.
import { diverging, sequential } from "../core/colour.js";
import { h } from "../core/dom.js";
import { download } from "../core/save.js";
import { structure } from "../views/structure.js";
import { tip } from "../views/tip.js";
import { place } from "./alignment.js";
import { chainsOf, textOf } from "../core/structures.js";
import { logProbabilities } from "./work.js";

const EXAMPLE = { name: "2yad_A.pdb", url: new URL("../examples/structures/2yad_A.pdb", import.meta.url) };
const LEAST_IDENTITY = 0.3;
const LEAST_ALIGNED = 10;
const SAME = 0.95;
const ACCEPTED = ".pdb,.ent,.cif,.mmcif,.gz";

/**
 * The panel for a structure: `onstructure({chain, places} | null)` is told which one is shown, `onresidue(position)` of
 * a click. Gives {element, pair(i, j, text)}, which joins two positions of the protein in 3-D.
 */
export function structurePanel(work, map, { onstructure, onresidue }) {
  const file = h("input", {
    type: "file",
    class: "visually-hidden",
    accept: ACCEPTED,
    "aria-label": "Open a structure, PDB or mmCIF",
    tabindex: -1,
  });
  const open = h("button", { type: "button", onclick: () => file.click() }, "Open PDB or mmCIF…");
  const example = h("button", { type: "button", class: "ghost", onclick: () => useExample() }, "Example structure");
  const remove = h("button", { type: "button", class: "ghost", hidden: true, onclick: () => clear() }, "Remove");
  const chooser = h("select", { "aria-label": "Chain" });
  const chainField = h("label", { hidden: true }, "Chain", chooser);
  const said = h("p", { class: "small", role: "status" });
  const failed = h("p", { class: "error", role: "alert" });
  const drop = h(
    "div",
    { class: "structure-drop empty" },
    h("p", {}, "Drop a structure of this protein here, PDB or mmCIF."),
    h(
      "p",
      { class: "hint" },
      "It is read in your browser and sent nowhere. Its contacts fill the lower triangle; predictions are counted against it; and pairs are shown in 3-D.",
    ),
  );
  const place3d = h("div", { class: "structure-place" }, drop);
  const element = h(
    "section",
    { class: "stack structure-panel", "aria-label": "Structure" },
    h("div", { class: "row" }, open, file, example, chainField, remove),
    said,
    failed,
    place3d,
  );
  let chains = [];
  let shown = null;
  let drawing = null;
  let drawn = new AbortController();
  const pointer = tip();

  async function take(name, reading) {
    failed.textContent = "";
    try {
      const text = await reading();
      chains = chainsOf(text, name);
      const fits = chains.map((chain) => ({ chain, fit: place(chain.sequence, work.sequence) }));
      fits.sort((a, b) => b.fit.identity * b.fit.aligned - a.fit.identity * a.fit.aligned);
      chooser.replaceChildren(
        ...chains.map((chain, at) => h("option", { value: at }, `${chain.id} (${chain.residues.length})`)),
      );
      chooser.value = chains.indexOf(fits[0].chain);
      chainField.hidden = chains.length < 2;
      element.dataset.name = name;
      use(fits[0].chain, fits[0].fit);
    } catch (error) {
      if (error.name === "AbortError") return;
      clear();
      failed.textContent = error.message;
    }
  }
  function takeFile(chosen) {
    work.remember("contacts.structure", undefined); // a link cannot hold it
    return take(chosen.name, () => textOf(chosen));
  }
  function useExample() {
    work.remember("contacts.structure", "example");
    return take(EXAMPLE.name, async () => {
      const answer = await fetch(EXAMPLE.url, { signal: work.signal });
      if (!answer.ok) throw new Error("the example structure could not be loaded; reload the page to try again");
      return answer.text();
    });
  }
  function use(chain, fit) {
    failed.textContent = "";
    remove.hidden = false;
    const isTooShort = fit.aligned < Math.min(LEAST_ALIGNED, work.sequence.length);
    if (fit.identity < LEAST_IDENTITY || isTooShort) {
      said.textContent = "";
      failed.textContent = `Chain ${chain.id} of ${element.dataset.name} is of another protein: ${isTooShort ? `only ${fit.aligned} residues can be aligned` : `best aligned, ${percent(fit.identity)} of ${fit.aligned} residues are equal, and at least ${percent(LEAST_IDENTITY)} are needed`}. Choose another chain, file or protein.`;
      shown = null;
      ended();
      place3d.replaceChildren(drop);
      onstructure(null);
      return;
    }
    said.className = `small ${fit.identity < SAME ? "warned" : "muted"}`;
    said.textContent = about(chain, fit, work.sequence.length);
    shown = {
      chain,
      places: fit.places,
      residueAt: new Map(chain.residues.map((residue) => [fit.places[residue.place], residue])),
    };
    draw(chain, fit.places);
    onstructure({ chain, places: fit.places });
  }
  function clear() {
    chains = [];
    shown = null;
    ended();
    said.textContent = failed.textContent = "";
    chainField.hidden = remove.hidden = true;
    place3d.replaceChildren(drop);
    work.remember("contacts.structure", undefined);
    onstructure(null);
  }
  /** The 3-D view is gone: its memory on the graphics card is freed. */
  function ended() {
    drawn.abort();
    drawing = null;
  }
  function draw(chain, places) {
    const position = (residue) => places[residue.place];
    ended();
    drawn = new AbortController();
    drawing = structure(chain, {
      signal: drawn.signal,
      label: `Chain ${chain.id} of ${element.dataset.name} in 3-D`,
      onhover: (residue) => (residue ? pointer.show(last, named(residue, position(residue), chain)) : pointer.hide()),
      onchoose: (residue) => residue && position(residue) >= 0 && onresidue(position(residue)),
    });
    const current = drawing;
    drawing.ready.catch((error) => {
      if (current === drawing) place3d.replaceChildren(h("p", { class: "error", role: "alert" }, error.message));
    });
    place3d.replaceChildren(drawing.element, colours(drawing, position));
  }
  function colours(drawn3d, position) {
    const choose = h(
      "select",
      {},
      Object.entries(COLOURS).map(([id, { title }]) => h("option", { value: id }, title)),
    );
    const hint = h("p", { class: "hint" });
    const how = h(
      "p",
      { class: "hint" },
      "Drag to turn, Ctrl and wheel for nearer; only this chain's backbone is drawn.",
    );
    const apply = async () => {
      work.remember("contacts.colour", choose.value);
      const { values, scale, text } = await COLOURS[choose.value].of({ work, map, chain: shown.chain, position });
      hint.textContent = text;
      drawn3d.colour((residue) => {
        const value = values(residue);
        return Number.isFinite(value) ? scale(value) : [150, 160, 168];
      });
    };
    choose.value =
      work.option("contacts.colour", "position") in COLOURS ? work.option("contacts.colour", "position") : "position";
    choose.addEventListener("change", apply);
    apply();
    const save = h(
      "button",
      {
        type: "button",
        class: "ghost",
        onclick: async () => download(`${work.record.id}_structure.png`, await drawn3d.png()),
      },
      "PNG of the view",
    );
    return h(
      "div",
      { class: "stack" },
      h("div", { class: "row spread" }, h("label", {}, "Colour", choose), save),
      hint,
      how,
    );
  }
  work.signal.addEventListener("abort", () => {
    ended();
    pointer.remove();
  });
  let last = { clientX: 0, clientY: 0 };
  place3d.addEventListener("pointermove", (event) => (last = event));
  place3d.addEventListener("pointerleave", () => pointer.hide());
  file.addEventListener("change", () => {
    const [chosen] = file.files;
    if (chosen) takeFile(chosen);
    file.value = "";
  });
  chooser.addEventListener("change", () => {
    const chain = chains[Number(chooser.value)];
    use(chain, place(chain.sequence, work.sequence));
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    element.addEventListener(kind, (event) => {
      event.preventDefault();
      element.classList.toggle("over", kind === "dragover");
      const chosen = kind === "drop" && event.dataTransfer.files[0];
      if (chosen) takeFile(chosen);
    });
  }
  if (work.option("contacts.structure") === "example") useExample();
  return {
    element,
    pair: (i, j, text) =>
      shown && drawing?.pair(shown.residueAt.get(i) ?? null, shown.residueAt.get(j) ?? null, text.replace(/: .*/, "")),
  };
}

const percent = (share) => `${(share * 100).toFixed(share < 1 && share > 0.995 ? 1 : 0)} %`;

function about(chain, { how, identity, aligned, places }, length) {
  const covered = chain.residues.filter((residue) => places[residue.place] >= 0).length;
  const of = `${covered} of ${length} residues of the protein are in chain ${chain.id}`;
  if (how === "exact") return `The sequence of the structure is the same: ${of}.`;
  const advice = identity < SAME ? " Check that this is the right protein: positions may be off." : "";
  return `The sequences differ: aligned, ${percent(identity)} of ${aligned} residues are equal; ${of}.${advice}`;
}

function named({ name, number, icode }, position, chain) {
  const here = position < 0 ? "not in the protein" : `position ${position + 1}`;
  return `${name} ${number}${icode} of chain ${chain.id}: ${here}`;
}

/** What a residue can be coloured by: its value, its scale, and a sentence. */
const COLOURS = {
  position: {
    title: "Position",
    of: ({ chain }) => ({
      values: (residue) => residue.place,
      scale: sequential(-chain.sequence.length / 3, chain.sequence.length),
      text: "Pale at the start of the chain, dark at its end.",
    }),
  },
  contacts: {
    title: "Predicted contacts",
    of({ map, position }) {
      const sums = contactSums(map);
      const most = Math.max(...sums, 1e-6);
      return {
        values: (residue) => sums[position(residue)],
        scale: sequential(-most / 4, most),
        text: `How many contacts the model expects of a residue: probabilities of pairs at least 6 apart, summed; dark is ${most.toFixed(1)}.`,
      };
    },
  },
  likelihood: {
    title: "Likelihood",
    async of({ work, position }) {
      const { logits, vocab_tokens: vocabulary } = await work.encoded();
      const logs = logProbabilities(logits).map((row, at) => row[vocabulary.indexOf(work.sequence[at])]);
      return {
        values: (residue) => logs[position(residue)] - Math.log(1 / 20),
        scale: diverging(3),
        text: "Blue: the residue is likelier than one in 20 to the model; red: less likely. One pass, nothing masked.",
      };
    },
  },
  b: {
    title: "B-factor of the file",
    of({ chain }) {
      const values = chain.residues.map((residue) => residue.b);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const text =
        low === high
          ? `The file has ${low.toFixed(2)} for every residue.`
          : `From ${low.toFixed(1)} (pale) to ${high.toFixed(1)} (dark).`;
      return { values: (residue) => residue.b, scale: sequential(low - (high - low) / 4 - 1e-6, high), text };
    },
  },
};

function contactSums({ size, values }) {
  return Array.from({ length: size }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < size; j += 1) if (Math.abs(i - j) >= 6) sum += values[i * size + j];
    return sum;
  });
}
