"""The outermost layer of every request: its id, one spelling of paths, security headers, one log line, last resort.

Plain ASGI, as Starlette's BaseHTTPMiddleware would hide that a client went away.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from esmkit.errors import EsmkitError, InternalError
from esmkit.server.answers import error_response
from esmkit.server.errors import DrainingError, answer_for
from esmkit.server.logs import SERVER, Trace
from esmkit.server.metrics import Metrics

UNTIL_SENT = "esmkit.until_sent"
"""In the scope of a request: an ExitStack for what it holds until its answer is sent."""
PIECE_BYTES = 1 << 18
"""Answers are sent in pieces of this size, each when the client has taken the one before."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
DOCS_PATHS = ("/redoc",)
_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
# The page holds a script of its own; everything else on it comes from this server.
_DOCS_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "worker-src 'self' blob:; frame-ancestors 'none'"
)


class Boundary:
    """ASGI middleware; `scope["esmkit"]` holds the Trace of the request, `scope[UNTIL_SENT]` what it holds."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, https: bool) -> None:
        self._app, self._metrics, self._https = app, metrics, https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and notes what became of it."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["method"] == "HEAD"
        trace = scope["esmkit"] = _trace(scope)
        # A copy, as uvicorn looks at its own for the method. Clients write paths with and without a slash at the end,
        # and follow no redirect.
        path = scope["path"].rstrip("/") or "/"
        scope = {**scope, "method": "GET" if is_head else scope["method"], "path": path}
        started = time.perf_counter()

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                trace.status = message["status"]
                self._mark(message, path, trace)
            elif message["type"] == "http.response.body":
                if is_head:
                    message = {**message, "body": b""}
                trace.response_bytes += len(message.get("body", b""))
            await _send_in_pieces(message, send)

        async def send_error(error: EsmkitError) -> None:
            answer = answer_for(error, request_id=trace.request_id)
            trace.code = answer.code
            if not trace.status:
                await error_response(answer)(scope, receive, send_marked)

        try:
            with self._metrics.in_flight.track_inprogress(), ExitStack() as scope[UNTIL_SENT]:
                await self._app(scope, receive, send_marked)
        except asyncio.CancelledError:  # the server stops, and waited long enough
            await send_error(DrainingError())
            raise
        except Exception:
            SERVER.exception("request failed", extra={"fields": {"request_id": trace.request_id}})
            await send_error(InternalError("unexpected"))
        finally:
            seconds = time.perf_counter() - started
            trace.duration_ms = round(seconds * 1000, 3)
            trace.status = trace.status or 499  # nobody was there to answer
            trace.route = getattr(scope.get("route"), "path", None)
            self._metrics.count_request(trace, seconds)
            trace.log()

    def _mark(self, message: Message, path: str, trace: Trace) -> None:
        headers = MutableHeaders(scope=message)
        headers["X-Request-ID"] = trace.request_id
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if path.startswith(DOCS_PATHS):
            headers["Content-Security-Policy"] = _DOCS_POLICY
        if self._https:
            headers["Strict-Transport-Security"] = "max-age=31536000"


async def _send_in_pieces(message: Message, send: Send) -> None:
    """Sends a message; of a large body no more than a piece waits in the connection, outside of what is counted."""
    body = memoryview(message.get("body", b""))
    while len(body) > PIECE_BYTES:
        await send({**message, "body": body[:PIECE_BYTES], "more_body": True})
        body = body[PIECE_BYTES:]
        message = {**message, "body": body}
    await send(message)


def _trace(scope: Scope) -> Trace:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    client = scope.get("client")
    trace = Trace(request_id, client[0] if client else "unknown", scope["method"], scope["path"][:256])
    trace.trace_id = scope.get("trace_id")
    return trace
