"""The tools for agents at `/mcp` of a server, with its keys, limits and usage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response
from starlette.routing import Route

from esmkit.agent.mcp import LOCAL_HOSTS, Endpoint
from esmkit.agent.service import Service
from esmkit.errors import MissingExtraError
from esmkit.server.answers import error_response
from esmkit.server.errors import http_answer
from esmkit.server.services import Services

PATH = "/mcp"


def add_to(app: FastAPI) -> None:
    """Adds the endpoint; where the SDK is not installed, its place says so."""
    server: Services = app.state.services
    settings = server.settings

    def service_for(secret: str | None, address: str) -> Service:
        return Service.near(app, secret=secret, address=address)

    # Where every request needs a key, a page whose name leads here can do nothing with it.
    hosts = None if settings.asks_for_keys else {*LOCAL_HOSTS, settings.host}
    try:
        endpoint = Endpoint(service_for, hosts=hosts, max_body_bytes=settings.max_body_bytes)
    except MissingExtraError as error:
        app.router.routes.append(Route(PATH, _Missing(error.message), include_in_schema=False))
        return
    app.router.routes.append(Route(PATH, endpoint, include_in_schema=False))
    rest = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with rest(app) as state, endpoint.run():
            yield state

    app.router.lifespan_context = lifespan


class _Missing:
    """Says what the operator has to install."""

    def __init__(self, message: str) -> None:
        self._message = message

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers any request."""
        response: Response = error_response(http_answer(501, self._message))
        await response(scope, receive, send)
