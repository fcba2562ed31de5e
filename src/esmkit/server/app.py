"""The application: routes, middleware, error handlers, and what starts and stops with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Match

from esmkit import __version__
from esmkit.errors import EsmkitError
from esmkit.server import (
    actions,
    openapi,
    routes_account,
    routes_catalog,
    routes_jobs,
    routes_models,
    routes_service,
    routes_status,
)
from esmkit.server.answers import error_response
from esmkit.server.boundary import Boundary
from esmkit.server.calls import trace_of
from esmkit.server.catalog import Catalog, served_model
from esmkit.server.errors import (
    ClientGoneError,
    ErrorAnswer,
    InvalidRequestError,
    Issue,
    answer_for,
    http_answer,
)
from esmkit.server.jobs import Worker
from esmkit.server.limits import Limiter, RequestMemory
from esmkit.server.logs import SERVER
from esmkit.server.metrics import Metrics
from esmkit.server.services import Queue, Services
from esmkit.server.settings import ServerSettings
from esmkit.server.status import Status
from esmkit.server.tracing import Traced
from esmkit.server.usage import Ledger
from esmkit.store import Store

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

WORKERS = 16
"""Requests for esmkit's own actions that are carried out at the same time; others wait their turn."""
_CORS_HEADERS = [
    *("Authorization", "Content-Type", "Content-Encoding", "Idempotency-Key", "Range", "X-API-Key", "X-Request-ID")
]
# The first two also have the form of a model call; these come next because nearly every request is one.
_ROUTERS = (
    *(routes_account.login, routes_catalog.hub, routes_models.router, routes_account.router),
    *(routes_catalog.router, routes_service.router, routes_status.router),
)
_SHOWN_HEADERS = ["X-Request-ID", "Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"]


def create_app(
    settings: ServerSettings, queue: Queue, store: Store, *, tracer_provider: TracerProvider | None = None
) -> FastAPI:
    """The ASGI application over a queue and a store.

    Args:
        settings: what the operator chose.
        queue: answers for every model in `settings.models`; to be started before the first request, and closed with
            the application.
        store: keys, usage, probes, incidents; migrated.
        tracer_provider: takes a span per request.

    Raises:
        WeightsError: a predictor is missing or damaged.
        InvalidConfigError: a predictor cannot be served, two models would have the same place in URLs, rates cannot be
            counted where asked, or `jobs_folder` cannot be written.
    """
    catalog = Catalog(served_model(name, queue.info(name)) for name in settings.models)
    limiter = Limiter(settings)
    memory = RequestMemory(max_answer_bytes=settings.max_answer_bytes, max_answers_bytes=settings.max_answers_bytes)
    metrics = Metrics(queue, limiter)
    server = Services(
        settings=settings,
        queue=queue,
        store=store,
        catalog=catalog,
        limiter=limiter,
        memory=memory,
        metrics=metrics,
        scrape=metrics.text,
        ledger=Ledger(store),
        status=Status(queue, store, catalog),
        resources=actions.resources(settings),
        workers=ThreadPoolExecutor(WORKERS, "esmkit-action"),
    )
    if settings.jobs_folder is not None:
        server.jobs = Worker(server, Path(settings.jobs_folder))
    app = FastAPIOffline(
        docs_url=None,
        title="esmkit",
        version=__version__,
        summary="ESM-2 protein language models over HTTP, with BioLM's routes.",
        redirect_slashes=False,
        lifespan=_lifespan,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = server
    for router in _ROUTERS:
        app.include_router(router)
    if server.jobs is not None:
        app.include_router(routes_jobs.router)
    _handle_errors(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=_CORS_HEADERS,
            expose_headers=_SHOWN_HEADERS,
        )
    app.add_middleware(Boundary, metrics=server.metrics, https=settings.ssl_certfile is not None)
    if tracer_provider is not None:
        app.add_middleware(Traced, provider=tracer_provider)
    app.openapi = lambda: openapi.document(app, server)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    server: Services = app.state.services
    interval_s = server.settings.probe_interval_s
    background = [asyncio.create_task(server.ledger.run()), asyncio.create_task(server.status.run(interval_s))]
    background.append(asyncio.create_task(server.limiter.watch()))
    if server.jobs is not None:
        background.append(asyncio.create_task(server.jobs.run()))
        background.append(asyncio.create_task(server.jobs.webhooks.run()))
    for task in background:
        task.add_done_callback(_report)
    try:
        yield
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        if server.jobs is not None:
            await server.jobs.close()
        server.workers.shutdown(wait=False, cancel_futures=True)
        await server.queue.close()
        await server.ledger.flush()


def _report(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        SERVER.error("a background task ended", exc_info=task.exception())


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(EsmkitError)
    async def known(request: Request, error: EsmkitError) -> Response:
        trace = trace_of(request)
        answer = answer_for(error, request_id=trace.request_id)
        if answer.status >= 500:
            SERVER.error(error.message, extra={"fields": {"request_id": trace.request_id, "error": error.code}})
        return _answered(request, answer)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        answer = http_answer(error.status_code, f"{error.detail}: {request.method} {request.url.path[:200]}")
        response = _answered(request, answer)
        response.headers.update(error.headers or {})
        if answer.status == 405 and (methods := _methods_at(request)):
            response.headers["allow"] = ", ".join(methods)
        return response

    @app.exception_handler(RequestValidationError)
    async def query(request: Request, error: RequestValidationError) -> Response:
        issues = [Issue(tuple(each["loc"]), each["msg"], each["type"]) for each in error.errors()]
        return _answered(request, answer_for(InvalidRequestError(issues), request_id=trace_of(request).request_id))

    @app.exception_handler(ClientGoneError)
    async def gone(request: Request, error: ClientGoneError) -> None:
        return None


def _methods_at(request: Request) -> list[str]:
    """The methods of what is at a path: the framework names those of one route alone, and not HEAD."""
    for router in (routes_jobs.router, *_ROUTERS):  # a job has the form of a model call, which has another method
        matching = (route for route in router.routes if route.matches(request.scope)[0] is not Match.NONE)
        methods = {method for route in matching for method in getattr(route, "methods", ())}
        if methods:
            return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
    return []


def _answered(request: Request, answer: ErrorAnswer) -> Response:
    trace_of(request).code = answer.code
    return error_response(answer)
