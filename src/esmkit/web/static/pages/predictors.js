// Two ways to a property: ask a predictor of this server, or fit one to measurements.
import { frame, one } from "../core/dom.js";
import { read as readState, write as writeState } from "../core/state.js";
import { tabs } from "../core/tabs.js";
import { ask } from "../predictors/ask.js";
import { fitting } from "../predictors/fitting.js";

let shown = "ask";
const bar = tabs(
  "What to do",
  [
    { id: "ask", title: "Ask a predictor" },
    { id: "fit", title: "Fit your own" },
  ],
  (id) => {
    shown = id;
    remember();
  },
);
let isReady = false;
const asking = ask(frame.page.predictors, remember);

/** Measurements are in no link: they are of whoever pasted them. */
function remember() {
  if (isReady) writeState({ view: shown, ask: asking.state() });
}

bar.panels.ask.append(asking.element);
bar.panels.fit.append(fitting(frame.page.fit));
one("#work").append(bar.list, bar.panels.ask, bar.panels.fit);
const saved = await readState();
bar.choose(saved?.view === "fit" ? "fit" : "ask");
asking.restore(saved?.ask);
isReady = true;
