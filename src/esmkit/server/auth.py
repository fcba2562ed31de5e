"""Who is asking: an API key in any form that BioLM's clients use, a session of the web app, or nobody in particular.

Headers are sent on purpose. Browsers send cookies whoever wrote the page, so what comes with one may change something
only if it came from a page of this server.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from dataclasses import dataclass

from starlette.requests import Request

from esmkit.server.errors import ForbiddenError, UnauthorizedError
from esmkit.store import KeyInfo, Store

SESSION_COOKIE = "esmkit_session"
CSRF_HEADER = "X-CSRF-Token"
_READING = ("GET", "HEAD")
_HEADER_FORMS = "Authorization: Token KEY, Authorization: Bearer KEY, X-API-Key: KEY, or Cookie: access=KEY"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may use the server.

    Attributes:
        key: their API key; None where keys are off and none was given.
        address: where the request came from.
    """

    key: KeyInfo | None
    address: str

    @property
    def id(self) -> str:
        """What rates are counted by: the key, else the address."""
        return self.key.id if self.key else f"address:{self.address}"

    def check(self, *, model: str, action: str) -> None:
        """Refuses what the scopes of the key do not cover.

        Raises:
            ForbiddenError: names the model and action.
        """
        if self.key is not None and not self.key.allows(model=model, action=action):
            raise ForbiddenError(f"the key {self.key.name!r} may not use {action} of {model}")


def presented_secret(request: Request) -> str | None:
    """The secret of a key that a request carries, from the first place that has one."""
    return _secret_in_headers(request) or request.cookies.get("access") or None


def session_secret(request: Request) -> str | None:
    """The secret of the web session that a request carries; whether that still lasts is not looked at."""
    return request.cookies.get(SESSION_COOKIE) or None


def csrf_token(secret: str) -> str:
    """What pages of a session send as X-CSRF-Token: pages of others cannot know it, and it tells nothing of the secret.

    Example:
        >>> csrf_token("ess_one") == csrf_token("ess_two")
        False
    """
    return hmac.new(secret.encode(), b"esmkit csrf token", hashlib.sha256).hexdigest()


def check_origin(request: Request) -> None:
    """Refuses what a page of somebody else made a browser send; reading is not refused, such a page sees no answer.

    Raises:
        ForbiddenError: it would change something.
    """
    site = request.headers.get("sec-fetch-site", "none")
    if request.method not in _READING and site not in ("same-origin", "none"):
        raise ForbiddenError(
            f"a page of another site sent this ({site}); only pages of this server may, or who sends a key in a header"
        )


def check_session_origin(request: Request, secret: str) -> None:
    """Refuses what does not come from a page of a session.

    Args:
        request: carries the cookie of the session.
        secret: of the session.

    Raises:
        ForbiddenError: it would change something, and comes from elsewhere or has no right X-CSRF-Token.
    """
    check_origin(request)
    given = request.headers.get(CSRF_HEADER, "")
    if request.method not in _READING and not hmac.compare_digest(given.encode(), csrf_token(secret).encode()):
        found = f"a wrong {CSRF_HEADER}" if given else f"no {CSRF_HEADER}"
        raise ForbiddenError(
            f"the request has a session cookie but {found}; reload the page, or send a key in a header"
        )


async def identify(request: Request, store: Store, *, required: bool) -> Caller:
    """The caller of a request: by a key in a header, else by a web session, else by BioLM's cookie.

    Args:
        request: the request.
        store: where keys and sessions are.
        required: refuse who has no valid key or session. If False any secret will do, as BioLM's clients always send
            one, and one that is a valid key still counts as that key.

    Raises:
        UnauthorizedError: a key is required, and none or a wrong one was given.
        ForbiddenError: a cookie came with what a page of somebody else may have sent.
    """
    secret, session = presented_secret(request), session_secret(request)
    is_in_header = _secret_in_headers(request) is not None
    key = None
    if session and not is_in_header:
        key = await asyncio.to_thread(store.sessions.find, session)
        if key is not None:
            check_session_origin(request, session)
    if key is None and secret:
        key = await asyncio.to_thread(store.keys.find, secret)
        if key is not None and not is_in_header:
            check_origin(request)
    if key is None and required:
        lacking = "the session has ended, log in again" if session else "no API key"
        found = "the key is unknown, revoked or expired" if secret else lacking
        raise UnauthorizedError(f"{found}; send a key as {_HEADER_FORMS}")
    return Caller(key, address_of(request))


def address_of(request: Request) -> str:
    """Where a request came from."""
    return request.client.host if request.client else "unknown"


def _secret_in_headers(request: Request) -> str | None:
    scheme, _, value = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() in ("token", "bearer") and value.strip():
        return value.strip()
    return request.headers.get("x-api-key") or None
