"""Bodies of responses: JSON straight from numpy, gzip where the client takes it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from esmkit.server.errors import ErrorAnswer

GZIP_FROM_BYTES = 1024
_GZIP_LEVEL = 1
"""Numbers shrink to about half at any level; higher levels cost time and gain a few percent."""


def dumps(content: Any) -> bytes:
    """JSON of plain data, dataclasses, dates and C-ordered numpy arrays."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


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
