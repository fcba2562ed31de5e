// Bars of daily uptime that the server has drawn: what is under the pointer, or reached with arrow keys, is said below.

/** Makes a figure of bars explorable; `chosen` is where to begin, or null; `onchoose(at)` is told of another day. */
export function explorable(figure, chosen = null, onchoose = () => {}) {
  const picture = figure.querySelector("svg");
  const bars = [...picture.querySelectorAll("g")];
  const readout = figure.querySelector(".readout");
  const summary = readout.textContent;
  let at = null;

  function show(next) {
    if (at !== null) bars[at].classList.remove("chosen");
    at = next;
    readout.textContent = at === null ? summary : bars[at].dataset.text;
    if (at !== null) {
      bars[at].classList.add("chosen");
      picture.setAttribute("aria-valuenow", at + 1);
      picture.setAttribute("aria-valuetext", bars[at].dataset.text);
    }
    onchoose(at);
  }
  // For who cannot see it, a picture of 90 days is a control with 90 positions that says what each one is.
  const attributes = {
    role: "slider",
    tabindex: 0,
    "aria-label": `Daily uptime of ${figure.dataset.name}, left and right for other days`,
    "aria-valuemin": 1,
    "aria-valuemax": bars.length,
    "aria-valuenow": bars.length,
    "aria-valuetext": bars.at(-1).dataset.text,
  };
  for (const [name, value] of Object.entries(attributes)) picture.setAttribute(name, value);
  picture.addEventListener("pointermove", (event) => {
    const place = picture.getBoundingClientRect();
    const under = Math.floor(((event.clientX - place.left) / place.width) * bars.length);
    show(Math.min(bars.length - 1, Math.max(0, under)));
  });
  picture.addEventListener("pointerleave", () => show(null));
  picture.addEventListener("focus", () => show(at ?? bars.length - 1));
  picture.addEventListener("blur", () => show(null));
  picture.addEventListener("keydown", (event) => {
    const last = bars.length - 1;
    const now = at ?? last;
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last, PageUp: now - 7, PageDown: now + 7 }[
      event.key
    ];
    if (next === undefined) return;
    show(Math.min(last, Math.max(0, next)));
    event.preventDefault();
  });
  if (chosen !== null) show(chosen);
}
