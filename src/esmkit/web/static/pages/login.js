import { post } from "../core/api.js";
import { one } from "../core/dom.js";

const form = one("#login");
const problem = one("#problem");

/** Where to go then: somewhere on this server, with the state that a link had after its #. */
function next() {
  const asked = new URLSearchParams(location.search).get("next") ?? "/";
  const found = URL.canParse(asked, location.origin) ? new URL(asked, location.origin) : null;
  if (!found?.href.startsWith(`${location.origin}/`)) return "/";
  found.hash ||= location.hash;
  return found.href;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.hidden = true;
  try {
    await post("/web/login", { key: new FormData(form).get("key").trim() });
    location.assign(next());
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
});
