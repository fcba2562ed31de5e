// Swagger UI, with the session of the page for what is tried, and with the names that it gives its controls not itself.
import { frame, one } from "../core/dom.js";

const reference = one("#reference");
const NAMES = [
  ["textarea.body-param__text", "Body of the request"],
  ["select.examples-select-element, .examples-select select", "Example"],
  [".content-type, .content-type-wrapper select, .response-control-media-type select", "Media type"],
  [".copy-to-clipboard button", "Copy"],
  [".parameters select", "Value"],
];

globalThis.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  docExpansion: "list",
  deepLinking: false, // its links would stand inside buttons
  defaultModelsExpandDepth: -1,
  syntaxHighlight: false, // its colours are for one theme
  // The page has its own title, and a second one would be too much.
  plugins: [() => ({ components: { InfoContainer: () => null } })],
  // The token is added behind Swagger UI's back, as it would be of no use in the curl command that it shows.
  requestInterceptor: (request) => {
    if (frame.csrf)
      request.userFetch = (url, sent) =>
        fetch(url, { ...sent, headers: { ...sent.headers, "X-CSRF-Token": frame.csrf } });
    return request;
  },
});

function named() {
  for (const [selector, name] of NAMES) {
    for (const control of reference.querySelectorAll(selector)) {
      if (!control.hasAttribute("aria-label")) control.setAttribute("aria-label", name);
    }
  }
  for (const text of reference.querySelectorAll("pre.microlight, .microlight")) text.tabIndex = 0;
}

new MutationObserver(named).observe(reference, { childList: true, subtree: true });
