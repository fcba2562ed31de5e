// Many proteins from a text: FASTA, or a table whose first row names its columns.

const NAMES_OF_SEQUENCE = ["sequence", "seq", "protein_sequence", "aa_sequence", "protein", "aa"];
const NAMES_OF_ID = ["id", "name", "accession", "entry", "identifier", "protein_id", "protein", "mutant"];
const RESIDUES = /^[ACDEFGHIKLMNPQRSTVWYXBUZO]+$/;
const HEADER_FIELDS = { organism: /\bOS=(.+?)(?= [A-Z]{2}=|$)/, gene: /\bGN=(\S+)/ };
const LEAST_RESIDUES = 5;
const ROWS_LOOKED_AT = 50;
const SHARE_OF_SEQUENCES = 0.9;

/**
 * What a text holds.
 *
 * `records`: [{id, sequence, values: {column: text}}] that can be used; `columns`: names of what is known of them.
 * `problems`: [{line, text}] of rows that cannot. Of a table also `names`, `sequenceColumn` and `idColumn`: as chosen,
 * or by name (sequence, seq, ...; id, name, accession, ...), else the first that looks like it; `idColumn` may be "".
 */
export function read(text, { maxResidues, sequenceColumn = null, idColumn = null }) {
  const clean = text.replace(/^\ufeff/, "");
  const found = clean.trimStart().startsWith(">") ? fromFasta(clean) : fromTable(clean, sequenceColumn, idColumn);
  const records = [];
  const problems = [...found.problems];
  const seen = new Map();
  for (const { line, ...record } of found.records) {
    const sequence = record.sequence.replace(/\s+/g, "").toUpperCase().replace(/\*$/, "");
    const wrong = problem(sequence, maxResidues);
    if (wrong) problems.push({ line, text: `line ${line}, ${record.id}: ${wrong}` });
    else records.push({ ...record, id: unused(record.id, seen), sequence });
  }
  return { ...found, records, problems };
}

function problem(sequence, maxResidues) {
  if (!sequence) return "there is no sequence";
  if (sequence.length > maxResidues) return `${sequence.length} residues, at most ${maxResidues} are allowed here`;
  if (RESIDUES.test(sequence)) return null;
  const at = [...sequence].findIndex((letter) => !RESIDUES.test(letter));
  return `“${[...sequence][at]}” at residue ${at + 1} is no amino acid`;
}

/** Ids that stand twice get a number, so that every point has a name of its own. */
function unused(id, seen) {
  const count = (seen.get(id) ?? 0) + 1;
  seen.set(id, count);
  return count === 1 ? id : `${id}#${count}`;
}

function fromFasta(text) {
  const records = [];
  text.split("\n").forEach((raw, index) => {
    const line = raw.trim();
    if (line.startsWith(">")) {
      const [id, ...words] = line.slice(1).trim().split(/\s+/);
      records.push({
        id: id || `sequence_${records.length + 1}`,
        sequence: "",
        values: about(words.join(" ")),
        line: index + 1,
      });
    } else if (line) {
      records.at(-1).sequence += line;
    }
  });
  const columns = Object.keys(HEADER_FIELDS).filter((name) => records.some((record) => record.values[name]));
  return { kind: "FASTA", records, columns, problems: [] };
}

/** What headers of UniProt say. */
function about(description) {
  const values = { description };
  for (const [name, pattern] of Object.entries(HEADER_FIELDS)) values[name] = description.match(pattern)?.[1] ?? "";
  return values;
}

function fromTable(text, sequenceColumn, idColumn) {
  const read = globalThis.Papa.parse(text.replace(/\s+$/, ""), {
    skipEmptyLines: "greedy",
    delimitersToGuess: [",", "\t", ";"],
  });
  const [names = [], ...rows] = read.data;
  const trimmed = names.map((name) => name.trim());
  const twice = trimmed.find((name, at) => trimmed.indexOf(name) !== at);
  if (twice !== undefined) return nothing(trimmed, `line 1: two columns are called “${twice}”`);
  const sequence = sequenceColumn ?? columnOfSequences(trimmed, rows);
  if (sequence === null)
    return nothing(trimmed, "no column holds protein sequences; the first row must name the columns");
  const id = idColumn ?? columnOfIds(trimmed, rows, sequence);
  const problems = [];
  const records = [];
  rows.forEach((row, at) => {
    const line = at + 2;
    if (row.length !== trimmed.length) {
      problems.push({ line, text: `row ${at + 1}: ${row.length} cells, the header names ${trimmed.length}` });
      return;
    }
    const cells = Object.fromEntries(trimmed.map((name, column) => [name, row[column].trim()]));
    const { [sequence]: residues, ...values } = cells;
    if (id) delete values[id];
    records.push({ id: (id && cells[id]) || `row${at + 1}`, sequence: residues, values, line });
  });
  const columns = trimmed.filter((name) => name !== sequence && name !== id);
  return { kind: "table", records, columns, problems, names: trimmed, sequenceColumn: sequence, idColumn: id };
}

const nothing = (names, text) => ({
  kind: "table",
  records: [],
  columns: [],
  problems: [{ line: 1, text }],
  names,
  sequenceColumn: null,
  idColumn: "",
});

function columnOfSequences(names, rows) {
  const byName = named(names, NAMES_OF_SEQUENCE);
  if (byName !== null) return byName;
  const looked = rows.slice(0, ROWS_LOOKED_AT);
  const isSequence = (text = "") => text.length >= LEAST_RESIDUES && RESIDUES.test(text.trim().toUpperCase());
  const at = names.findIndex((_, column) => {
    const good = looked.filter((row) => isSequence(row[column])).length;
    return good > 0 && good >= SHARE_OF_SEQUENCES * looked.length;
  });
  return at < 0 ? null : names[at];
}

function columnOfIds(names, rows, sequence) {
  const rest = names.filter((name) => name !== sequence);
  const byName = named(rest, NAMES_OF_ID);
  if (byName !== null) return byName;
  const own = rest.find((name) => new Set(rows.map((row) => row[names.indexOf(name)])).size === rows.length);
  return own ?? "";
}

function named(names, wanted) {
  for (const each of wanted) {
    const found = names.find((name) => name.toLowerCase() === each);
    if (found !== undefined) return found;
  }
  return null;
}
