"""What a page is, and how it is written: a template, the same frame around each, and strict headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import jinja2
import orjson
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from esmkit import __version__
from esmkit.errors import StoreError
from esmkit.server.auth import Caller, address_of, csrf_token, identify, session_secret
from esmkit.server.errors import UnauthorizedError
from esmkit.server.services import Services, services
from esmkit.web import assets

Group = Literal["tools", "server", "none"]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Scripts and styles from this server only, none inside a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of the web app; `templates/<name>.html` is what it shows.

    Attributes:
        name: of the template, and of the scripts and styles in `static/pages`.
        path: where it is.
        title: in the navigation and in the window.
        description: one sentence under the title.
        group: where the navigation lists it.
        data: what the page's script gets as JSON, and the template as `data`.
        is_open: whether it is shown to those without a key on a server that asks for keys.
        policy: its Content-Security-Policy.
    """

    name: str
    path: str
    title: str
    description: str
    group: Group = "tools"
    data: Callable[[Request], Awaitable[Mapping[str, Any]]] | None = None
    is_open: bool = False
    policy: str = POLICY


async def show(page: Page, request: Request, pages: tuple[Page, ...], *, status: int = 200) -> Response:
    """A page as HTML; the login page instead, where it needs a key and there is none."""
    server = services(request)
    try:
        caller = await identify(request, server.store, required=server.settings.asks_for_keys and not page.is_open)
    except UnauthorizedError:
        return RedirectResponse(f"/login?next={page.path}", 303)
    except StoreError:
        if not page.is_open:
            raise
        caller = Caller(None, address_of(request))  # who it is cannot be known now; an open page is for everybody
    data = dict(await page.data(request)) if page.data else {}
    secret = session_secret(request) if caller.key is not None else None
    frame = {
        "models": _models(server),
        "max_items": server.settings.max_items,
        "max_residues": server.settings.max_residues,
        "csrf": csrf_token(secret) if secret else None,
        "asks_for_keys": server.settings.asks_for_keys,
        "origin": str(request.base_url).rstrip("/"),
        "version": __version__,
    }
    html = (
        environment()
        .get_template(f"{page.name}.html")
        .render(
            page=page,
            pages=pages,
            caller=_shown(caller),
            data=data,
            frame=frame,
            json=_json({**frame, "page": data}),
            asset=assets.address,
            stylesheet=assets.exists(f"pages/{page.name}.css"),
        )
    )
    return HTMLResponse(html, status, {"Content-Security-Policy": page.policy, "Vary": "Accept, Cookie"})


def _models(server: Services) -> list[dict[str, Any]]:
    """The served models; `tokens_per_s` is 0 until it was measured."""
    speeds = {slug: stats.tokens_per_s for slug, stats in server.queue.stats().models.items()}
    return [
        {
            "slug": model.slug,
            "title": model.title,
            "layers": model.shape.num_layers,
            "heads": model.shape.num_heads,
            "width": model.shape.width,
            "tokens_per_s": speeds.get(model.slug, 0.0),
        }
        for model in server.catalog.models
    ]


def _shown(caller: Caller) -> dict[str, Any] | None:
    return None if caller.key is None else {"name": caller.key.name, "admin": caller.key.admin}


def _json(content: Mapping[str, Any]) -> Markup:
    """JSON for inside of a script element, which no text in it can end."""
    text = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS).decode()
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704 (escaped here)


@cache
def environment() -> jinja2.Environment:
    """Where templates are read; everything that they are given is escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("esmkit.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
