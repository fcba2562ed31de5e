// From a table to what is asked of the API: which column is what, and whether labels are numbers or classes.
import { likeliest } from "../core/sheet.js";

const RESIDUES = /^[A-Z]+$/;

/** The columns that seem to hold sequences, labels and names. */
export function guessed({ columns, rows }) {
  const first = rows.slice(0, 20);
  const looksLike = (name) =>
    first.length && first.every((row) => /^[A-Za-z*\s]{15,}$/.test(row[columns.indexOf(name)] ?? ""));
  const sequence =
    likeliest(columns, /^(sequence|seq|protein_sequence|mutated_sequence)$/i) || (columns.find(looksLike) ?? "");
  const others = columns.filter((name) => name !== sequence);
  const id = likeliest(others, /^(id|name|accession|gene|protein|variant|mutant)$/i, /(^|_)id$/i);
  const rest = others.filter((name) => name !== id);
  const isNumber = (name) =>
    first.some((row) => row[columns.indexOf(name)]) &&
    first.every((row) => !Number.isNaN(Number(row[columns.indexOf(name)])));
  const label =
    likeliest(rest, /label|target|value|score|fitness|measured|activity/i) || rest.find(isNumber) || rest[0] || "";
  return { sequence, label, id };
}

/**
 * The rows as items: `choice` is {sequence, label, id} of column names and `labels`, "auto", "numbers" or "classes".
 * Gives {items: [{id, sequence, label}], isNumber, classes, labelled, problem}; label is null where the cell is empty.
 */
export function prepared({ columns, rows }, { sequence, label, id, labels }) {
  const at = (name) => columns.indexOf(name);
  const cell = (row, name) => (at(name) < 0 ? "" : (row[at(name)] ?? ""));
  const read = rows.map((row, number) => ({
    id: cell(row, id) || `row_${number + 1}`,
    sequence: cell(row, sequence).replace(/\s+/g, "").toUpperCase().replace(/\*$/, ""),
    text: cell(row, label),
  }));
  const known = read.filter(({ text }) => text !== "");
  const looksNumeric = known.every(({ text }) => !Number.isNaN(Number(text)));
  const isNumber = labels === "numbers" || (labels !== "classes" && looksNumeric);
  const problem = wrong(read, known, isNumber && !looksNumeric);
  const items = read.map(({ text, ...rest }) => ({
    ...rest,
    label: text === "" ? null : isNumber ? Number(text) : text,
  }));
  const classes = isNumber ? [] : [...new Set(known.map(({ text }) => text))].sort();
  return { items, isNumber, classes, labelled: known.length, problem };
}

function wrong(read, known, isMixed) {
  const bad = read.findIndex(({ sequence }) => !RESIDUES.test(sequence));
  if (bad >= 0) return `row ${bad + 1} (${read[bad].id}): “${read[bad].sequence.slice(0, 20)}” is no protein sequence`;
  if (!isMixed) return "";
  const text = known.find((each) => Number.isNaN(Number(each.text)));
  return `${text.id}: the label “${text.text}” is no number; numbers have a decimal point`;
}

/** What of the bounds of the action is not kept, in words; "" if all are. */
export function beyond({ items, isNumber, classes, labelled }, model, bounds) {
  const outputs = isNumber ? 1 : classes.length;
  const most = Math.floor(bounds.most_numbers / (model.width * Math.max(1, outputs) ** 2));
  if (items.length > bounds.most) return `${items.length} rows, at most ${bounds.most} are taken`;
  if (labelled < bounds.fewest) return `${labelled} rows have a label, ${bounds.fewest} or more are needed`;
  if (classes.length > bounds.most_classes) {
    return (
      `the labels name ${classes.length} classes, at most ${bounds.most_classes} are taken; ` +
      "are they meant as numbers?"
    );
  }
  if (labelled > most) return `${labelled} rows have a label, at most ${most} may with ${model.title}`;
  return "";
}
