// Server-sent events of an answer to POST, one object each; EventSource can only GET.
import { ApiError, stream } from "./api.js";

/** Sends JSON; gives the events as they come. */
export async function* events(address, body, { signal } = {}) {
  const response = await stream(address, body, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) if (part.startsWith("data: ")) yield JSON.parse(part.slice(6));
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { error: "the connection broke off; try again" });
  } finally {
    reader.cancel().catch(() => {});
  }
}
