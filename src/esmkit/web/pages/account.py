"""Keys and usage: of oneself, and for an admin of everybody."""

from esmkit.web.page import Page

PAGE = Page(
    name="account",
    path="/account",
    title="Keys and usage",
    description="Who may use this server, and what they did with it.",
    group="server",
    is_open=True,
)
