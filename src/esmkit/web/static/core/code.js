// "As code": the same call for a shell, for Python, for BioLM's client, and for esmkit's command line.
import { path } from "./api.js";
import { frame, h, notify } from "./dom.js";

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const indented = (value) => JSON.stringify(value, null, 2);
const python = (value) =>
  indented(value).replace(/\btrue\b/g, "True").replace(/\bfalse\b/g, "False").replace(/\bnull\b/g, "None");

/** The call as curl, for any action. */
export function curl(model, action, items, params) {
  const key = frame.asks_for_keys ? ` \\\n  -H 'Authorization: Token KEY'` : "";
  const body = shell(JSON.stringify(params ? { items, params } : { items }));
  return `curl ${frame.origin}${path(model, action)} \\\n  -H 'Content-Type: application/json'${key} \\\n  -d ${body}`;
}

/** The call with BioLM's Python client, for the actions that it knows: encode, predict, log_prob. */
export function biolmai(model, action, items, params) {
  const rest = params && Object.keys(params).length ? `,\n    params=${python(params)}` : "";
  return [
    `# export BIOLMAI_BASE_DOMAIN=${frame.origin} BIOLMAI_TOKEN=${frame.asks_for_keys ? "KEY" : "any"}`,
    "from biolmai import biolm",
    "",
    `results = biolm(entity="${model}", action="${action}", type="sequence",`,
    `    items=${python(items.map((item) => item.sequence))}${rest})`,
  ].join("\n");
}

/** A button that opens a window with the code: `snippets()` gives {curl: "...", "Python (esmkit)": "...", ...}. */
export function codeButton(snippets) {
  return h("button", { type: "button", class: "ghost", onclick: () => show(snippets()) }, "As code");
}

function show(snippets) {
  const names = Object.keys(snippets);
  const text = h("code", {});
  const choose = h(
    "div",
    { class: "segmented", role: "group", "aria-label": "Language" },
    names.map((name) => h("button", { type: "button", onclick: () => pick(name) }, name)),
  );
  const copy = h("button", { type: "button", onclick: () => copyText(text.textContent) }, "Copy");
  const close = h("button", { type: "button", class: "ghost", onclick: () => dialog.close() }, "Close");
  const dialog = h(
    "dialog",
    { class: "code", "aria-label": "The same as code", onclose: () => dialog.remove() },
    h("div", { class: "row spread" }, choose, h("div", { class: "row" }, copy, close)),
    h("pre", { tabindex: 0 }, text),
  );
  function pick(name) {
    text.textContent = snippets[name];
    for (const button of choose.children) button.setAttribute("aria-pressed", String(button.textContent === name));
  }
  pick(names[0]);
  document.body.append(dialog);
  dialog.showModal();
}

/** Puts a text into the clipboard, and says so; null, which is what a cancelled question gives, is left alone. */
export async function copyText(text) {
  if (text === null) return;
  try {
    await navigator.clipboard.writeText(text);
    notify("Copied.", "good");
  } catch {
    notify("The browser does not allow copying here; select the text instead.", "bad");
  }
}
