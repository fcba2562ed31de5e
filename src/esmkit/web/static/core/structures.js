// Protein chains of PDB and mmCIF files, read in the browser: residues in order, where their C-beta atoms are.
// The rules are those of esmkit's own reader: model 1, the first alternative location, modified residues as their
// parents, hetero residues only where they are bonded into the chain, X where a break lacks residues.

const MOST_BYTES = 30_000_000;
const MOST_ATOMS = 300_000;
const BOND = 2.5; // Å between C and N of neighbours at most
const MOST_MISSING = 100;
const BACKBONE = ["N", "CA", "C", "O", "CB"];

const LETTERS = {
  ALA: "A",
  CYS: "C",
  ASP: "D",
  GLU: "E",
  PHE: "F",
  GLY: "G",
  HIS: "H",
  ILE: "I",
  LYS: "K",
  LEU: "L",
  MET: "M",
  ASN: "N",
  PRO: "P",
  GLN: "Q",
  ARG: "R",
  SER: "S",
  THR: "T",
  VAL: "V",
  TRP: "W",
  TYR: "Y",
  SEC: "U",
  PYL: "O",
  ASX: "B",
  GLX: "Z",
  // parents of the modified residues that are common in the Protein Data Bank
  MSE: "M",
  SEP: "S",
  TPO: "T",
  PTR: "Y",
  HYP: "P",
  CSO: "C",
  CSD: "C",
  CME: "C",
  OCS: "C",
  CSX: "C",
  CAS: "C",
  SMC: "C",
  CGU: "E",
  PCA: "Q",
  KCX: "K",
  MLY: "K",
  M3L: "K",
  MLZ: "K",
  ALY: "K",
  LLP: "K",
  FME: "M",
  MHO: "M",
  SNN: "N",
  TYS: "Y",
  NEP: "H",
  HIC: "H",
  AGM: "R",
  "2MR": "R",
  IAS: "D",
  TRQ: "W",
  SCY: "C",
  YCM: "C",
  CXM: "M",
};

/** The text of a file, uncompressed if it ends with .gz. Throws an Error for people. */
export async function textOf(file) {
  if (file.size > MOST_BYTES) throw tooLarge(file.name);
  if (!/\.gz$/i.test(file.name)) return file.text();
  const reader = file.stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  const parts = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new Error(`${file.name} cannot be uncompressed; is it a gzip file?`);
    });
    if (done) return new Blob(parts).text();
    parts.push(value);
    size += value.length;
    if (size > MOST_BYTES) {
      reader.cancel();
      throw tooLarge(file.name);
    }
  }
}

const tooLarge = (name) => new Error(`${name} is larger than ${MOST_BYTES / 1e6} MB; give a file with one chain only`);

/**
 * The protein chains of a text, in order: [{id, sequence, residues}]. A residue is {name, letter, number, icode, place,
 * atoms: {CA: [x, y, z], ...}, b}; `place` is its place in `sequence`. Throws an Error for people.
 */
export function chainsOf(text, name) {
  const atoms = /^\s*(data_|loop_|_atom_site\.)/m.test(text) ? cifAtoms(text, name) : pdbAtoms(text, name);
  if (!atoms.length) throw new Error(`${name} holds no atoms; give a protein structure as PDB or mmCIF`);
  const byChain = new Map();
  for (const atom of atoms) {
    const residues = byChain.get(atom.chain) ?? byChain.set(atom.chain, []).get(atom.chain);
    const last = residues.at(-1);
    const same = last && last.number === atom.number && last.icode === atom.icode && last.name === atom.residue;
    const residue = same ? last : opened(residues, atom);
    residue.atoms[atom.atom] ??= atom.xyz; // the first alternative location
  }
  const chains = [...byChain]
    .map(([id, residues]) => chainOf(id, residues))
    .filter((chain) => chain.residues.length > 1);
  if (!chains.length) throw new Error(`${name} holds no protein chain with the atoms N, CA and C`);
  return chains;
}

function opened(residues, { residue, number, icode, hetero, b }) {
  const made = { name: residue, letter: LETTERS[residue] ?? "X", number, icode, hetero, b, atoms: {} };
  residues.push(made);
  return made;
}

/** One chain: without ligands, with X for residues that are missing. */
function chainOf(id, found) {
  const amino = found.filter(({ name, atoms }) => (LETTERS[name] ? atoms.CA : atoms.N && atoms.CA && atoms.C));
  const bonded = amino.map((residue, at) => distance(amino[at - 1]?.atoms.C, residue.atoms.N) < BOND);
  const residues = amino.filter(({ hetero }, at) => !hetero || bonded[at] || bonded[at + 1]);
  let sequence = "";
  residues.forEach((residue, at) => {
    sequence += "X".repeat(at ? missing(residues[at - 1], residue) : 0);
    residue.place = sequence.length;
    sequence += residue.letter;
  });
  return { id, sequence, residues };
}

function missing(before, residue) {
  const gap = distance(before.atoms.C, residue.atoms.N);
  const jump = residue.number - before.number - 1;
  const isBroken = gap >= BOND || (Number.isNaN(gap) && jump !== 0);
  return isBroken && jump >= 1 && jump <= MOST_MISSING ? jump : 0;
}

