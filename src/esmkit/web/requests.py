"""What the pages' scripts send, read with the bounds of the API."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from esmkit.server import bodies
from esmkit.server.services import services
from esmkit.server.wire.base import parsed

T = TypeVar("T", bound=BaseModel)


async def read(request: Request, kind: type[T]) -> T:
    """The body of a request.

    Raises:
        InvalidRequestError: it is none of this kind; names the fields.
    """
    server = services(request)
    with server.memory.growing() as take:
        body = await bodies.read_json_body(
            request, max_bytes=server.settings.max_body_bytes, timeout_s=server.settings.body_timeout_s, take=take
        )
        asked: T = parsed(kind, body)
        return asked
