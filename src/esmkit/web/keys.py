"""Keys and everybody's usage in the browser, for those with an admin key: what `esmkit keys` and `esmkit usage` do."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from esmkit.errors import UserError
from esmkit.server.answers import json_response
from esmkit.server.auth import identify
from esmkit.server.calls import trace_of
from esmkit.server.catalog import resolve_action
from esmkit.server.errors import ForbiddenError, InvalidRequestError, Issue
from esmkit.server.services import Services, services
from esmkit.server.wire.base import Body, Version
from esmkit.store import KeyInfo
from esmkit.web.requests import read

MAX_LIFETIME_DAYS = 3650
MAX_USAGE_DAYS = 366
_Names = Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(min_length=1, max_length=100)]
router = APIRouter(prefix="/web", include_in_schema=False)


class NewKey(Body):
    """A key to be made; None stands for all models, all actions, no end."""

    name: str = Field(max_length=100)
    models: _Names | None = None
    actions: _Names | None = None
    lifetime_days: int | None = Field(None, ge=1, le=MAX_LIFETIME_DAYS)
    admin: bool = False


@router.get("/keys")
async def keys(request: Request) -> Response:
    """Every key there ever was, without secrets."""
    server = await _for_admin(request)
    return json_response({"keys": [facts(key) for key in await asyncio.to_thread(server.store.keys.list)]})


@router.post("/keys")
async def create(request: Request) -> Response:
    """Makes a key; its secret is in this answer and nowhere else."""
    server = await _for_admin(request)
    asked = await read(request, NewKey)
    models, actions = _checked(server, asked)
    days = asked.lifetime_days
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    key, secret = await asyncio.to_thread(
        server.store.keys.create, asked.name, models=models, actions=actions, expires_at=expires_at, admin=asked.admin
    )
    return json_response({"key": facts(key), "secret": secret}, status=201)


@router.post("/keys/{key_id}/revoke")
async def revoke(request: Request, key_id: str) -> Response:
    """Makes a key useless at once and for good."""
    server = await _for_admin(request)
    return json_response({"key": facts(await asyncio.to_thread(server.store.keys.revoke, key_id))})


@router.get("/usage")
async def usage(request: Request, days: Annotated[int, Query(ge=1, le=MAX_USAGE_DAYS)] = 30) -> Response:
    """What every key used in the last days, today included, by key, model, action and day."""
    server = await _for_admin(request)
    await server.ledger.flush()
    since = datetime.now(UTC).date() - timedelta(days=days - 1)
    rows = await asyncio.to_thread(server.store.usage.report, since=since)
    return json_response({"usage": rows}, request=request)


def facts(key: KeyInfo) -> dict[str, Any]:
    """A key as plain data, with its state now."""
    return dataclasses.asdict(key) | {"state": key.state(datetime.now(UTC))}


async def _for_admin(request: Request) -> Services:
    """The services of the server, for an admin key or its session only, also where others need no key.

    Raises:
        UnauthorizedError: there is no valid key or session.
        ForbiddenError: its key is no admin key, or the page of somebody else sent this.
    """
    server = services(request)
    caller = await identify(request, server.store, required=True)
    trace_of(request).key = caller.key.id if caller.key else None
    if caller.key is None or not caller.key.admin:
        raise ForbiddenError("this needs an admin key; operators make one with: esmkit keys create NAME --admin")
    await server.limiter.take_request(caller.id)
    return server


def _checked(server: Services, asked: NewKey) -> tuple[list[str] | None, list[str] | None]:
    """Scopes by the names that requests are checked against; a form offers no others, so a wrong one is no typo."""
    return (
        _resolved("models", asked.models, lambda name: server.catalog.find(name).slug),
        _resolved("actions", asked.actions, lambda name: resolve_action(name, Version.V3)),
    )


def _resolved(field: str, names: list[str] | None, resolve: Callable[[str], str]) -> list[str] | None:
    found: list[str] = []
    for index, name in enumerate(names or ()):
        try:
            found.append(resolve(name))
        except UserError as error:
            raise InvalidRequestError([Issue((field, index), error.message, error.code)]) from None
    return None if names is None else found
