// Many buttons in lines as one stop of the Tab key: arrow keys move among them.

/** Makes the elements that `selector` finds in `box` such a grid; what is in it may change. */
export function roving(box, selector) {
  const cells = () => [...box.querySelectorAll(selector)];
  box.addEventListener("keydown", (event) => {
    const all = cells();
    const at = all.indexOf(document.activeElement);
    const next = at < 0 ? undefined : all[target(event.key, all, at)];
    if (!next) return;
    next.focus();
    event.preventDefault();
  });
  box.addEventListener("focusin", (event) => {
    if (event.target.matches(selector)) stopAt(event.target);
  });
  function stopAt(chosen) {
    for (const cell of cells()) cell.tabIndex = cell === chosen ? 0 : -1;
  }
  return { renew: () => stopAt(cells()[0]) };
}

function target(key, all, at) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(all), ArrowUp: -columns(all) };
  if (key === "Home") return 0;
  if (key === "End") return all.length - 1;
  return key in steps ? at + steps[key] : -1;
}

/** How many stand in the first line, as it is drawn now. */
function columns(all) {
  const top = all[0].getBoundingClientRect().top;
  const end = all.findIndex((cell) => cell.getBoundingClientRect().top > top + 2);
  return end < 0 ? all.length : end;
}
