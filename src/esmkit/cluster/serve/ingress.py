"""The HTTP application as a Ray Serve deployment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from ray import serve
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from esmkit.cluster.serve.client import RayQueue, ServedModel
from esmkit.cluster.serve.whole import WholeMetrics
from esmkit.engine.queue import ModelInfo
from esmkit.server import logs, tracing
from esmkit.server.app import create_app
from esmkit.server.settings import ServerSettings
from esmkit.store import Store

Extend = Callable[[FastAPI], object]
"""Adds routes to the application, such as those of the web app."""


@serve.ingress()
class Ingress:
    """Keys, limits, store and wire are those of the server in one process; only its queue is another one.

    Args:
        settings: of the server.
        infos: what is known of each model by the name that the operator uses.
        handles: Ray's way to the replicas of a model, by slug; with `shared`, those of the shared replicas.
        lasting: slugs of models that always have a replica.
        board: Ray's handle of the board.
        extend: adds routes.
    """

    async def __init__(  # type: ignore[misc]  # Ray awaits it
        self,
        settings: ServerSettings,
        infos: Mapping[str, ModelInfo],
        handles: Mapping[str, Any],
        shared: frozenset[str],
        lasting: frozenset[str],
        board: Any,
        extend: Extend | None,
    ) -> None:
        logs.configure(settings.log_level)
        name = serve.get_replica_context().replica_id.unique_id
        models = {
            info.slug: ServedModel(info, _addressed(handles[info.slug], info.slug, shared), info.slug in lasting)
            for info in infos.values()
        }
        names = {each.casefold(): info.slug for own, info in infos.items() for each in (own, info.slug)}
        self._queue = RayQueue(
            models,
            names,
            board,
            name=name,
            max_queued_tokens=settings.max_queued_tokens,
            cold_start_s=settings.ray_cold_start_s,
        )
        assert settings.database_url is not None  # see `application`
        self._store = Store.open(settings.database_url)
        app = create_app(settings, self._queue, self._store, tracer_provider=tracing.provider(os.environ))
        services = app.state.services
        services.scrape = WholeMetrics(self._queue, services.metrics).text
        if extend is not None:
            extend(app)
        asgi: Any = app
        self._app = ProxyHeadersMiddleware(asgi, trusted_hosts=settings.trusted_proxies)
        await self._queue.start()

    def __serve_build_asgi_app__(self) -> Any:
        """For Ray, after the constructor."""
        return self._app

    async def __del__(self) -> None:
        """Ray calls it when all requests are answered."""
        self._store.close()


def _addressed(handle: Any, slug: str, shared: frozenset[str]) -> Any:
    return handle.options(multiplexed_model_id=slug) if slug in shared else handle
