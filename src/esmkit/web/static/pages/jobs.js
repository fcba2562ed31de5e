// Jobs: a file and what to compute on the left, all jobs on the right; asked anew while one of them is not done.
import { get, post, remove as removed, upload } from "../core/api.js";
import { codeButton, copyText } from "../core/code.js";
import { ask } from "../core/dialog.js";
import { frame, notify, one } from "../core/dom.js";
import { card, reached } from "../jobs/card.js";
import { snippets } from "../jobs/snippets.js";

const PATH = "/api/v3/jobs";
const BUSY_MS = 1500;
const IDLE_MS = 20_000;
const mark = () => [...crypto.getRandomValues(new Uint8Array(16))].join("-"); // randomUUID is for https alone
if (frame.page.is_served) await begin();

async function begin() {
  const [form, file, drop, send, problem] = ["#new", "#file", "#drop", "#send", "#problem"].map((each) => one(each));
  const boxes = [...one("#outputs").querySelectorAll("input")];
  const states = new Map();
  let timer;
  one("#code").append(codeButton(() => snippets(asked(), file.files[0]?.name ?? "proteins.fasta")));
  form.addEventListener("change", check);
  form.addEventListener("submit", submit);
  for (const kind of ["dragover", "dragleave", "drop"]) drop.addEventListener(kind, dragged);
  document.addEventListener("visibilitychange", () => !document.hidden && load());

  const outputs = () => boxes.filter(({ checked }) => checked).map(({ value }) => value);

  function check() {
    const [chosen] = file.files;
    const isLarge = chosen && chosen.size > frame.page.max_bytes;
    if (chosen) one("#chosen").textContent = `${chosen.name}, ${(chosen.size / 1e6).toFixed(2)} MB`;
    problem.textContent = isLarge ? "The file is larger than this server takes; send it as several jobs." : "";
    problem.hidden = !isLarge;
    send.disabled = !chosen || isLarge || !outputs().length;
  }
  function dragged(event) {
    event.preventDefault();
    drop.classList.toggle("over", event.type === "dragover");
    if (event.type !== "drop" || !event.dataTransfer.files.length) return;
    file.files = event.dataTransfer.files;
    check();
  }
  /** What the form asks for, by the names of the API. */
  function asked() {
    const query = { model: one("#model").value, outputs: outputs().join(","), format: one("#format").value };
    if (one("#long").value !== "error") query.long = one("#long").value;
    if (one("#skip").checked) query.on_error = "skip";
    if (file.files.length) query.name = file.files[0].name.slice(0, 100);
    return query;
  }
  async function submit(event) {
    event.preventDefault();
    send.disabled = true;
    send.textContent = "Sending…";
    problem.hidden = true;
    try {
      await upload(`${PATH}?${new URLSearchParams(asked())}`, file.files[0], { "Idempotency-Key": mark() });
      await load();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      send.textContent = "Send";
      send.disabled = false;
    }
  }
  async function load() {
    clearTimeout(timer);
    if (document.hidden) return;
    let wait = IDLE_MS;
    try {
      const { jobs } = await get(PATH);
      show(jobs);
      if (jobs.some(({ finished_at: finished }) => finished === null)) wait = BUSY_MS;
    } catch (error) {
      one("#said").textContent = error.message;
    }
    timer = setTimeout(load, wait);
  }
  /** Only what has changed is drawn again, so that the focus stays where it is. */
  function show(jobs) {
    const list = one("#list");
    const there = new Map([...list.children].map((each) => [each.dataset.job, each]));
    const cards = jobs.map((job) => {
      const key = JSON.stringify(job);
      const old = there.get(job.id);
      if (old && states.get(job.id)?.key === key) return old;
      if (old && states.get(job.id)?.state !== job.state) {
        one("#said").textContent = `${job.name || job.id} is ${job.state}: ${reached(job)}`;
      }
      states.set(job.id, { key, state: job.state });
      const fresh = card(job, { cancel, remove, share });
      const focused = old?.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
      old?.replaceWith(fresh);
      if (focused) fresh.querySelector(`[aria-label=${CSS.escape(focused)}]`)?.focus();
      return fresh;
    });
    if (cards.length !== list.children.length || cards.some((each, at) => list.children[at] !== each)) {
      list.replaceChildren(...cards);
    }
    one("#nothing").hidden = jobs.length > 0;
  }
  async function done(work) {
    try {
      await work();
      await load();
    } catch (error) {
      notify(error.message, "bad");
    }
  }
  const cancel = (job) => done(() => post(`${PATH}/${job.id}/cancel`, {}));
  const share = (job) =>
    done(async () => copyText((await post(`${PATH}/${job.id}/link?lifetime_s=86400`, {})).url));
  async function remove(job) {
    const isSure = await ask({
      title: `Delete ${job.name || job.id}?`,
      body: "The job and its result are gone for good then.",
      choices: [
        { label: "Keep it", value: null },
        { label: "Delete", value: true, kind: "danger" },
      ],
    });
    if (isSure) await done(() => removed(`${PATH}/${job.id}`));
  }
  await load();
}
