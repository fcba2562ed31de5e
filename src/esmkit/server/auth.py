"""Who is asking: an API key from any header that BioLM's clients use, or nobody in particular where keys are off."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import Request

from esmkit.server.errors import ForbiddenError, UnauthorizedError
from esmkit.store import KeyInfo, Store

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
    """The secret that a request carries, from the first place that has one."""
    scheme, _, value = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() in ("token", "bearer") and value.strip():
        return value.strip()
    return request.headers.get("x-api-key") or request.cookies.get("access") or None


async def identify(request: Request, store: Store, *, required: bool) -> Caller:
    """The caller of a request.

    Args:
        request: the request.
        store: where keys are.
        required: refuse who has no valid key. If False any secret will do, as BioLM's clients always send one, and
            one that is a valid key still counts as that key.

    Raises:
        UnauthorizedError: a key is required, and none or a wrong one was given.
    """
    secret = presented_secret(request)
    key = await asyncio.to_thread(store.keys.find, secret) if secret else None
    if key is None and required:
        found = "the key is unknown, revoked or expired" if secret else "no API key"
        raise UnauthorizedError(f"{found}; send one as {_HEADER_FORMS}")
    return Caller(key, request.client.host if request.client else "unknown")
