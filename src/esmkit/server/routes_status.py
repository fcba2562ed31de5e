"""How the server did over 90 days: as JSON, as a feed, and as a badge; all of it from the store."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from esmkit.server.answers import json_response
from esmkit.server.service_docs import StatusPage, answered
from esmkit.server.services import services
from esmkit.server.status_feed import badge, feed

FRESH_S = 60
"""How long caches may show a badge or a feed again."""
router = APIRouter(tags=["health"])


class Atom(Response):
    """A feed."""

    media_type = "application/atom+xml"


class Svg(Response):
    """A picture."""

    media_type = "image/svg+xml"


@router.get("/status.json", summary="Uptime, latency and incidents of 90 days", **answered(StatusPage))
async def status(request: Request) -> Response:
    """Per model: share of successful probes, p50 and p95 in ms, one entry per day; and incidents, newest first."""
    server = services(request)
    return json_response(await server.status.page(draining=server.draining), request=request)


@router.get("/status.atom", summary="Incidents of 90 days as a feed", response_class=Atom)
async def status_feed(request: Request) -> Response:
    """An Atom feed with one entry per incident, newest first; an entry is updated with each message."""
    server = services(request)
    page = await server.status.page(draining=server.draining)
    content = feed(page["incidents"], base_url=str(request.base_url), read_at=page["updated_at"])
    return Atom(content, headers={"Cache-Control": f"max-age={FRESH_S}"})


@router.get("/status/badge.svg", summary="The state of the server as a badge", response_class=Svg)
async def status_badge(request: Request) -> Response:
    """A small picture for other pages: operational, degraded, down or shutting down."""
    server = services(request)
    page = await server.status.page(draining=server.draining)
    return Svg(badge(page["status"]), headers={"Cache-Control": f"max-age={FRESH_S}"})
