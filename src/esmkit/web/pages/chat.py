"""Questions in words, answered by a language model that computes with the tools; off unless the operator chose one."""

from esmkit.web.chat import description
from esmkit.web.page import Page

PAGE = Page(
    name="chat",
    path="/chat",
    title="Chat",
    description="Ask in your own words; a language model calls the tools and shows what it called.",
    data=description,
)
