// One job: what it is, how far, and what can be done with it.
import { button } from "../core/button.js";
import { h } from "../core/dom.js";
import { duration } from "../core/waiting.js";

const TONES = { queued: "", running: "warn", done: "good", failed: "bad", cancelled: "" };
const number = new Intl.NumberFormat("en");

/** The element; `acts` are {cancel, remove, share}, each called with the job. */
export function card(job, acts) {
  const title = job.name || job.id;
  return h(
    "article",
    { class: "job stack", "aria-label": title, data: { job: job.id } },
    h(
      "div",
      { class: "row spread" },
      h("h3", {}, title),
      h("span", { class: `badge ${TONES[job.state]}` }, job.state),
    ),
    h("p", { class: "hint" }, about(job)),
    job.finished_at === null && h("progress", { max: 1, value: job.progress.share, "aria-label": `How far ${title} is` }),
    h("p", { class: "small" }, reached(job)),
    job.note && h("p", { class: "hint" }, job.note),
    job.error && h("p", { class: "error" }, job.error.message),
    h("div", { class: "row" }, actions(job, title, acts)),
  );
}

/** How far it is, in words. */
export function reached({ state, progress, failures, finished_at: finished, expires_at: expires }) {
  const parts = [`${number.format(progress.records)} of ${number.format(progress.records_total)} proteins`];
  if (failures) parts.push(`${number.format(failures)} without an answer`);
  if (progress.residues_per_s) parts.push(`${number.format(Math.round(progress.residues_per_s))} residues/s`);
  if (progress.seconds_left !== null) parts.push(`about ${duration(progress.seconds_left)} left`);
  if (finished && state === "done") parts.push(`kept until ${minute(expires)}`);
  return parts.join(", ");
}

function about({ model, asked, created_at: created }) {
  return `${asked.outputs.join(", ")} of ${model} as ${asked.format}, sent ${minute(created)}`;
}

function actions(job, title, { cancel, remove, share }) {
  const { result, failures } = job.links;
  const found = [];
  if (job.state === "done")
    found.push(
      h("a", { class: "button", href: result, download: "", "aria-label": `Download ${title}` }, "Download"),
      button("Copy link", () => share(job), { class: "ghost", "aria-label": `Copy link to ${title}` }),
    );
  if (job.failures)
    found.push(
      h("a", { class: "button ghost", href: failures, download: "", "aria-label": `Failures of ${title}` }, "Failures"),
    );
  if (job.finished_at === null)
    found.push(button("Cancel", () => cancel(job), { class: "danger", "aria-label": `Cancel ${title}` }));
  else found.push(button("Delete", () => remove(job), { class: "ghost", "aria-label": `Delete ${title}` }));
  return found;
}

const minute = (text) => new Date(text).toLocaleString("sv").slice(0, 16);
