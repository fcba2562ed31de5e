// The keys of the server: listed, made, revoked. A new secret is shown once and kept nowhere.
import { get, post } from "../core/api.js";
import { copyText } from "../core/code.js";
import { ask } from "../core/dialog.js";
import { h, notify } from "../core/dom.js";

const LIFETIMES = [
  ["", "never"],
  [1, "after a day"],
  [7, "after 7 days"],
  [30, "after 30 days"],
  [90, "after 90 days"],
  [365, "after a year"],
];
const TONES = { live: "good", expired: "warn", revoked: "" };

/**
 * Fills `box`; `models` and `actions` are what keys may be made for, `key` is that of the session. `onload(keys)` is told
 * of all keys.
 */
export async function keysPanel(box, { models, actions, key: own }, onload) {
  const every = h("input", { type: "checkbox", onchange: show });
  const list = h("div", { class: "scroll keys", tabindex: 0, role: "region", "aria-label": "List of keys" });
  box.replaceChildren(
    h(
      "div",
      { class: "row spread" },
      h("h2", {}, "Keys"),
      h("label", { class: "small muted" }, every, "show revoked ones"),
    ),
    list,
    form({ models, actions }, create),
  );
  let keys = [];

  async function load() {
    try {
      ({ keys } = await get("/web/keys"));
      onload(keys);
      show();
    } catch (error) {
      list.replaceChildren(h("p", { class: "error", role: "alert" }, error.message));
    }
  }
  function show() {
    const shown = keys.filter(({ state }) => every.checked || state !== "revoked");
    const titles = ["Name", "Models", "Actions", "Made", "Works until", "Last used", "State", ""];
    const rows = shown.map((key) => row(key, own.id, () => revoke(key)));
    list.replaceChildren(
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            titles.map((title) => (title ? h("th", { scope: "col" }, title) : h("td", {}))),
          ),
        ),
        h("tbody", {}, rows),
      ),
    );
  }
  async function create(asked) {
    const { key, secret } = await post("/web/keys", asked);
    await load();
    await showSecret(key, secret);
  }
  async function revoke(key) {
    const isOwn = key.id === own.id;
    const consequences = [
      "Programs that use this key are refused from the next request on, and it cannot be undone.",
      "What it used stays on record.",
      isOwn ? "It is the key that you are logged in with: you will be logged out." : "",
    ];
    const isSure = await ask({
      title: `Revoke ${key.name}?`,
      body: consequences.join(" "),
      choices: [
        { label: "Keep it", value: null },
        { label: "Revoke", value: true, kind: "danger" },
      ],
    });
    if (!isSure) return;
    try {
      await post(`/web/keys/${encodeURIComponent(key.id)}/revoke`, {});
      notify(`${key.name} is revoked.`, "good");
      if (isOwn) location.assign("/account");
      else await load();
    } catch (error) {
      notify(error.message, "bad");
    }
  }
  await load();
}

function row(key, ownId, onrevoke) {
  const names = (list) => h("td", { class: "wraps" }, list ? list.join(", ") : "all");
  const button = h(
    "button",
    { type: "button", class: "danger", "aria-label": `Revoke ${key.name}`, onclick: onrevoke },
    "Revoke",
  );
  return h(
    "tr",
    { class: key.state === "live" ? false : "gone", data: { key: key.id } },
    h("td", { class: "wraps" }, h("b", {}, key.name), h("br"), h("code", { class: "muted" }, key.id)),
    names(key.models),
    names(key.actions),
    h("td", {}, day(key.created_at)),
    h("td", {}, key.expires_at ? minute(key.expires_at) : "–"),
    h("td", {}, key.last_used_at ? minute(key.last_used_at) : "never"),
    h(
      "td",
      {},
      h("span", { class: `badge ${TONES[key.state]}` }, key.state),
      key.admin ? h("span", { class: "badge" }, "admin") : null,
      key.id === ownId ? h("span", { class: "badge" }, "you") : null,
    ),
    h("td", {}, key.state === "revoked" ? null : button),
  );
}

function form({ models, actions }, create) {
  const name = h("input", {
    name: "name",
    required: true,
    maxlength: 100,
    autocomplete: "off",
    placeholder: "whose, or what for",
  });
  const expiry = h(
    "select",
    { name: "expiry" },
    LIFETIMES.map(([days, text]) => h("option", { value: days }, text)),
  );
  const admin = h("input", { type: "checkbox" });
  const forModels = scope(
    "Models",
    models.map(({ slug }) => slug),
  );
  const forActions = scope("Actions", actions);
  const problem = h("p", { class: "error whole", role: "alert", hidden: true });
  const button = h("button", { class: "primary" }, "Make key");
  const element = h(
    "form",
    { onsubmit: submit },
    h("label", { class: "field" }, "Name", name),
    h("label", { class: "field" }, "Ends", expiry),
    forModels.element,
    forActions.element,
    h("label", { class: "whole" }, admin, "Admin: may manage keys and see the usage of everybody"),
    problem,
    h("div", { class: "whole" }, button),
  );
  async function submit(event) {
    event.preventDefault();
    problem.hidden = true;
    button.disabled = true;
    try {
      await create({
        name: name.value.trim(),
        models: forModels.chosen(),
        actions: forActions.chosen(),
        admin: admin.checked,
        lifetime_days: expiry.value ? Number(expiry.value) : null,
      });
      element.reset();
      forModels.update();
      forActions.update();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      button.disabled = false;
    }
  }
  return h("div", { class: "new-key stack" }, h("h3", {}, "New key"), element);
}

/** All of something, or some: `chosen()` gives null for all. */
function scope(title, names) {
  const all = h("input", { type: "checkbox", checked: true, onchange: update });
  const boxes = names.map((value) => h("input", { type: "checkbox", value }));
  const some = h(
    "span",
    { class: "choices", hidden: true },
    boxes.map((box) => h("label", {}, box, box.value)),
  );
  function update() {
    some.hidden = all.checked;
  }
  const element = h(
    "fieldset",
    {},
    h("legend", {}, title),
    h("label", {}, all, `all ${title.toLowerCase()}, also later ones`),
    some,
  );
  const chosen = () => (all.checked ? null : boxes.filter((box) => box.checked).map((box) => box.value));
  return { element, chosen, update };
}

function showSecret(key, secret) {
  const code = h("code", { class: "secret" }, secret);
  const hint = h(
    "p",
    { class: "hint" },
    "It is shown only now: the server keeps no more than its hash. Send it as Authorization: Token KEY.",
  );
  const copy = h("div", {}, h("button", { type: "button", class: "primary", onclick: () => copyText(secret) }, "Copy"));
  return ask({
    title: `The key of ${key.name}`,
    body: h("div", { class: "stack" }, code, copy, hint),
    choices: [{ label: "I have kept it", value: true }],
  });
}

const day = (text) => text.slice(0, 10);
const minute = (text) => `${text.slice(0, 10)} ${text.slice(11, 16)}`;
