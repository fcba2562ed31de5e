// Labelled controls, and what is wrong with them said where it is.
import { h } from "./dom.js";

const MOST_TEXTS = 3;
const LONG_CHOICE = 16;

let number = 0;

/**
 * A control under its label, with a hint and a place for an error.
 * Gives {element, control, wrong(text)}; an empty text takes the error away.
 */
export function field(label, control, hint = "") {
  number += 1;
  control.id ||= `field-${number}`;
  const about = h("span", { class: "hint", id: `${control.id}-hint`, hidden: !hint }, hint);
  const error = h("span", { class: "error", id: `${control.id}-error`, role: "alert", hidden: true });
  control.setAttribute("aria-describedby", `${about.id} ${error.id}`);
  const element = h("div", { class: "field" }, h("label", { for: control.id }, label), control, about, error);
  function wrong(text) {
    error.textContent = text;
    error.hidden = !text;
    control.setAttribute("aria-invalid", String(Boolean(text)));
  }
  return { element, control, wrong };
}

/** A field for a number within bounds; `value()` is a number, or null where it is empty. */
export function numberField(label, value, { min, max, step = 1, hint = "" } = {}) {
  const control = h("input", { type: "number", min, max, step, value });
  const made = field(label, control, hint);
  return { ...made, value: () => (control.value === "" ? null : Number(control.value)) };
}

/** A field with choices, [[value, text], ...]. */
export function choiceField(label, choices, { value, hint = "" } = {}) {
  const options = choices.map(([each, text]) => h("option", { value: each, selected: each === value }, text));
  const control = h("select", {}, options);
  const made = field(label, control, hint);
  made.element.classList.toggle(
    "long-choice",
    choices.some(([, text]) => text.length > LONG_CHOICE),
  );
  return { ...made, value: () => control.value };
}

/**
 * Says of an error at each field what is wrong with it: `fields` by place in the request, "params.strategy".
 * Gives what belongs to none of them, as one text.
 */
export function showIssues(error, fields) {
  const found = new Map();
  const rest = [];
  for (const { loc, msg } of error.issues ?? []) {
    const place = loc.join(".");
    const name = Object.keys(fields).find((each) => place === each || place.startsWith(`${each}.`));
    if (name) found.set(name, [...(found.get(name) ?? []), msg]);
    else rest.push(msg);
  }
  for (const [name, texts] of found) fields[name].wrong(joined(texts));
  return error.issues?.length ? joined(rest) : error.message;
}

const joined = (texts) =>
  texts.slice(0, MOST_TEXTS).join("; ") + (texts.length > MOST_TEXTS ? `; and ${texts.length - MOST_TEXTS} more` : "");

/** Takes all errors away. */
export function clearIssues(fields) {
  for (const each of Object.values(fields)) each.wrong("");
}

/** What is in fields, by their names, for a link. */
export const valuesOf = (fields) =>
  Object.fromEntries(Object.entries(fields).map(([name, { control }]) => [name, control.value]));

/** Puts such values back, as far as the fields take them. */
export function restoreValues(fields, saved = {}) {
  for (const [name, value] of Object.entries(saved)) {
    const control = fields[name]?.control;
    if (!control || typeof value !== "string") continue;
    const before = control.value;
    control.value = value;
    if (control.value !== value) control.value = before;
  }
}
