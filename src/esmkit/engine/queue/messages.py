"""What a server and its runner processes say to each other: pickles, with large arrays beside them as raw bytes.

Both ends are this package in processes of one user, joined by an anonymous socket pair that nobody else can open. On
the wire: bytes of the pickle, number of buffers, size of each buffer (little-endian), the pickle, the buffers.
"""

from __future__ import annotations

import asyncio
import io
import pickle
import socket
import struct
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from esmkit.config import Settings
from esmkit.engine.queue.spec import ModelSpec
from esmkit.engine.runner import RowOutcome
from esmkit.outputs import Output
from esmkit.types import Row

BESIDE_BYTES = 1 << 16
"""Arrays of at least this size travel beside the pickle, uncopied; below it, fewer system calls are worth the copy."""
_PREFIX = struct.Struct("<QI")


@dataclass(frozen=True, slots=True)
class Load:
    """To a runner, first: what to load."""

    spec: ModelSpec
    settings: Settings


@dataclass(frozen=True, slots=True)
class Ready:
    """From a runner that has loaded its model and run it once; an EsmkitError comes instead when it cannot."""

    provenance: dict[str, Any]
    batch_tokens: int


@dataclass(frozen=True, slots=True)
class Work:
    """To a runner: one batch, as `Runner.run` takes it."""

    rows: Sequence[Row]
    names: Sequence[str]
    outputs: Sequence[Output]


@dataclass(frozen=True, slots=True)
class Done:
    """From a runner: what became of the rows of one batch, and how long that took it."""

    outcomes: Sequence[RowOutcome]
    seconds: float


def encode(message: Any) -> list[bytes | memoryview]:
    """The buffers that make up a message, to be sent in order; large arrays are not copied."""
    beside: list[memoryview] = []

    def is_small(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes >= BESIDE_BYTES:
            beside.append(raw)
        return raw.nbytes < BESIDE_BYTES

    body = io.BytesIO()
    pickle.Pickler(body, protocol=5, buffer_callback=is_small).dump(message)
    sizes = struct.pack(f"<{len(beside)}Q", *(raw.nbytes for raw in beside))
    return [_PREFIX.pack(body.tell(), len(beside)) + sizes + body.getvalue(), *beside]


def send(connection: socket.socket, message: Any) -> None:
    """Sends a message through a blocking socket."""
    send_buffers(connection, encode(message))


def send_buffers(connection: socket.socket, buffers: Sequence[bytes | memoryview]) -> None:
    """Sends an encoded message through a blocking socket."""
    for buffer in buffers:
        connection.sendall(buffer)


async def send_async(connection: socket.socket, message: Any) -> None:
    """Sends a message through a non-blocking socket."""
    loop = asyncio.get_running_loop()
    for buffer in encode(message):
        await loop.sock_sendall(connection, buffer)


def receive(connection: socket.socket) -> Any:
    """The next message from a blocking socket.

    Raises:
        EOFError: the other end is closed.
    """
    reading = _reading()
    view = next(reading)
    try:
        while True:
            view = reading.send(connection.recv_into(view))
    except StopIteration as end:
        return end.value


async def receive_async(connection: socket.socket) -> Any:
    """The next message from a non-blocking socket.

    Raises:
        EOFError: the other end is closed.
    """
    loop = asyncio.get_running_loop()
    reading = _reading()
    view = next(reading)
    try:
        while True:
            view = reading.send(await loop.sock_recv_into(connection, view))
    except StopIteration as end:
        return end.value


def _reading() -> Generator[memoryview, int, Any]:
    """Yields the memory that the next bytes go to, is sent how many came, and returns the message."""
    prefix = yield from _filled(_PREFIX.size)
    body_bytes, num_buffers = _PREFIX.unpack(prefix)
    sizes = yield from _filled(8 * num_buffers)
    body = yield from _filled(body_bytes)
    buffers = []
    for (size,) in struct.iter_unpack("<Q", sizes):
        buffers.append((yield from _filled(size)))
    return pickle.loads(body, buffers=buffers)  # noqa: S301 (both ends are ours, see above)


def _filled(size: int) -> Generator[memoryview, int, bytearray]:
    memory = bytearray(size)
    view = memoryview(memory)
    while view:
        count = yield view
        if count == 0:
            raise EOFError
        view = view[count:]
    return memory
