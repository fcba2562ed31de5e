"""Which models there are: sizes, limits, memory, licence."""

from esmkit.web.page import Page

PAGE = Page(
    name="models",
    path="/models",
    title="Models",
    description="What this server runs, what each model takes, and what it is good for.",
    group="server",
    is_open=True,
)
