"""Puts the web app beside the API: a route per page, what the pages' scripts ask for, the static files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match
from starlette.types import Scope

from esmkit.web import accounts, assets, chat, keys, mcp, saved
from esmkit.web.page import Page, show
from esmkit.web.pages import PAGES

HOME = "/"


class BrowserRoute(APIRoute):
    """A route for those who ask for HTML; others find what the API has at the same path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As usual, for browsers."""
        if scope["type"] == "http" and not _asks_for_html(scope):
            return Match.NONE, {}
        return super().matches(scope)


def add_to(app: FastAPI) -> None:
    """Adds the web app to an application of `esmkit.server`.

    Raises:
        InvalidConfigError: the settings of the chat are wrong.
        MissingExtraError: the chat needs a package that is missing.
    """
    chat.prepare(app)
    mcp.add_to(app)
    home = APIRouter(route_class=BrowserRoute)
    router = APIRouter()
    for page in PAGES:
        place = home if page.path == HOME else router
        place.add_api_route(page.path, _shows(page), name=f"page_{page.name}", include_in_schema=False)
    router.add_api_route("/catalog", _moved, name="catalog_moved", include_in_schema=False)
    router.add_api_route("/catalog/{slug}", _moved, name="catalog_entry_moved", include_in_schema=False)
    app.router.routes[:0] = home.routes  # before the API's own
    for each in (accounts, keys, saved, chat):
        app.include_router(each.router)
    app.include_router(router)
    app.mount(assets.mount_path(), assets.Assets(), name="web-assets")


def _shows(page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def shown(request: Request) -> Response:
        return await show(page, request, PAGES)

    return shown


async def _moved(request: Request) -> Response:
    """BioLM's gateway has its pages about models here."""
    return RedirectResponse("/models", 308)


def _asks_for_html(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])
