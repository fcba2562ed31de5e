"""States of pages that are too large for a link: kept on this server when somebody asks for it, for a month."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from esmkit.server.answers import dumps, json_response
from esmkit.server.auth import Caller, check_origin, identify
from esmkit.server.calls import trace_of
from esmkit.server.services import Services, services
from esmkit.server.wire.base import Body
from esmkit.web.requests import read

LIFETIME_DAYS = 30
router = APIRouter(prefix="/web", include_in_schema=False)


class PageState(Body):
    """What a page wants to find again; only the page knows what it means."""

    state: dict[str, Any]


@router.post("/saved")
async def save(request: Request) -> Response:
    """Keeps a state; whoever may use this server and has the id can read it."""
    check_origin(request)
    server, caller = await _caller(request)
    asked = await read(request, PageState)
    lifetime, key_id = timedelta(days=LIFETIME_DAYS), caller.key.id if caller.key else None
    state_id = await asyncio.to_thread(server.store.saved.put, dumps(asked.state), lifetime.total_seconds(), key_id)
    return json_response({"id": state_id, "expires_at": datetime.now(UTC) + lifetime}, status=201)


@router.get("/saved/{state_id}")
async def saved(request: Request, state_id: str) -> Response:
    """A state as it was saved."""
    server, _ = await _caller(request)
    content = await asyncio.to_thread(server.store.saved.get, state_id)
    if content is None:
        raise HTTPException(404, "nothing is saved here under this id, or its time has passed")
    return Response(content, media_type="application/json")


async def _caller(request: Request) -> tuple[Services, Caller]:
    server = services(request)
    caller = await identify(request, server.store, required=server.settings.asks_for_keys)
    trace_of(request).key = caller.key.id if caller.key else None
    await server.limiter.take_request(caller.id)
    return server, caller
