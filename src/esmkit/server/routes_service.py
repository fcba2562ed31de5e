"""What is here and how it is doing: root, health, metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from esmkit import __version__
from esmkit.server.answers import json_response
from esmkit.server.auth import identify
from esmkit.server.errors import ForbiddenError
from esmkit.server.service_docs import EXAMPLES, Alive, Ready, Root, answered
from esmkit.server.services import Services, services

router = APIRouter()


@router.get("/", tags=["health"], summary="What this is", **answered(Root))
async def root(request: Request) -> Response:
    """BioLM's hub clients take `status: ok` for healthy."""
    server = services(request)
    content = {
        "status": "ok",
        "message": f"esmkit {__version__}",
        "supported_models": [model.slug for model in server.catalog.models],
        "links": {
            "catalog": "/catalog",
            "docs": "/docs",
            "openapi": "/openapi.json",
            "status": "/status.json",
            "health": "/health/ready",
        },
    }
    return json_response(content)


@router.get("/health/live", tags=["health"], summary="The process answers", **answered(Alive))
async def live() -> Response:
    """Always 200; restart the process when this fails."""
    return json_response({"status": "alive"})


@router.get(
    "/health/ready",
    tags=["health"],
    summary="Requests will be answered",
    response_model=Ready,
    responses={
        503: {
            "model": Ready,
            "description": "Send no requests now.",
            "content": {"application/json": {"example": EXAMPLES["draining"]}},
        }
    },
)
@router.get("/health", include_in_schema=False)
async def ready(request: Request) -> Response:
    """503 while draining, or while a model's process is dead and not back; send no traffic then."""
    server = services(request)
    states = {model.slug: server.queue.info(model.name).state for model in server.catalog.models}
    is_ready = server.queue.ready() and not server.draining
    word = "draining" if server.draining else "ready" if is_ready else "not ready"
    return json_response({"status": word, "models": states}, status=200 if is_ready else 503)


@router.get(
    "/metrics",
    tags=["health"],
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses={401: {}, 403: {}},
)
async def metrics(request: Request) -> Response:
    """Needs an admin key where keys are on, unless the server was started with metrics_open."""
    server = services(request)
    await _check_scraper(request, server)
    return Response(await server.scrape(), media_type=CONTENT_TYPE_LATEST)


async def _check_scraper(request: Request, server: Services) -> None:
    if server.settings.metrics_open or not server.settings.asks_for_keys:
        return
    caller = await identify(request, server.store, required=True)
    if caller.key is None or not caller.key.admin:
        raise ForbiddenError("metrics need a key made with 'esmkit keys create --admin'")
