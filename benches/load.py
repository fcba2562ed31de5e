"""Clients that cost little: keep-alive connections in one event loop, requests made before the clock starts.

Each client sends its next request when it has the answer to the last one. Nothing is read of an answer but its status
and length until all is over, so that the processor is left to the server.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "
_OK = b"HTTP/1.1 200 "


def request_bytes(path: str, sequences: Sequence[str], *, accept: str = "application/json", **extra: Any) -> bytes:
    """One call of encode, head and body.

    Args:
        path: of the action.
        sequences: its items.
        accept: type of the answer.
        extra: `params`, and `encoding` for Accept-Encoding.
    """
    encoding = extra.pop("encoding", "identity")
    body = json.dumps({"items": [{"sequence": sequence} for sequence in sequences], **extra}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Accept: {accept}\r\nAccept-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + body


def answer_size(received: bytes | bytearray) -> int | None:
    """Bytes of head and body of the answer that begins with these; None while its head is not complete.

    Example:
        >>> answer_size(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\n{")
        40
    """
    head_end = received.find(_HEAD_END)
    if head_end < 0:
        return None
    at = received.find(_LENGTH, 0, head_end) + len(_LENGTH)
    return head_end + len(_HEAD_END) + int(received[at : received.find(b"\r\n", at)])


def body_of(answer: bytes | bytearray) -> bytes:
    """The body of a whole answer.

    Raises:
        SystemExit: the server refused; there is nothing to measure then.
    """
    if not answer.startswith(_OK):
        raise SystemExit(f"bench: the server answers {bytes(answer[:600])!r}")
    return bytes(answer[answer.find(_HEAD_END) + len(_HEAD_END) :])


class Caller:
    """One client that waits, on a blocking socket: as little as can be between request and answer."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, request: bytes) -> bytearray:
        """The whole answer to a request."""
        self._socket.sendall(request)
        received = bytearray()
        while (size := answer_size(received)) is None:
            self._receive(received, 1 << 16)
        start, answer = len(received), bytearray(size)
        answer[:start] = received
        view = memoryview(answer)
        while start < size:
            start += self._socket.recv_into(view[start:])
        return answer

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    def _receive(self, received: bytearray, most: int) -> None:
        chunk = self._socket.recv(most)
        if not chunk:
            raise SystemExit("bench: the server closed the connection")
        received += chunk


@dataclass(slots=True)
class _Work:
    """What all clients of one run share: requests to send, and what came of them."""

    requests: Iterator[tuple[int, bytes]]
    keep: bool
    done: asyncio.Future[None]
    until: float = float("inf")
    working: int = 0
    latencies_s: list[float] = field(default_factory=list)
    answers: dict[int, bytes] = field(default_factory=dict)


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, work: _Work) -> None:
        self._work, self._received, self._size = work, bytearray(), None
        self._number, self._sent_at = 0, 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def begin(self) -> None:
        """Sends the first request."""
        self._work.working += 1
        self._send_next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._size is None:
            self._size = answer_size(self._received)
        if self._size == len(self._received):
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._work.done.done():
            self._work.done.set_exception(SystemExit("bench: the server closed a connection"))

    def _send_next(self) -> None:
        now = time.perf_counter()
        number, request = next(self._work.requests, (0, b"")) if now < self._work.until else (0, b"")
        if request:
            self._number, self._sent_at = number, now
            self._transport.write(request)
            return
        self._work.working -= 1
        if not self._work.working:
            self._work.done.set_result(None)

    def _finish(self) -> None:
        work = self._work
        work.latencies_s.append(time.perf_counter() - self._sent_at)
        if work.keep:
            work.answers[self._number] = body_of(self._received)
        elif not self._received.startswith(_OK):
            body_of(self._received)
        self._received, self._size = bytearray(), None
        self._send_next()


async def _load(port: int, clients: int, requests: Iterator[tuple[int, bytes]], *, seconds: float | None) -> _Work:
    loop = asyncio.get_running_loop()
    work = _Work(requests, seconds is None, loop.create_future())
    connections = [(await loop.create_connection(lambda: _Client(work), HOST, port))[1] for _ in range(clients)]
    if seconds is not None:
        work.until = time.perf_counter() + seconds
    for client in connections:
        client.begin()
    await work.done
    return work


# What a process runs.


def send_all(port: int, path: str, fasta: str, clients: int, answers: str) -> dict[str, Any]:
    """Sends every sequence of a file once, each in a request of its own, for its mean embedding.

    Args:
        port: of the server.
        path: of encode.
        fasta: one line per sequence.
        clients: so many at a time.
        answers: the file for the bodies of the answers, one per line in the order of the sequences.

    Returns:
        Seconds from the first request to the last answer, those of each request, and the processor time of the clients.
    """
    import uvloop

    sequences = Path(fasta).read_text().split("\n")[1::2]
    requests = iter(list(enumerate(request_bytes(path, [sequence]) for sequence in sequences)))
    processor_s, started = time.process_time(), time.perf_counter()
    work = uvloop.run(_load(port, clients, requests, seconds=None))
    seconds, processor_s = time.perf_counter() - started, time.process_time() - processor_s
    Path(answers).write_bytes(b"\n".join(work.answers[number] for number in range(len(sequences))))
    return {"seconds": seconds, "processor_s": processor_s, "latencies_s": work.latencies_s}


def keep_sending(
    port: int, path: str, fasta: str, clients: int, seconds: float, per_residue_every: int
) -> dict[str, Any]:
    """Sends the sequences over and over for some time; every so many of them ask for representations of residues."""
    import uvloop

    sequences = Path(fasta).read_text().split("\n")[1::2]
    requests = [
        request_bytes(path, [sequence], params={"include": ["per_token"]})
        if number % per_residue_every == 0
        else request_bytes(path, [sequence])
        for number, sequence in enumerate(sequences)
    ]
    work = uvloop.run(_load(port, clients, cycle(enumerate(requests)), seconds=seconds))
    return {"requests": len(work.latencies_s)}
