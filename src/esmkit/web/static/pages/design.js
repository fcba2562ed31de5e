// Designing variants: before the first measurement, and after a round of them.
import { frame, one } from "../core/dom.js";
import { read as readState, write as writeState } from "../core/state.js";
import { tabs } from "../core/tabs.js";
import { nextRound } from "../design/next.js";
import { proposing } from "../design/propose.js";

const { predictors, design, next } = frame.page;
let shown = "propose";
let isReady = false;

const bar = tabs(
  "What to do",
  [
    { id: "propose", title: "Propose variants" },
    { id: "next", title: "Next round" },
  ],
  (id) => {
    shown = id;
    remember();
  },
);
const panels = {
  propose: proposing({ predictors, bounds: design }, remember),
  next: nextRound({ bounds: next }, remember),
};

function remember() {
  if (isReady) writeState({ view: shown, [shown]: panels[shown].state() });
}

for (const [id, { element }] of Object.entries(panels)) bar.panels[id].append(element);
one("#work").append(bar.list, bar.panels.propose, bar.panels.next);
const saved = await readState();
bar.choose(saved?.view in panels ? saved.view : "propose");
for (const [id, { restore }] of Object.entries(panels)) restore(saved?.[id]);
isReady = true;
