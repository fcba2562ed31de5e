// Elements without templates in strings: whatever text comes in stays text.

/** An element: `h("a", {href, class: "x", onclick}, "text", child)`; null children and false attributes are left out. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value); // never the attribute: the policy forbids it
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** The element that a selector finds; it must be there. */
export function one(selector, within = document) {
  const found = within.querySelector(selector);
  if (!found) throw new Error(`nothing is ${selector}`);
  return found;
}

/** What the server gave this page. */
export const frame = JSON.parse(one("#frame").textContent);

/** A message at the edge of the window; `kind` is "good", "bad" or "". Errors stay until closed. */
export function notify(text, kind = "") {
  const box = h("div", { class: `notice ${kind}` }, h("span", {}, text));
  box.append(h("button", { type: "button", class: "ghost", "aria-label": "Close", onclick: () => box.remove() }, "×"));
  one("#notices").append(box);
  if (kind !== "bad") setTimeout(() => box.remove(), 5000);
}

/** Calls `work` when nothing was asked for so many milliseconds. */
export function debounced(work, ms = 150) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), ms);
  };
}
