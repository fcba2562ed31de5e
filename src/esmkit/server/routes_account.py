"""Who am I and what did I use: BioLM's login check and account pages, and usage per key."""

from __future__ import annotations

import asyncio
import re
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BeforeValidator
from starlette.responses import Response

from esmkit.server.answers import json_response
from esmkit.server.auth import Caller, identify
from esmkit.server.calls import trace_of
from esmkit.server.service_docs import Usage, User, answered
from esmkit.server.services import Services, services

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _day(text: str) -> str:
    """Refuses what pydantic would take for seconds since 1970."""
    if not _DAY.fullmatch(text):
        raise ValueError("write a day as YYYY-MM-DD")
    return text


Day = Annotated[date, BeforeValidator(_day)]
login = APIRouter()
router = APIRouter(tags=["account"])


async def _caller(request: Request) -> tuple[Services, Caller]:
    server = services(request)
    caller = await identify(request, server.store, required=server.settings.asks_for_keys)
    trace_of(request).key = caller.key.id if caller.key else None
    return server, caller


@login.post("/api/v1/auth/login-check", include_in_schema=False)  # BioLM's hub clients would take it for a model
async def login_check(request: Request) -> Response:
    """Whether the key is valid; an answer without `code` means yes."""
    _, caller = await _caller(request)
    return json_response({"status": "ok", "username": _name(caller)})


@router.get("/api/users/me", summary="The user behind a key", **answered(User, 401))
async def users_me(request: Request) -> Response:
    """The user page of BioLM's command line; there is no billing here."""
    server, caller = await _caller(request)
    await server.ledger.flush()
    rows = await asyncio.to_thread(server.store.usage.report, key_id=caller.key.id) if caller.key else ()
    content: dict[str, Any] = {
        "username": _name(caller),
        "email": "",
        "first_name": "",
        "api_use_count": sum(row.requests for row in rows),
        "in_trial": False,
        "in_metering": False,
        "in_fixed_rate": False,
        "payment_past_due_or_canceled": False,
        "get_curr_month_dollars_billed": 0.0,
        "usage_plan": "esmkit",
        "workspace_budget": None,
    }
    return json_response(content)


@router.get(
    "/api/usage",
    summary="Usage of the key that asks",
    **answered(Usage, 400, 401),
)
async def usage(
    request: Request,
    since: Annotated[Day | None, Query(description="First day, UTC.", examples=["2026-01-31"])] = None,
    until: Annotated[Day | None, Query(description="Last day, UTC.", examples=["2030-12-31"])] = None,
) -> Response:
    """Requests, residues and seconds per model, action and day; of all requests without a key where keys are off."""
    server, caller = await _caller(request)
    await server.ledger.flush()
    key_id = caller.key.id if caller.key else None
    found = await asyncio.to_thread(server.store.usage.report, key_id=key_id, since=since, until=until)
    rows = [row for row in found if row.key_id == key_id]
    totals = {
        "requests": sum(row.requests for row in rows),
        "residues": sum(row.residues for row in rows),
        "seconds": sum(row.seconds for row in rows),
    }
    return json_response({"key": _name(caller), "totals": totals, "usage": rows}, request=request)


def _name(caller: Caller) -> str:
    return caller.key.name if caller.key else "anonymous"
