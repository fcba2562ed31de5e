// The server's API, as its other clients use it.
import { frame } from "./dom.js";

/** What the server refused: `message` for people, `issues` by place in the request ([{loc, msg, type}]). */
export class ApiError extends Error {
  constructor(status, body) {
    super(body?.detail || body?.error || `the server answered with status ${status}`);
    this.status = status;
    this.issues = body?.errors ?? [];
    this.code = body?.code;
  }
}

/** Where a model's action is. */
export const path = (model, action) => `/api/v3/${encodeURIComponent(model)}/${action}/`;

/** Calls an action of a model: its `results`, or with `whole` the answer as it came. */
export async function call(model, action, items, params, { signal, whole = false } = {}) {
  const body = params && Object.keys(params).length ? { items, params } : { items };
  const answer = await post(path(model, action), body, { signal });
  return whole ? answer : answer.results;
}

/** The same as raw bytes in another type: "application/x-npz", ... */
export async function callBinary(model, action, items, params, accept, { signal } = {}) {
  const response = await send(path(model, action), { items, params }, { signal, accept });
  return response.blob();
}

/** Sends JSON, gets JSON. */
export async function post(address, body, { signal } = {}) {
  return (await send(address, body, { signal })).json();
}

/** Sends JSON, gets the response while it is still being written. */
export const stream = (address, body, { signal } = {}) => send(address, body, { signal, accept: "text/event-stream" });

/** Sends a file as it is, gets JSON; `headers` are further ones. */
export async function upload(address, file, headers = {}) {
  const type = { "Content-Type": "application/octet-stream", Accept: "application/json" };
  const options = { method: "POST", headers: { ...guarded(type), ...headers }, body: file };
  return (await checked(await reached(address, options))).json();
}

/** Deletes what is at an address, gets JSON. */
export async function remove(address) {
  return (await checked(await reached(address, { method: "DELETE", headers: guarded({ Accept: "application/json" }) }))).json();
}

/** Gets JSON. */
export async function get(address, { signal } = {}) {
  return (await checked(await reached(address, { signal, headers: { Accept: "application/json" } }))).json();
}

async function send(address, body, { signal, accept = "application/json" }) {
  const headers = guarded({ "Content-Type": "application/json", Accept: accept });
  return checked(await reached(address, { method: "POST", headers, body: JSON.stringify(body), signal }));
}

/** Headers of what changes something: they show that a page of this server asks. */
const guarded = (headers) => (frame.csrf ? { ...headers, "X-CSRF-Token": frame.csrf } : headers);

async function reached(address, options) {
  try {
    return await fetch(address, { ...options, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { error: "the server cannot be reached; is it running?" });
  }
}

async function checked(response) {
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  if (response.status === 401 && frame.asks_for_keys && location.pathname !== "/login") {
    location.assign(`/login?next=${encodeURIComponent(location.pathname)}${location.hash}`);
  }
  throw new ApiError(response.status, body);
}
