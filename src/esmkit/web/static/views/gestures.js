// What pointers and wheels mean over a picture that can be moved and zoomed.

const MOVED_PX = 4;

/**
 * Turns events of an element into `does`: hover(x, y, event), leave(), click(x, y), pan(right, down),
 * zoom(factor, x, y), lasso(path) while it is drawn, lassoed(path, add). Places are pixels of the element.
 * Shift draws a lasso in any mode, and in the mode "lasso" it adds to what is selected. Gives {mode("move" | "lasso")}.
 */
export function gestures(element, does) {
  const down = new Map();
  let mode = "move";
  let path = null;
  let isClick = false;
  let adds = false;

  const place = (event) => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    down.set(event.pointerId, place(event));
    isClick = down.size === 1;
    adds = mode === "lasso" && event.shiftKey;
    path = isClick && (mode === "lasso" || event.shiftKey) ? [place(event)] : null;
  });
  element.addEventListener("pointermove", (event) => {
    const now = place(event);
    const before = down.get(event.pointerId);
    if (!before) {
      does.hover(...now, event);
      return;
    }
    const step = [now[0] - before[0], now[1] - before[1]];
    if (isClick && Math.hypot(...step) < MOVED_PX) return;
    isClick = false;
    if (down.size > 1) pinch(event.pointerId, now);
    else if (path) does.lasso((path = [...path, now]));
    else does.pan(...step);
    down.set(event.pointerId, now);
  });
  function pinch(id, now) {
    const [, other] = [...down].find(([each]) => each !== id);
    const before = down.get(id);
    const factor =
      Math.hypot(now[0] - other[0], now[1] - other[1]) / (Math.hypot(before[0] - other[0], before[1] - other[1]) || 1);
    does.zoom(factor, (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    does.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    if (path) does.lasso([]);
    path = null;
  }
  function ended(event) {
    if (!down.delete(event.pointerId)) return;
    if (isClick && event.type === "pointerup") does.click(...place(event));
    else if (path && path.length > 2 && event.type === "pointerup") does.lassoed(path, adds);
    else if (path) does.lasso([]);
    isClick = false;
    path = null;
  }
  element.addEventListener("pointerup", ended);
  element.addEventListener("pointercancel", ended);
  element.addEventListener("pointerleave", () => does.leave());
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      does.zoom(Math.exp((-event.deltaY * lines) / 400), ...place(event));
    },
    { passive: false },
  );
  return {
    mode(chosen) {
      mode = chosen;
      element.classList.toggle("lasso", chosen === "lasso");
    },
  };
}
