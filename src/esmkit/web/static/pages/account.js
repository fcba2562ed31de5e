// Usage of whoever looks; for an admin also keys, and the usage of everybody.
import { keysPanel } from "../account/keys.js";
import { usagePanel } from "../account/usage.js";
import { get } from "../core/api.js";
import { frame } from "../core/dom.js";

const own = document.querySelector("#own-usage");
const everybody = document.querySelector("#all-usage");
const keys = document.querySelector("#keys");
const { page } = frame;

if (own) {
  usagePanel(own, {
    title: page.key ? "What you used" : "What was used without a key",
    file: "usage",
    load: async (days) => (await get(`/api/usage?since=${firstDay(days)}`)).usage,
    code: (days) => ({
      curl: `curl '${frame.origin}/api/usage?since=${firstDay(days)}'${page.key ? " -H 'Authorization: Token KEY'" : ""}`,
      CLI: page.key
        ? `esmkit usage --key ${page.key.id} --by day --since ${firstDay(days)}`
        : `esmkit usage --since ${firstDay(days)}`,
    }),
  });
}
if (keys) {
  const names = new Map();
  const shownKeys = keysPanel(keys, { ...page, models: frame.models }, (all) => {
    for (const key of all) names.set(key.id, key.name);
  });
  await shownKeys;
  usagePanel(everybody, {
    title: "What everybody used",
    file: "usage_of_everybody",
    names,
    load: async (days) => (await get(`/web/usage?days=${days}`)).usage,
    code: (days) => ({ CLI: `esmkit usage --by key --since ${firstDay(days)}` }),
  });
}

/** The day with which a period of so many days begins that ends today, in UTC. */
function firstDay(days) {
  return new Date(Date.now() - (days - 1) * 86_400_000).toISOString().slice(0, 10);
}
