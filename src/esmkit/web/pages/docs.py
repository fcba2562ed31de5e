"""The reference of the HTTP API, drawn by Swagger UI from /openapi.json."""

from esmkit.web.page import POLICY, Page

PAGE = Page(
    name="docs",
    path="/docs",
    title="API",
    description="Every route of this server, to read and to try.",
    group="server",
    is_open=True,
    # Swagger UI writes style attributes; scripts stay those of this server.
    policy=POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'"),
)
