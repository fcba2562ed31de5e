"""Model calls and their schemas, for the three versions of BioLM's API and the legacy one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request
from starlette.responses import Response

from esmkit.server import calls
from esmkit.server.actions import EXTENSIONS
from esmkit.server.answers import json_response
from esmkit.server.catalog import resolve_action
from esmkit.server.services import services
from esmkit.server.wire import esm2_docs, schema
from esmkit.server.wire.base import Version

router = APIRouter(include_in_schema=False)  # `openapi.py` lists one concrete path per model and action instead
Endpoint = Callable[[Request, str, str], Awaitable[Response]]


def _call(version: Version) -> Endpoint:
    async def call(request: Request, slug: str, action: str) -> Response:
        return await calls.answer(request, version, slug, action)

    return call


def _schema(version: Version) -> Endpoint:
    async def request_schema(request: Request, slug: str, action: str) -> Response:
        server, name = services(request), resolve_action(action, version)
        model = server.catalog.find(slug)
        if name in EXTENSIONS:
            content = EXTENSIONS[name].schema(server.bounds)
        else:
            content = esm2_docs.request_schema(version, name, server.bounds, model.shape)
        rate = schema.throttle_rate(server.settings.limit_requests_per_s)
        return json_response({**content, "throttle_rate": rate}, request=request)

    return request_schema


for _version in Version:
    router.add_api_route(f"/api/{_version}/schema/{{slug}}/{{action}}", _schema(_version), methods=["GET"])
    router.add_api_route(f"/api/{_version}/{{slug}}/{{action}}", _call(_version), methods=["POST"])


@router.post("/api/v1/models/{slug}/{action}")
async def call_legacy(request: Request, slug: str, action: str) -> Response:
    """BioLM's API of 2022."""
    return await calls.answer(request, Version.V2, slug, action, is_legacy=True)
