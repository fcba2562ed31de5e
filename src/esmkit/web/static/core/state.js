// What a page shows, in the part of the address after #, which browsers never send: a link holds the work, no server does.

/** The state in the address; null if there is none, or it cannot be read. */
export async function read() {
  const text = location.hash.slice(1);
  if (!text) return null;
  if (text.startsWith("s=")) return unpacked(text.slice(2)).catch(() => null);
  return null;
}

/** Puts a state into the address. */
export async function write(state) {
  history.replaceState(null, "", `#s=${await packed(state)}`);
}

/** The address of a state, to copy. */
export async function link(state) {
  return `${location.origin}${location.pathname}#s=${await packed(state)}`;
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
