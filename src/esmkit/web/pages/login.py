"""Logging in with an API key."""

from esmkit.web.page import Page

PAGE = Page(
    name="login",
    path="/login",
    title="Log in",
    description="With an API key that the operator of this server gave you.",
    group="none",
    is_open=True,
)