/** Å between two places; NaN where one is missing. */
export const distance = (a, b) => (a && b ? Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) : NaN);

/**
 * Where the C-beta atom of a residue is; where it is missing, as in glycine, where N, CA and C would have it; or null.
 */
export function cBeta({ atoms: { N, CA, C, CB } }) {
  if (CB) return CB;
  if (!N || !CA || !C) return null;
  const b = minus(CA, N);
  const c = minus(C, CA);
  const cross = [b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]];
  // the ideal place, as in ProteinMPNN (Dauparas et al. 2022)
  return CA.map((at, axis) => -0.58273431 * cross[axis] + 0.56802827 * b[axis] - 0.54067466 * c[axis] + at);
}

const minus = (a, b) => a.map((value, axis) => value - b[axis]);

function pdbAtoms(text, name) {
  const atoms = [];
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith("ENDMDL")) break;
    const record = line.slice(0, 6);
    if (record !== "ATOM  " && record !== "HETATM") continue;
    const atom = line.slice(12, 16).trim();
    if (!BACKBONE.includes(atom)) continue;
    add(atoms, name, {
      atom,
      residue: line.slice(17, 20).trim(),
      chain: line.slice(21, 22).trim() || "_",
      number: Number(line.slice(22, 26)),
      icode: line.slice(26, 27).trim(),
      hetero: record === "HETATM",
      b: Number(line.slice(60, 66)) || 0,
      xyz: [line.slice(30, 38), line.slice(38, 46), line.slice(46, 54)].map((part) =>
        part.trim() ? Number(part) : NaN,
      ),
    });
  }
  return atoms;
}

const TOKENS = /'(?:[^']|'(?=\S))*'|"(?:[^"]|"(?=\S))*"|\S+/g;

/** The rows of the loop `_atom_site`. */
function cifAtoms(text, name) {
  const columns = [];
  const atoms = [];
  let row = [];
  let model = null;
  for (const line of text.split(/\r?\n/)) {
    const head = /^\s*_atom_site\.(\S+)/.exec(line);
    if (head) columns.push(head[1]);
    if (head || !columns.length) continue;
    if (/^\s*(#|loop_|_|data_)/.test(line)) break;
    row.push(...(line.match(TOKENS) ?? []).map((token) => token.replace(/^(['"])(.*)\1$/, "$2")));
    while (row.length >= columns.length) {
      const values = Object.fromEntries(columns.map((column, at) => [column, row[at]]));
      row = row.slice(columns.length);
      model ??= values.pdbx_PDB_model_num;
      if (values.pdbx_PDB_model_num === model) addCif(atoms, name, values);
    }
  }
  return atoms;
}

function addCif(atoms, name, values) {
  const given = (...names) =>
    names.map((each) => values[each]).find((value) => value && value !== "." && value !== "?");
  const atom = given("auth_atom_id", "label_atom_id");
  if (!BACKBONE.includes(atom)) return;
  add(atoms, name, {
    atom,
    residue: given("auth_comp_id", "label_comp_id"),
    chain: given("auth_asym_id", "label_asym_id") ?? "_",
    number: Number(given("auth_seq_id", "label_seq_id")),
    icode: given("pdbx_PDB_ins_code") ?? "",
    hetero: values.group_PDB === "HETATM",
    b: Number(given("B_iso_or_equiv")) || 0,
    xyz: ["Cartn_x", "Cartn_y", "Cartn_z"].map((axis) => Number(values[axis] ?? NaN)),
  });
}

function add(atoms, name, atom) {
  if (!atom.xyz.every(Number.isFinite) || !Number.isInteger(atom.number)) {
    throw new Error(
      `${name}: atom ${atom.atom} of ${atom.residue} ${atom.number}, chain ${atom.chain}, has no place; is the file whole?`,
    );
  }
  if (atoms.length === MOST_ATOMS)
    throw new Error(`${name} has more than ${MOST_ATOMS} backbone atoms; give a file with one chain only`);
  atoms.push({ ...atom, xyz: atom.xyz.map(Math.fround) });
}

/** The backbone of a chain as PDB, numbered by place from 1, with a value per place as B-factor. */
export function backbonePdb({ residues }, valueOf = (residue) => residue.b) {
  let serial = 0;
  const field = (value, width, digits) => value.toFixed(digits).padStart(width);
  const lines = residues.flatMap((residue) =>
    BACKBONE.filter((atom) => residue.atoms[atom]).map((atom) => {
      serial += 1;
      const xyz = residue.atoms[atom].map((value) => field(value, 8, 3)).join("");
      const place = `${residue.name.padStart(3).slice(0, 3)} A${String(residue.place + 1).padStart(4)}`;
      return `ATOM  ${String(serial % 100000).padStart(5)}  ${atom.padEnd(3)} ${place}    ${xyz}  1.00${field(valueOf(residue), 6, 2)}          ${atom[0].padStart(2)}`;
    }),
  );
  return `${lines.join("\n")}\nEND\n`;
}
