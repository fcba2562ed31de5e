"""The pages, in the order of the navigation; a module each."""

from esmkit.web.page import Page
from esmkit.web.pages import account, chat, docs, login, maps, models, searching, workbench

PAGES: tuple[Page, ...] = (
    *(workbench.PAGE, maps.PAGE, searching.PAGE, chat.PAGE),
    *(models.PAGE, account.PAGE, docs.PAGE),
    *(login.PAGE,),
)

__all__ = ["PAGES"]
