// A small text beside the pointer.
import { h } from "../core/dom.js";

/** A tip for a picture: `show(event, text)`, `hide()` and `remove()`. */
export function tip() {
  const box = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  document.body.append(box);
  return {
    show({ clientX, clientY }, text) {
      box.textContent = text;
      box.hidden = false;
      const left = Math.min(clientX + 14, innerWidth - box.offsetWidth - 8);
      const top = clientY + 18 + box.offsetHeight > innerHeight ? clientY - box.offsetHeight - 10 : clientY + 18;
      Object.assign(box.style, { left: `${left}px`, top: `${top}px` });
    },
    hide() {
      box.hidden = true;
    },
    remove() {
      box.remove();
    },
  };
}
