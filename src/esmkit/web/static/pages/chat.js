// The chat: messages out, events in. The conversation's id lives in this page only; a reload begins another.
import { post } from "../core/api.js";
import { frame, h, one } from "../core/dom.js";
import { events } from "../core/events.js";
import { markdown } from "../core/markdown.js";
import { download } from "../core/save.js";
import { PROTEINS } from "../examples/proteins.js";

const QUESTIONS = [
  { title: "Which positions tolerate mutations?", protein: 0, text: "Which positions of this protein tolerate mutations, and which do not?" },
  { title: "Which residues touch?", protein: 1, text: "Which residues far apart in this sequence are predicted to be in contact?" },
  { title: "How alike are these proteins?", protein: 4, text: "How alike are these proteins to the model?" },
  { title: "What can I ask?", text: "What can you compute here, and with which models?" },
];
const said = one("#said");
const message = one("#message");
const send = one("#send");
const stop = one("#stop");
const progress = one("#progress");
const accept = document.querySelector("#accept");
let conversation = null;
let stopping = null;
let follows = true;

one("#ask").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
message.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  ask();
});
message.addEventListener("input", show);
accept?.addEventListener("change", show);
stop.addEventListener("click", () => stopping?.abort());
one("#restart").addEventListener("click", restart);
said.addEventListener("scroll", () => (follows = said.scrollHeight - said.scrollTop - said.clientHeight < 60));

/** What can be done now. */
function show() {
  const isBusy = stopping !== null;
  send.disabled = isBusy || !message.value.trim() || Boolean(accept && !accept.checked);
  stop.hidden = !isBusy;
}

function restart() {
  stopping?.abort();
  if (conversation) post("/web/chat/end", { conversation }).catch(() => {}); // it may have expired
  conversation = null;
  said.replaceChildren(welcome());
  message.focus();
}

function welcome() {
  const choose = ({ protein, text }) => {
    message.value = protein === undefined ? text : `${PROTEINS[protein].text}${text}`;
    message.focus();
    show();
  };
  return h(
    "div",
    { class: "empty" },
    h("p", {}, "Ask about proteins in your own words. Numbers come from ESM-2, and every call of a tool is shown."),
    h("div", { class: "row examples" }, QUESTIONS.map((each) => h("button", { type: "button", onclick: () => choose(each) }, each.title))),
  );
}

async function ask() {
  show();
  if (send.disabled) return;
  const text = message.value;
  const answer = h("div", { class: "answer", role: "group", "aria-label": "Answer" });
  said.querySelector(".empty")?.remove();
  said.append(h("div", { class: "question", role: "group", "aria-label": "You", tabindex: 0 }, text.trim()), answer);
  message.value = "";
  stopping = new AbortController();
  show();
  scrollDown(true);
  try {
    await receive(text, new Answer(answer), stopping.signal);
    progress.textContent = "The answer is complete.";
  } catch (error) {
    const isStopped = error.name === "AbortError";
    answer.append(h("p", { class: isStopped ? "hint" : "error", role: "alert" }, isStopped ? "Stopped." : error.message));
    if (error.issues?.[0]?.type === "user.unknown_conversation") conversation = null;
    if (!message.value) message.value = text;
  } finally {
    answer.classList.remove("waiting");
    stopping = null;
    show();
    scrollDown();
    message.focus();
  }
}

async function receive(text, answer, signal) {
  const body = { message: text, conversation, accept_notice: Boolean(accept?.checked) };
  for await (const event of events("/web/chat/messages", body, { signal })) {
    if (event.kind === "conversation") conversation = event.id;
    else if (event.kind === "error") throw new Error(event.message);
    else if (event.kind === "notice" && event.must_accept) throw new Error(event.text);
    else if (event.kind === "done") return;
    else answer.take(event);
    scrollDown();
  }
  throw new Error("the answer broke off; try again");
}

/** One answer while it is written. */
class Answer {
  constructor(element) {
    this.element = element;
    this.text = null;
    this.calls = new Map();
    element.classList.add("waiting");
  }

  take(event) {
    if (event.kind === "text") this.write(event.text);
    if (event.kind === "tool_call") this.call(event);
    if (event.kind === "tool_result") this.result(event);
  }

  write(text) {
    if (!this.text) {
      this.text = { source: "", element: h("div", { class: "text" }) };
      this.element.append(this.text.element);
    }
    this.text.source += text;
    this.text.element.replaceChildren(...markdown(this.text.source));
  }

  call({ id, title, arguments: given }) {
    this.text = null;
    const state = h("span", { class: "badge warn" }, "computing");
    const row = h(
      "details",
      { class: "tool" },
      h("summary", {}, h("span", { class: "grow" }, title), state),
      h("p", { class: "label" }, "Asked"),
      h("pre", { tabindex: 0 }, pretty(given)),
    );
    this.calls.set(id, { row, state });
    this.element.append(row);
    progress.textContent = `${title} is computing.`;
  }

  result({ id, name, content, is_error, picture }) {
    const { row, state } = this.calls.get(id) ?? {};
    if (!row) return;
    state.className = `badge ${is_error ? "bad" : "good"}`;
    state.textContent = is_error ? "refused" : "done";
    row.append(h("p", { class: "label" }, "Answered"), h("pre", { tabindex: 0 }, is_error ? content.error : pretty(content)));
    if (picture) row.after(figure(name, picture));
  }
}

const pretty = (value) => JSON.stringify(value, null, 2);

function figure(name, { png, alt }) {
  const bytes = Uint8Array.from(atob(png), (character) => character.charCodeAt(0));
  const blob = new Blob([bytes], { type: "image/png" });
  const image = h("img", { src: URL.createObjectURL(blob), alt, onload: () => scrollDown() });
  const save = h("button", { type: "button", class: "ghost", onclick: () => download(`${name}.png`, blob) }, "Save PNG");
  return h("figure", {}, image, h("figcaption", { class: "row spread hint" }, h("span", { class: "grow" }, alt), save));
}

/** Follows the answer, unless the reader scrolled up. */
function scrollDown(always = false) {
  if (always || follows) said.scrollTop = said.scrollHeight;
}

said.replaceChildren(welcome());
message.maxLength = frame.page.message_characters;
show();
