// Search: proteins on the left, what an index of the server has that is most like them on the right.
import { call } from "../core/api.js";
import { copyText } from "../core/code.js";
import { frame, h, one } from "../core/dom.js";
import { entry } from "../core/entry.js";
import { link, read as readState, write as writeState } from "../core/state.js";
import { reveal, waiting } from "../core/waiting.js";
import { DOMAINS } from "../examples/domains.js";
import { show } from "../search/results.js";
import { snippets } from "../search/snippets.js";

const MOST_PROTEINS = 200;
const { indexes } = frame.page;
if (indexes.length) await begin();

async function begin() {
  const [index, k, where, identity, label, runButton] = ["#index", "#k", "#where", "#identity", "#label", "#run"].map(
    (each) => one(each),
  );
  let shown = 0;
  const editor = entry(check, {
    examples: DOMAINS,
    label: "Proteins to search with, as FASTA or as one sequence",
    limits: { maxResidues: frame.max_residues, maxRecords: MOST_PROTEINS },
  });
  one("#entry").append(editor.element);
  index.addEventListener("change", describe);
  k.addEventListener("input", () => check(editor.read()));
  runButton.addEventListener("click", () => run());
  where.addEventListener("keydown", (event) => event.key === "Enter" && !runButton.disabled && run());
  one("#share").addEventListener("click", async () => copyText(await link(state())));

  const chosen = () => indexes.find(({ name }) => name === index.value);

  function check({ records, problems }) {
    one("#count").textContent = records.length
      ? `${records.length} ${records.length === 1 ? "protein" : "proteins"}.`
      : "";
    runButton.disabled = !records.length || problems.length > 0 || !k.checkValidity() || chosen().model === null;
  }
  function describe() {
    const { built_with: slug, model, pooling, layers, approximate, columns, labels } = chosen();
    const way = approximate ? "approximate" : "exact";
    const facts = `Built with ${slug}: ${pooling} of layer ${layers.join(", ")}; search is ${way}.`;
    one("#about").replaceChildren(
      model === null
        ? h(
            "span",
            { class: "error", role: "alert" },
            `This index was built with ${slug}, which this server does not run; its operator adds --model ${slug}.`,
          )
        : facts,
    );
    label.replaceChildren(
      h("option", { value: "" }, "no column"),
      ...labels.map(({ column, k: voters }) =>
        h(
          "option",
          { value: labels.findIndex((each) => each.column === column && each.k === voters) },
          labels.some((other) => other.column === column && other.k !== voters)
            ? `${column} (${voters} neighbours)`
            : column,
        ),
      ),
    );
    if (labels.length) label.value = 0;
    const text = columns.find(({ kind }) => kind === "text");
    where.placeholder = text ? `length > 100 AND ${quotedName(text.name)} = '…'` : "length > 100";
    const names = ["id", "length", ...columns.map(({ name }) => name)].map(quotedName).join(", ");
    one("#where-help").textContent =
      `Conditions with = != < <= > >= and AND between them, of ${names}; text in single quotes.`;
    check(editor.read());
  }
  const quotedName = (name) => (/^[^\W\d]\w*$/.test(name) ? name : `"${name}"`);

  /** What the form asks for. */
  function asked() {
    const chosenLabel = label.value === "" ? null : chosen().labels[Number(label.value)];
    const params = {
      index: index.value,
      k: Number(k.value),
      ...(where.value.trim() ? { where: where.value.trim() } : {}),
      ...(identity.checked ? { identity: true } : {}),
    };
    const labelParams = chosenLabel && { index: index.value, label_column: chosenLabel.column, k: chosenLabel.k };
    return { index: chosen(), params, label: chosenLabel, labelParams, identity: identity.checked };
  }

  /** Asks for as many proteins at a time as a request may hold. */
  async function found(records, { index: { model }, params, labelParams }, signal, reached) {
    const answers = [];
    while (answers.length < records.length) {
      reached(answers.length, records.length);
      const some = records.slice(answers.length, answers.length + frame.max_items);
      const items = some.map(({ sequence }) => ({ sequence: sequence.replaceAll("-", "") }));
      const hits = await call(model, "search", items, { ...params, sequences: true }, { signal });
      const labels = labelParams ? await call(model, "annotate", items, labelParams, { signal }) : [];
      answers.push(...some.map((record, at) => ({ record, hits: hits[at].hits, label: labels[at] ?? null })));
    }
    return answers;
  }

  async function run(first = 0) {
    const { records } = editor.read();
    const wanted = asked();
    runButton.disabled = true;
    const answers = await waiting(one("#progress"), `Searching in ${wanted.index.name}…`, (signal, reached) =>
      found(records, wanted, signal, reached),
    );
    check(editor.read());
    if (!answers) return;
    one("#nothing").hidden = true;
    one("#found").hidden = false;
    shown = first;
    show(one("#found"), answers, wanted, {
      chosen: first,
      code: () => snippets(records, wanted),
      onchoose: (at) => {
        shown = at;
        writeState(state());
      },
    });
    reveal(one("#found"));
  }
  const state = () => ({
    text: editor.text(),
    index: index.value,
    k: k.value,
    where: where.value,
    identity: identity.checked,
    label: label.value,
    shown,
  });

  const saved = await readState();
  if (saved) {
    if (indexes.some(({ name }) => name === saved.index)) index.value = saved.index;
    describe();
    Object.assign(k, { value: saved.k ?? 10 });
    where.value = saved.where ?? "";
    identity.checked = Boolean(saved.identity);
    if ([...label.options].some(({ value }) => value === saved.label)) label.value = saved.label;
    editor.set(saved.text ?? "");
    check(editor.read());
    if (!runButton.disabled) await run(saved.shown ?? 0);
  } else {
    describe();
    editor.set(DOMAINS[0].text);
  }
}
