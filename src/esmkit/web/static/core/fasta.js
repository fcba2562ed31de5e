// Sequences as people paste them: FASTA, or one sequence as it is. Says of each wrong character where it stands.

const ALLOWED = new Set("ACDEFGHIKLMNPQRSTVWYXBUZO-");
const MASK = "<mask>";

/**
 * What a text holds.
 *
 * `records`: [{id, description, sequence}]; small letters are read as large ones, spaces and a final `*` are dropped.
 * `problems`: [{start, end, line, column, text}], places in the text that cannot be read, `start` counting characters.
 * `notes`: what was changed while reading, as sentences.
 */
export function parse(text, { masks = false, maxResidues = Infinity, maxRecords = Infinity } = {}) {
  const records = [];
  const problems = [];
  const found = { lower: false, stop: false };
  let record = null;
  let start = 0;
  text.split("\n").forEach((raw, index) => {
    const line = raw.replace(/\r$/, "");
    if (line.startsWith(">")) {
      const [id, ...words] = line.slice(1).trim().split(/\s+/);
      record = opened(records, id, words.join(" "), start, line.length, index);
    } else if (line.trim()) {
      record ??= opened(records, "", "", start, 0, index);
      readLine(line, start, index, { record, problems, found, masks });
    }
    start += raw.length + 1;
  });
  checkRecords(records, problems, { maxResidues, maxRecords });
  const notes = [];
  if (found.lower) notes.push("Small letters were read as capitals.");
  if (found.stop) notes.push("A stop (*) at the end was left out.");
  return { records: records.map(({ id, description, sequence }) => ({ id, description, sequence })), problems, notes };
}

/** How many residues a sequence has; `<mask>` is one. */
export const length = (sequence) => sequence.replaceAll(MASK, "X").length;

/** The residues of a sequence, `<mask>` as one of them. */
export const residues = (sequence) => sequence.match(/<mask>|./gs) ?? [];

/** The text of a FASTA file. */
export const write = (records) =>
  records.map(({ id, description, sequence }) => `>${[id, description].filter(Boolean).join(" ")}\n${sequence}\n`).join("");

function opened(records, id, description, start, size, line) {
  const record = { id: id || `sequence_${records.length + 1}`, description, sequence: "", start, size, line };
  records.push(record);
  return record;
}

function readLine(line, start, index, { record, problems, found, masks }) {
  const isLastStop = (at) => line[at] === "*" && !line.slice(at + 1).trim();
  for (let at = 0; at < line.length; at += 1) {
    const character = line[at];
    if (/\s/.test(character)) continue;
    if (masks && line.slice(at, at + MASK.length).toLowerCase() === MASK) {
      record.sequence += MASK;
      at += MASK.length - 1;
      continue;
    }
    const residue = character.toUpperCase();
    if (ALLOWED.has(residue)) {
      found.lower ||= residue !== character;
      record.sequence += residue;
    } else if (isLastStop(at)) {
      found.stop = true;
    } else {
      const text = `${record.id}: line ${index + 1}, column ${at + 1}: “${character}” is no amino acid`;
      problems.push({ start: start + at, end: start + at + 1, line: index + 1, column: at + 1, text });
    }
  }
}

function checkRecords(records, problems, { maxResidues, maxRecords }) {
  records.forEach((record, index) => {
    const place = { start: record.start, end: record.start + Math.max(record.size, 1), line: record.line + 1, column: 1 };
    const size = length(record.sequence);
    if (!size) problems.push({ ...place, text: `${record.id}: there is no sequence` });
    if (size > maxResidues) {
      problems.push({ ...place, text: `${record.id}: ${size} residues, at most ${maxResidues} are allowed` });
    }
    if (index === maxRecords) {
      problems.push({ ...place, text: `${records.length} sequences, at most ${maxRecords} are allowed here` });
    }
  });
}
