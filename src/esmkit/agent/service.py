"""An esmkit server, near or far, through its HTTP API: keys, limits, usage and bounds hold as for everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from esmkit.agent.errors import AccessError, ToolError
from esmkit.agent.text import quoted

_MOST_MESSAGE = 1000
_TIMEOUT = httpx.Timeout(900.0, connect=10.0)
"""Seconds; the server has a deadline of its own, and answers when it is over."""
_AT_ONCE = 1 << 20
"""Bytes of an answer that are read at once: longer ones would keep others waiting."""
_LOGIN = "/api/v1/auth/login-check"


class Service:
    """A server, called as its client is set up: base URL, key, transport.

    Args:
        client: closed by `close`.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    def near(cls, app: Any, *, secret: str | None = None, address: str = "127.0.0.1") -> Service:
        """A server in this process.

        Args:
            app: the ASGI application, running.
            secret: API key of who asks.
            address: of who asks; what is asked without a key is counted by it.
        """
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 0))
        return cls(_client("http://127.0.0.1", secret, transport=transport))

    @classmethod
    def far(cls, url: str, *, secret: str | None = None) -> Service:
        """A server at an address such as `https://esm.example.org`."""
        return cls(_client(url, secret))

    async def close(self) -> None:
        """Closes the client."""
        await self._client.aclose()

    async def get(self, path: str) -> Any:
        """What is at a path, JSON.

        Raises:
            ToolError: the server is not there, or refuses.
        """
        return await self._sent("GET", path)

    async def call(
        self,
        model: str,
        action: str,
        items: Sequence[Mapping[str, Any]],
        params: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The answer of an action of a model.

        Args:
            model: its slug.
            action: such as `encode`.
            items: of the request.
            params: of the request.

        Raises:
            ToolError: the server is not there, or refuses; in its own words.
        """
        body = {"items": list(items), "params": dict(params or {})}
        answer: dict[str, Any] = await self._sent("POST", f"/api/v3/{quote(model, safe='')}/{action}", json=body)
        return answer

    async def check_access(self) -> None:
        """Asks whether the key will do.

        Raises:
            AccessError: it will not.
            ToolError: the server is not there.
        """
        await self._sent("POST", _LOGIN)

    async def _sent(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = await self._client.request(method, path, **options)
        except httpx.TimeoutException:
            raise ToolError(f"the server at {self._client.base_url} did not answer in time") from None
        except httpx.HTTPError as error:
            raise ToolError(
                f"no esmkit server answers at {self._client.base_url} ({type(error).__name__}); is it running there?"
            ) from None
        try:
            content = await asyncio.to_thread(response.json) if len(response.content) > _AT_ONCE else response.json()
        except ValueError:
            content = None
        if response.is_success and content is not None:
            return content
        raise _refusal(response, content)


def _client(url: str, secret: str | None, *, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    is_far = transport is None  # proxies of the environment are for what leaves this machine
    return httpx.AsyncClient(
        base_url=url, headers=headers, timeout=_TIMEOUT, transport=transport, trust_env=is_far, follow_redirects=False
    )


def _refusal(response: httpx.Response, content: Any) -> ToolError:
    """The server's own words, made safe to read, with what they do not say."""
    said = content.get("detail") if isinstance(content, dict) else None
    if not said:
        return ToolError(f"{response.url.path} of the server answers {response.status_code}, and not as esmkit does")
    message = quoted(str(said), _MOST_MESSAGE)
    if response.status_code == 401:
        return AccessError(f"{message} (the operator of the server gives keys)")
    if response.status_code in (429, 503) and (seconds := response.headers.get("retry-after")):
        message += f" (try again in {seconds} s)"
    return ToolError(message, status=response.status_code)
