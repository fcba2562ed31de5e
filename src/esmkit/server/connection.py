"""What uvicorn leaves open on a connection: bounds on what is waited for and on heads, and JSON for broken HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from esmkit.server.answers import dumps
from esmkit.server.errors import http_answer

MAX_HEAD_BYTES = 65_536
"""Bytes that may come before a head is whole, or between two pieces of a body; up to one read of the socket more."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that waits for no client for ever, and keeps little of what it cannot use yet.

    Attributes:
        head_timeout_s: for the first head of a connection, for each one that a client begins, and for the rest of a
            body that was answered before it was read.
    """

    head_timeout_s: ClassVar[float] = 20.0
    _alarm: asyncio.TimerHandle | None = None
    _is_in_head = False
    _pending_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """The clock runs from the first moment."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """No clock outlives its connection."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on, unless what the parser holds back has grown too large: one header without an end, say."""
        self._pending_bytes += len(data)
        super().data_received(data)
        if self._pending_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(HTTPStatus.BAD_REQUEST, "the head of the request is too large")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._is_in_head = True
        self._start_clock()

    def on_headers_complete(self) -> None:
        """The head is here."""
        self._is_in_head = False
        self._pending_bytes = 0
        self._stop_clock()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._pending_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is here."""
        self._pending_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer was sent. What is left of a body that nobody reads must come soon; uvicorn would wait for ever."""
        is_unread = not self.pipeline and self.cycle.more_body
        super().on_response_complete()
        if is_unread:
            self._start_clock()

    def send_400_response(self, msg: str) -> None:
        """JSON, as for every other error."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        body = dumps(http_answer(status, message).body)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        self.transport.close()

    def _start_clock(self) -> None:
        self._stop_clock()
        self._alarm = self.loop.call_later(self.head_timeout_s, self._give_up)

    def _stop_clock(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _give_up(self) -> None:
        if self.transport.is_closing():
            return
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if self._is_in_head and not is_answering:
            message = f"the head of the request did not arrive within {self.head_timeout_s:g} s"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, message)
        else:
            self.transport.close()


def protocol(head_timeout_s: float) -> type[asyncio.Protocol]:
    """The protocol with this timeout."""
    return type("Protocol", (BoundedProtocol,), {"head_timeout_s": head_timeout_s})


def drop_who_does_not_read(listeners: Iterable[socket.socket], timeout_s: float) -> None:
    """Has the kernel end connections, accepted from now on, whose other end takes no bytes for so long (Linux only)."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        for listener in listeners:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(timeout_s * 1000))
