"""The pages, in the order of the navigation; a module each."""

from esmkit.web.page import Page
from esmkit.web.pages import (
    account,
    chat,
    design,
    docs,
    jobs,
    login,
    maps,
    models,
    predictors,
    searching,
    status,
    workbench,
)

PAGES: tuple[Page, ...] = (
    *(workbench.PAGE, maps.PAGE, searching.PAGE, predictors.PAGE, design.PAGE, jobs.PAGE, chat.PAGE),
    *(models.PAGE, account.PAGE, status.PAGE, docs.PAGE),
    *(login.PAGE,),
)

__all__ = ["PAGES"]
