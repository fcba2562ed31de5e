"""The pages, in the order of the navigation; a module each."""

from esmkit.web.page import Page
from esmkit.web.pages import account, design, docs, login, models, predictors, workbench

PAGES: tuple[Page, ...] = (
    *(workbench.PAGE, predictors.PAGE, design.PAGE),
    *(models.PAGE, account.PAGE, docs.PAGE),
    *(login.PAGE,),
)

__all__ = ["PAGES"]
