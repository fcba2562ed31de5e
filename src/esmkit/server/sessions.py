"""Login and logout of the web app: a key is shown once, then a cookie that scripts cannot read stands for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http.cookies import SimpleCookie

from starlette.requests import Request

from esmkit.server.auth import (
    SESSION_COOKIE,
    address_of,
    check_origin,
    check_session_origin,
    csrf_token,
    session_secret,
)
from esmkit.server.calls import trace_of
from esmkit.server.errors import UnauthorizedError
from esmkit.server.services import services
from esmkit.store import KeyInfo

LIFETIME_S = 12 * 3600


@dataclass(frozen=True, slots=True)
class Login:
    """A session that has just begun.

    Attributes:
        key: whose it is.
        cookie: value of the Set-Cookie header of the answer.
        csrf_token: what its pages send as X-CSRF-Token.
    """

    key: KeyInfo
    cookie: str
    csrf_token: str


async def begin(request: Request, secret: str) -> Login:
    """Begins a session; one that the browser has already ends.

    Args:
        request: the login, from a page of this server.
        secret: of a key, as somebody typed it.

    Raises:
        ForbiddenError: the page of somebody else sent it.
        UnauthorizedError: the key is unknown, revoked or expired.
        RateLimitedError: too many logins from this address failed.
    """
    check_origin(request)
    server, address = services(request), address_of(request)
    await server.limiter.check_login(address)
    key = await asyncio.to_thread(server.store.keys.find, secret.strip())
    if key is None:
        await server.limiter.note_failed_login(address)
        raise UnauthorizedError("the key is unknown, revoked or expired")
    trace_of(request).key = key.id
    if before := session_secret(request):
        await asyncio.to_thread(server.store.sessions.end, before)
    session = await asyncio.to_thread(server.store.sessions.create, key.id, LIFETIME_S)
    return Login(key, _cookie(request, session, LIFETIME_S), csrf_token(session))


async def end(request: Request) -> str:
    """Ends the session of a request, if it has one.

    Returns:
        The value of the Set-Cookie header of the answer, which removes the cookie.

    Raises:
        ForbiddenError: it comes from no page of this session.
    """
    if session := session_secret(request):
        check_session_origin(request, session)
        await asyncio.to_thread(services(request).store.sessions.end, session)
    return _cookie(request, "", 0)


def _cookie(request: Request, value: str, lifetime_s: int) -> str:
    cookie = SimpleCookie({SESSION_COOKIE: value})[SESSION_COOKIE]
    cookie["path"], cookie["max-age"] = "/", str(lifetime_s)
    cookie["httponly"], cookie["samesite"] = True, "Strict"
    cookie["secure"] = request.scope["scheme"] == "https"
    return cookie.OutputString()
