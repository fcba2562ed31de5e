"""What uvicorn leaves open on a connection: a bound on the time and size of request heads, and JSON for broken HTTP."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from esmkit.server.answers import dumps
from esmkit.server.errors import http_answer

MAX_HEAD_BYTES = 65_536


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that waits for no head of a request for ever.

    Attributes:
        head_timeout_s: for the first head of a connection, and for each one that a client begins.
    """

    head_timeout_s: ClassVar[float] = 20.0
    _alarm: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """The clock runs from the first moment."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """No clock outlives its connection."""
        self._stop_clock()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._head_bytes = 0
        self._expect_head()

    def on_url(self, url: bytes) -> None:
        """A part of the URL."""
        super().on_url(url)
        self._bound(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        super().on_header(name, value)
        self._bound(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """The head is here."""
        self._stop_clock()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """JSON, as for every other error."""
        body = dumps(http_answer(400, msg).body)
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    def _expect_head(self) -> None:
        self._stop_clock()
        self._alarm = self.loop.call_later(self.head_timeout_s, self.timeout_keep_alive_handler)

    def _stop_clock(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _bound(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError("the head of the request is too large")  # uvicorn answers 400


def protocol(head_timeout_s: float) -> type[asyncio.Protocol]:
    """The protocol with this timeout."""
    return type("Protocol", (BoundedProtocol,), {"head_timeout_s": head_timeout_s})
