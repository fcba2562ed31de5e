"""A port in front of a server that passes bytes on and keeps the requests, to see what a client really sent."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import h11


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it came over the wire.

    Attributes:
        method: such as POST.
        path: as sent, with the query.
        headers: names in lower case.
        body: as sent, compressed or not.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def compressed(self) -> bool:
        return self.headers.get("content-encoding") == "gzip"

    @property
    def text(self) -> str:
        """The body, inflated."""
        return (gzip.decompress(self.body) if self.compressed else self.body).decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Relay:
    """Listens on loopback, connects to `target` for every connection.

    Attributes:
        port: where it listens.
    """

    def __init__(self, target: int, *, port: int = 0) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._connections: list[bytearray] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def forget(self) -> None:
        """Requests of connections that were opened before are no longer listed."""
        self._connections = []

    def requests(self) -> list[Sent]:
        """What came over each connection since the last `forget`, in the order in which these were opened."""
        return [request for data in self._connections for request in _parsed(bytes(data))]

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                kept = bytearray()
                self._connections.append(kept)
                for source, sink, copy in ((client, server, kept), (server, client, bytearray())):
                    threading.Thread(target=_pass_on, args=(source, sink, copy), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, copy: bytearray) -> None:
    with source:
        with suppress(OSError):  # either side may go at any time
            while data := source.recv(65_536):
                copy += data
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _parsed(data: bytes) -> Iterator[Sent]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    while isinstance(head := connection.next_event(), h11.Request):
        body = b""
        while isinstance(part := connection.next_event(), h11.Data):
            body += part.data
        headers = {name.decode(): value.decode() for name, value in head.headers}
        yield Sent(head.method.decode(), head.target.decode(), headers, body)
        connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        connection.send(h11.EndOfMessage())
        connection.start_next_cycle()
