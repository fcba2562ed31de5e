import { frame } from "../core/dom.js";

globalThis.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: -1,
  // What is tried here goes with the session of the page.
  requestInterceptor: (request) => {
    if (frame.csrf) request.headers["X-CSRF-Token"] = frame.csrf;
    return request;
  },
});
