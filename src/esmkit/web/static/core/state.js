// What a page shows, in the part of the address after #, which browsers never send: a link holds the work, no server
// does. Only where that would be too long, and somebody asks for it, the server keeps it for a while under #saved=ID.
import { get, post } from "./api.js";
import { ask } from "./dialog.js";
import { notify } from "./dom.js";

/** Mail programs and chats cut longer addresses. */
const LONGEST = 6000;

/** The state in the address; null if there is none, or it cannot be read, which is said. */
export async function read() {
  const text = location.hash.slice(1);
  if (text.startsWith("saved=")) return saved(text.slice(6));
  if (!text.startsWith("s=")) return null;
  return unpacked(text.slice(2)).catch(() => {
    notify("The link is incomplete; perhaps it was cut where it was sent.", "bad");
    return null;
  });
}

/** Puts a state into the address. */
export async function write(state) {
  history.replaceState(null, "", `#s=${await packed(state)}`);
}

/**
 * The address of a state, to copy. For one that is too long it asks whether the server may keep it; null if the answer
 * is to do nothing.
 */
export async function link(state) {
  const page = `${location.origin}${location.pathname}`;
  const address = `${page}#s=${await packed(state)}`;
  if (address.length <= LONGEST) return address;
  const answer = await ask({
    title: "This link is too long to send",
    body: [
      `It would have ${address.length.toLocaleString("en")} characters; mail programs and chats cut such links. `,
      "This server can keep the proteins and settings of this page for 30 days instead, unencrypted. ",
      "Whoever has the short link, and may use this server, can read them; it cannot be deleted before.",
    ].join(""),
    choices: [
      { label: "Save on this server", value: "save", kind: "primary" },
      { label: "Copy the long link", value: "long" },
      { label: "Cancel", value: null, kind: "ghost" },
    ],
  });
  if (answer === "long") return address;
  return answer === "save" ? kept(page, state) : null;
}

async function kept(page, state) {
  try {
    return `${page}#saved=${(await post("/web/saved", { state })).id}`;
  } catch (error) {
    notify(`Nothing was saved: ${error.message}`, "bad");
    return null;
  }
}

async function saved(id) {
  try {
    return await get(`/web/saved/${encodeURIComponent(id)}`);
  } catch (error) {
    notify(
      error.status === 404 ? "Nothing is saved under this link, or its 30 days have passed." : error.message,
      "bad",
    );
    return null;
  }
}

async function packed(state) {
  const bytes = await through(new CompressionStream("deflate-raw"), new TextEncoder().encode(JSON.stringify(state)));
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

async function unpacked(text) {
  const raw = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(raw, (character) => character.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(await through(new DecompressionStream("deflate-raw"), bytes)));
}

async function through(stream, bytes) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}
