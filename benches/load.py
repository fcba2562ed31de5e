"""Clients that cost little: keep-alive connections in one event loop, requests made before the clock starts.

Each client sends its next request when it has the answer to the last one. Nothing is read of an answer but its status
and length until all is over, so that the processor is left to the server.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "
_OK = b"HTTP/1.1 200 "


def request_bytes(
    path: str,
    sequences: Sequence[str],
    *,
    include: Sequence[str] = ("mean",),
    accept: str = "application/json",
    encoding: str = "identity",
) -> bytes:
    """One call of encode, head and body.

    Args:
        path: of the action.
        sequences: its items.
        include: what to ask for.
        accept: type of the answer.
        encoding: for Accept-Encoding.
    """
    items = [{"sequence": sequence} for sequence in sequences]
    body = json.dumps({"items": items, "params": {"include": include}}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Accept: {accept}\r\nAccept-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + body


def answer_size(received: bytes | bytearray) -> int | None:
    r"""Bytes of head and body of the answer that begins with these; None while its head is not complete.

    Example:
        >>> answer_size(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{")
        40
    """
    head_end = received.find(_HEAD_END)
    if head_end < 0:
        return None
    at = received.find(_LENGTH, 0, head_end) + len(_LENGTH)
    return head_end + len(_HEAD_END) + int(received[at : received.find(b"\r\n", at)])


def body_of(answer: bytes | bytearray) -> memoryview:
    """The body of a whole answer, not copied.

    Raises:
        SystemExit: the server refused; there is nothing to measure then.
    """
    if not answer.startswith(_OK):
        raise SystemExit(f"bench: the server answers {bytes(answer[:600])!r}")
    return memoryview(answer)[answer.find(_HEAD_END) + len(_HEAD_END) :]


class Caller:
    """One client that waits, on a blocking socket: as little as can be between request and answer."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(self, request: bytes) -> bytearray:
        """The whole answer to a request."""
        self._socket.sendall(request)
        received = bytearray()
        while (size := answer_size(received)) is None:
            chunk = self._socket.recv(1 << 16)
            if not chunk:
                raise SystemExit("bench: the server closed the connection")
            received += chunk
        start, answer = len(received), bytearray(size)
        answer[:start] = received
        view = memoryview(answer)
        while start < size:
            start += self._socket.recv_into(view[start:])
        return answer


class Load:
    """Many clients that share a stream of requests.

    Attributes:
        latencies_s: of every request, in the order in which they ended.
        answers: whole answers by the number of the request, if they are kept.
    """

    def __init__(self, requests: Iterable[bytes], *, keep: bool) -> None:
        self._requests: Iterator[tuple[int, bytes]] = enumerate(requests)
        self._keep, self._until, self._working = keep, float("inf"), 0
        self.latencies_s: list[float] = []
        self.answers: dict[int, bytearray] = {}

    async def run(self, port: int, clients: int, seconds: float = float("inf")) -> None:
        """Sends requests until there are no more, or the time is over and the last answer is here."""
        loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = loop.create_future()
        connections = [(await loop.create_connection(lambda: _Client(self), HOST, port))[1] for _ in range(clients)]
        self._until, self._working = time.perf_counter() + seconds, clients
        for client in connections:
            client.send_next()
        await self._done

    def next(self) -> tuple[int, bytes] | None:
        """A request and its number for a client; None sends it home."""
        found = next(self._requests, None) if time.perf_counter() < self._until else None
        if found is None:
            self._working -= 1
            if not self._working:
                self._done.set_result(None)
        return found

    def take(self, number: int, answer: bytearray, seconds: float) -> None:
        """The answer to a request."""
        self.latencies_s.append(seconds)
        if self._keep:
            self.answers[number] = answer
        elif not answer.startswith(_OK):
            self.fail(f"the server answers {bytes(answer[:600])!r}")

    def fail(self, why: str) -> None:
        """Ends the run."""
        if not self._done.done():
            self._done.set_exception(SystemExit(f"bench: {why}"))


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, load: Load) -> None:
        self._load, self._is_waiting = load, True

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send_next(self) -> None:
        """Sends a request if there is one."""
        request = self._load.next()
        self._is_waiting = request is not None
        if request is not None:
            self._number, content = request
            self._received, self._size = bytearray(), None
            self._sent_at = time.perf_counter()
            self._transport.write(content)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._size is None:
            self._size = answer_size(self._received)
        if self._size == len(self._received):
            self._load.take(self._number, self._received, time.perf_counter() - self._sent_at)
            self.send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_waiting:
            self._load.fail("the server closed a connection")


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

    load = Load([request_bytes(path, [sequence]) for sequence in _sequences(fasta)], keep=True)
    processor_s, started = time.process_time(), time.perf_counter()
    uvloop.run(load.run(port, clients))
    seconds, processor_s = time.perf_counter() - started, time.process_time() - processor_s
    bodies = (body_of(answer) for _, answer in sorted(load.answers.items()))
    Path(answers).write_bytes(b"\n".join(bodies))
    return {"seconds": seconds, "processor_s": processor_s, "latencies_s": load.latencies_s}


def keep_sending(
    port: int, path: str, fasta: str, clients: int, seconds: float, per_residue_every: int
) -> dict[str, Any]:
    """Sends the sequences over and over for some time; every so many of them ask for representations of residues."""
    import uvloop

    requests = [
        request_bytes(path, [sequence], include=["mean"] if number % per_residue_every else ["per_token"])
        for number, sequence in enumerate(_sequences(fasta))
    ]
    load = Load(cycle(requests), keep=False)
    uvloop.run(load.run(port, clients, seconds))
    return {"requests": len(load.latencies_s)}


def _sequences(fasta: str) -> list[str]:
    return Path(fasta).read_text().split("\n")[1::2]
