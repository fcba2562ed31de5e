"""Bodies of responses: JSON straight from numpy, gzip where the client takes it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response

from esmkit.server.errors import ErrorAnswer

GZIP_FROM_BYTES = 1024
BLOCK_NUMBERS = 1 << 17
"""Numbers that are written in one go, in about 5 ms."""
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_GZIP_LEVEL = 1
"""Numbers shrink to about half at any level; higher levels cost time and gain a few percent."""


def dumps(content: Any) -> bytes:
    """JSON of plain data, dataclasses, dates and C-ordered numpy arrays."""
    return orjson.dumps(_fragmented(content), option=_OPTIONS)


def _fragmented(content: Any) -> Any:
    """The content with large arrays written already, in blocks of rows; between blocks other threads have a turn."""
    if isinstance(content, dict):
        return {key: _fragmented(each) for key, each in content.items()}
    if isinstance(content, list):
        return [_fragmented(each) for each in content]
    if not isinstance(content, np.ndarray) or content.size <= BLOCK_NUMBERS or content.ndim < 2:
        return content
    rows = BLOCK_NUMBERS * len(content) // content.size
    if rows == 0:
        return [_fragmented(row) for row in content]
    blocks = (content[start : start + rows] for start in range(0, len(content), rows))
    written = [orjson.dumps(block, option=_OPTIONS)[1:-1] for block in blocks]
    return orjson.Fragment(b"[" + b",".join(written) + b"]")


def json_response(
    content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None, request: Request | None = None
) -> Response:
    """A JSON response; compressed if `request` is given, its client takes gzip, and it is worth it."""
    body = dumps(content)
    extra = dict(headers or {})
    if request is not None:
        extra["Vary"] = "Accept, Accept-Encoding"
        if len(body) >= GZIP_FROM_BYTES and takes_gzip(request.headers.get("accept-encoding", "")):
            body = gzipped(body)
            extra["Content-Encoding"] = "gzip"
    return Response(body, status, extra, "application/json")


def error_response(answer: ErrorAnswer) -> Response:
    """The response for an error."""
    return json_response(answer.body, status=answer.status, headers=answer.headers)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip.

    Example:
        >>> takes_gzip("gzip, deflate"), takes_gzip("br, gzip;q=0")
        (True, False)
    """
    for part in accept_encoding.lower().split(","):
        name, _, quality = part.partition(";")
        if name.strip() in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def gzipped(body: bytes) -> bytes:
    """The body in gzip format."""
    return zlib.compress(body, _GZIP_LEVEL, wbits=31)
