// A protein chain in 3-D, drawn by 3Dmol, which is loaded when first needed.
// It keeps to the strict policy of the pages: its only worker is for surfaces and its only eval for callbacks given as
// text; nothing here uses either.
import { css, themed } from "../core/colour.js";
import { h } from "../core/dom.js";
import { png } from "../core/save.js";
import { backbonePdb } from "../core/structures.js";

const LIBRARY = new URL("../vendor/3Dmol-2.5.5.min.js", import.meta.url);
const TURN = 20;
let library = null;

function load() {
  library ??= new Promise((resolve, reject) => {
    const failed = () => {
      library = null;
      reject(new Error("the 3-D library could not be loaded; reload the page to try again"));
    };
    document.head.append(h("script", { src: LIBRARY.href, onload: () => resolve(globalThis.$3Dmol), onerror: failed }));
  });
  return library;
}

/**
 * A chain of `structures.js` as a cartoon, until `signal` ends. `onhover(residue | null)` and `onchoose(residue)` are
 * told of residues under the pointer. Gives {element, ready, colour(colourOf), pair(first, second, text), png()};
 * `ready` fails where there is no WebGL.
 * `colourOf(residue)` gives [r, g, b]; `pair` joins two residues by a dashed line, with nulls none.
 */
export function structure(chain, { label, onhover = () => {}, onchoose = () => {}, signal }) {
  const stage = h("div", { class: "stage", role: "img", "aria-label": label });
  const button = (text, name, work) =>
    h(
      "button",
      { type: "button", class: "ghost", "aria-label": name, title: name, onclick: () => viewer && work() },
      text,
    );
  const element = h(
    "div",
    { class: "structure" },
    stage,
    h(
      "div",
      { class: "row structure-tools" },
      button("↺", "Turn left", () => turn("y", -TURN)),
      button("↻", "Turn right", () => turn("y", TURN)),
      button("⤒", "Turn up", () => turn("x", -TURN)),
      button("⤓", "Turn down", () => turn("x", TURN)),
      button("+", "Nearer", () => nearer(1.2)),
      button("−", "Farther", () => nearer(1 / 1.2)),
      button("Whole", "Show the whole chain", whole),
    ),
  );
  // without Ctrl the wheel belongs to the page
  stage.addEventListener("wheel", (event) => event.ctrlKey || event.metaKey || event.stopPropagation(), {
    capture: true,
  });
  let viewer = null;
  let colourOf = () => [47, 158, 155];
  const byPlace = new Map(chain.residues.map((residue) => [residue.place, residue]));
  const residueOf = (atom) => byPlace.get(atom.resi - 1) ?? null;

  async function start() {
    const $3Dmol = await load();
    viewer = $3Dmol.createViewer(stage, { backgroundColor: hex(themed("--surface")), antialias: true });
    if (!viewer)
      throw new Error("this browser has no WebGL, which the 3-D view needs; the map and the table work without");
    viewer.addModel(backbonePdb(chain), "pdb");
    viewer.setHoverDuration(40);
    viewer.setHoverable(
      {},
      true,
      (atom) => onhover(residueOf(atom)),
      () => onhover(null),
    );
    viewer.setClickable({}, true, (atom) => onchoose(residueOf(atom)));
    paint();
    whole();
    document.addEventListener("themechange", ground, { signal });
    const sized = new ResizeObserver(() => viewer.resize());
    sized.observe(stage);
    signal.addEventListener("abort", () => {
      sized.disconnect();
      // browsers have room for few of these
      stage.querySelector("canvas").getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
    });
  }
  function ground() {
    viewer.setBackgroundColor(hex(themed("--surface")));
    viewer.render();
  }
  function paint() {
    const colours = new Map(chain.residues.map((residue) => [residue.place + 1, hex(css(colourOf(residue)))]));
    viewer.setStyle({}, { cartoon: { colorfunc: (atom) => colours.get(atom.resi), thickness: 0.5 } });
    viewer.render();
  }
  function turn(axis, degrees) {
    viewer.rotate(degrees, axis);
    viewer.render();
  }
  function nearer(factor) {
    viewer.zoom(factor);
    viewer.render();
  }
  function whole() {
    viewer.zoomTo();
    viewer.render();
  }
  function join(first, second, text) {
    viewer.removeAllShapes();
    viewer.removeAllLabels();
    const ends = [first, second].filter(Boolean);
    const colour = hex(themed("--warn"));
    ends.forEach((residue) => viewer.addSphere({ center: point(residue), radius: 0.9, color: colour }));
    if (ends.length === 2) {
      const line = {
        start: point(first),
        end: point(second),
        radius: 0.18,
        color: colour,
        dashed: true,
        dashLength: 0.7,
        gapLength: 0.45,
      };
      viewer.addCylinder({ ...line, fromCap: 1, toCap: 1 });
      const corner = { useScreen: true, position: { x: 10, y: 10, z: 0 } }; // where it hides no residue
      const look = { fontSize: 13, backgroundColor: "#17212b", backgroundOpacity: 0.85, fontColor: "#ffffff" };
      viewer.addLabel(text, { ...corner, ...look });
    }
    viewer.render();
  }
  const ready = start();
  const whenReady = (work) => ready.then(work, () => {}); // whoever waits for `ready` says why it failed
  return {
    element,
    ready,
    colour(chosen) {
      colourOf = chosen;
      return whenReady(paint);
    },
    pair: (first, second, text = "") => whenReady(() => join(first, second, text)),
    png() {
      viewer.render();
      return png(stage.querySelector("canvas"));
    },
  };
}

function point({ atoms: { CA, CB } }) {
  const [x, y, z] = CB ?? CA;
  return { x, y, z };
}

/** `#rrggbb` of `rgb(...)`. */
function hex(text) {
  const channels = text.match(/[\d.]+/g).slice(0, 3);
  return `#${channels.map((channel) => Math.round(Number(channel)).toString(16).padStart(2, "0")).join("")}`;
}
