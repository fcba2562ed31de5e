// What language models write: a little Markdown, as elements. No links and no pictures, so that nothing in it can call out.
import { h } from "./dom.js";

const BLOCK = /^(#{1,6}\s|```|\s*([-*+]|\d+[.)])\s|\|)/;
const ITEM = /^\s*([-*+]|\d+[.)])\s+/;
const INLINE = /(`[^`]+`|\*\*[^*]+\*\*|\*[^*\s][^*]*\*)/;

/** The elements of a text. */
export function markdown(text) {
  const lines = text.split("\n");
  const blocks = [];
  while (lines.length) {
    const line = lines[0];
    if (!line.trim()) lines.shift();
    else if (line.startsWith("```")) blocks.push(fence(lines));
    else if (/^#{1,6}\s/.test(line)) blocks.push(h("p", { class: "heading" }, inline(lines.shift().replace(/^#+\s+/, ""))));
    else if (line.startsWith("|") && /^\|[\s:|-]+$/.test(lines[1] ?? "")) blocks.push(table(lines));
    else if (ITEM.test(line)) blocks.push(list(lines));
    else blocks.push(paragraph(lines));
  }
  return blocks;
}

function fence(lines) {
  lines.shift();
  const end = lines.findIndex((line) => line.startsWith("```"));
  const code = lines.splice(0, end < 0 ? lines.length : end);
  lines.shift();
  return h("pre", { tabindex: 0 }, h("code", {}, code.join("\n")));
}

function list(lines) {
  const ordered = /^\s*\d/.test(lines[0]);
  const items = [];
  while (lines.length && ITEM.test(lines[0])) {
    const words = [lines.shift().replace(ITEM, "")];
    while (lines.length && lines[0].trim() && !BLOCK.test(lines[0])) words.push(lines.shift().trim());
    items.push(h("li", {}, inline(words.join(" "))));
  }
  return h(ordered ? "ol" : "ul", {}, items);
}

function table(lines) {
  const rows = [];
  while (lines.length && lines[0].startsWith("|")) rows.push(cells(lines.shift()));
  const [head, , ...body] = rows;
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": "Table" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, head.map((cell) => h("th", { scope: "col" }, inline(cell))))),
      h("tbody", {}, body.map((row) => h("tr", {}, row.map((cell) => h("td", {}, inline(cell)))))),
    ),
  );
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

function paragraph(lines) {
  const words = [lines.shift()];
  while (lines.length && lines[0].trim() && !BLOCK.test(lines[0])) words.push(lines.shift());
  return h("p", {}, inline(words.join("\n")));
}

function inline(text) {
  return text.split(INLINE).map((part) => {
    if (/^`[^`]+`$/.test(part)) return h("code", {}, part.slice(1, -1));
    if (/^\*\*[^*]+\*\*$/.test(part)) return h("strong", {}, part.slice(2, -2));
    if (/^\*[^*]+\*$/.test(part)) return h("em", {}, part.slice(1, -1));
    return part;
  });
}
