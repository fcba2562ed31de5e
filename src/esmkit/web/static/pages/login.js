import { post } from "../core/api.js";
import { one } from "../core/dom.js";

const form = one("#login");
const problem = one("#problem");

/** Where to go then; only a path of this server. */
function next() {
  const asked = new URLSearchParams(location.search).get("next") ?? "/";
  return /^\/(?![/\\])/.test(asked) ? asked : "/";
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
