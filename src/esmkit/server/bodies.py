"""Request bodies: read in bounded memory and time, inflated in bounded memory, before anything looks inside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request

from esmkit.server.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    ClientGoneError,
    InvalidRequestError,
    Issue,
    UnsupportedMediaError,
)

ENCODINGS = ("gzip", "zstd")
INFLATED_AT_ONCE = 1 << 16


async def read_json_body(request: Request, *, max_bytes: int, timeout_s: float, take: Callable[[int], None]) -> bytes:
    """The body as the JSON text that was sent, inflated.

    Args:
        request: its body has not been read.
        max_bytes: bound on the body as sent, and again inflated.
        timeout_s: how long the client may take.
        take: called with the number of bytes before they are kept; may refuse them.

    Raises:
        UnsupportedMediaError: not JSON, or an encoding other than gzip and zstd.
        BodyTooLargeError: above `max_bytes`; nothing beyond it was kept.
        BodyTimeoutError: the client was too slow.
        InvalidRequestError: the compressed data is damaged.
    """
    _check_type(request.headers.get("content-type", ""))
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", *ENCODINGS):
        raise UnsupportedMediaError(f"Content-Encoding {encoding[:40]!r}: send {', '.join(ENCODINGS)}, or none")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            raw = await _read(request, max_bytes, take)
    except TimeoutError:
        raise BodyTimeoutError(f"the body did not arrive within {timeout_s:g} s") from None
    if encoding == "identity":
        return raw
    text = await asyncio.to_thread(inflate, raw, encoding, max_bytes)
    take(len(text))
    return text


def inflate(raw: bytes, encoding: str, max_bytes: int) -> bytes:
    """Decompressed data of at most `max_bytes`; a bomb costs no more memory than that.

    Example:
        >>> import gzip
        >>> inflate(gzip.compress(b"[]"), "gzip", 100)
        b'[]'
    """
    import pyarrow as pa

    try:
        with pa.input_stream(pa.py_buffer(raw), compression=encoding) as stream:
            text = bytearray()
            while len(text) <= max_bytes and (piece := stream.read(INFLATED_AT_ONCE)):
                text += piece
    except OSError:
        raise InvalidRequestError([Issue((), f"the body is damaged or no {encoding}", "body_encoding")]) from None
    if len(text) > max_bytes:
        raise _too_large(max_bytes)
    return bytes(text)


async def _read(request: Request, max_bytes: int, take: Callable[[int], None]) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            if len(body) + len(chunk) > max_bytes:
                raise _too_large(max_bytes)
            take(len(chunk))
            body += chunk
    except ClientDisconnect:
        raise ClientGoneError from None
    return bytes(body)


def _check_type(content_type: str) -> None:
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        found = f"{kind[:60]!r}" if kind else "none"
        raise UnsupportedMediaError(f"Content-Type is {found}: send application/json")


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is larger than {max_bytes} bytes; send fewer items per request")
