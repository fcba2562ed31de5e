"""Keys and usage: of oneself, and for an admin of everybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from esmkit.server.actions import ACTIONS
from esmkit.server.auth import identify
from esmkit.server.jobs.run import ACTION as JOBS
from esmkit.server.services import services
from esmkit.server.wire import esm2, mutations
from esmkit.web.keys import MAX_LIFETIME_DAYS, facts
from esmkit.web.page import Page


async def data(request: Request) -> Mapping[str, Any]:
    """Whose page it is, and what a key may be made for."""
    server = services(request)
    caller = await identify(request, server.store, required=False)
    own = [name for name, action in ACTIONS.items() if action.is_served(server.resources)]
    return {
        "key": None if caller.key is None else facts(caller.key),
        "shows_usage": caller.key is not None or not server.settings.asks_for_keys,
        "actions": [*esm2.ACTIONS, mutations.ACTION, *own, JOBS],
        "max_lifetime_days": MAX_LIFETIME_DAYS,
    }


PAGE = Page(
    name="account",
    path="/account",
    title="Keys and usage",
    description="Who may use this server, and what they did with it.",
    group="server",
    data=data,
    is_open=True,
)
