"""One JSON object per log line, on stderr: time, level, message, request id, what else is known; never a sequence."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

ACCESS = logging.getLogger("esmkit.access")
SERVER = logging.getLogger("esmkit.server")


class OnStart(Protocol):
    """To be called when the model begins with a request."""

    def __call__(self, ago_s: float = 0.0) -> None:
        """Notes that it began `ago_s` seconds ago: a queue in another process tells only afterwards."""


@dataclass(slots=True)
class Trace:
    """What becomes known of one request while it is answered; one log line at its end.

    Attributes:
        request_id: from the client's X-Request-ID, or new.
        route: the pattern that its path has; None where there is no such path.
        queue_ms: until the model began with it.
        compute_ms: from then until the last of its results.
        trace_id: of OpenTelemetry, where that is on.
        key: id of the API key.
        code: BioLM code of the error, if it failed.
        sequences: only where the operator asked to log them.
    """

    request_id: str
    client: str
    method: str
    path: str
    status: int = 0
    duration_ms: float = 0.0
    response_bytes: int = 0
    route: str | None = None
    key: str | None = None
    model: str | None = None
    action: str | None = None
    version: str | None = None
    items: int | None = None
    residues: int | None = None
    queue_ms: float | None = None
    compute_ms: float | None = None
    code: str | None = None
    trace_id: str | None = None
    sequences: list[str] | None = field(default=None, repr=False)

    def log(self) -> None:
        """Writes the line; health checks and scrapes only at level debug."""
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        known = {name: value for name, value in values if value is not None}
        quiet = is_quiet(self.path) and self.status < 400
        ACCESS.log(logging.DEBUG if quiet else logging.INFO, "request", extra={"fields": known})

    @contextmanager
    def computing(self) -> Iterator[OnStart]:
        """Times the queue and the model; what it gives is to be called when the model begins."""
        asked_s, begun_s = time.perf_counter(), list[float]()
        try:
            yield lambda ago_s=0.0: begun_s.append(time.perf_counter() - ago_s)
        finally:
            done_s = time.perf_counter()
            start_s = begun_s[0] if begun_s else done_s
            self.queue_ms, self.compute_ms = round(1000 * (start_s - asked_s), 3), round(1000 * (done_s - start_s), 3)


def is_quiet(path: str) -> bool:
    """Whether a path is asked for every few seconds by machines that watch the server."""
    return path.startswith(("/health", "/metrics"))


class JsonLines(logging.Formatter):
    """Formats records as JSON; fields come from `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: str, stream: TextIO | None = None) -> None:
    """Sends every log record of the process, uvicorn's too, to one stream as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("esmkit", "uvicorn"):
        logging.getLogger(name).setLevel(level.upper())
