"""Batch jobs of an esmkit server, over its HTTP API; what breaks off goes on where it stopped."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from esmkit.errors import CapacityError, EsmkitError, InternalError, InvalidConfigError, UserError
from esmkit.sinks.files import publish

API_KEY = "ESMKIT_API_KEY"
PATH = "/api/v3/jobs"
TRIES = 5
RETRY_S = 1.0
_TIMEOUT = httpx.Timeout(120.0, connect=10.0)
_PIECE = 1 << 20
T = TypeVar("T")


class AwayError(CapacityError):
    """The server is not there, or cannot answer now."""

    code = "capacity.server_away"


class JobsService:
    """The jobs of a server.

    Args:
        client: with its address and key.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def submit(self, source: Path, query: Mapping[str, Any], *, mark: str) -> dict[str, Any]:
        """Sends a job; when the connection breaks, once more, and by the mark that is the same job.

        Args:
            source: the input, as it is.
            query: what to compute; values that are None are left out.
            mark: Idempotency-Key.

        Raises:
            EsmkitError: the server is away, or refuses; in its own words.
        """
        given = {name: value for name, value in query.items() if value is not None}

        def attempt() -> dict[str, Any]:
            with source.open("rb") as content:
                headers = {"Idempotency-Key": mark, "Content-Type": "application/octet-stream"}
                return self._asked("POST", PATH, params=given, content=content, headers=headers)

        return self._patiently(attempt)

    def page(self, job_id: str) -> dict[str, Any]:
        """What the server says of a job; errors as for `submit`."""
        return self._patiently(lambda: self._asked("GET", _path(job_id)))

    def list(self) -> list[dict[str, Any]]:
        """The jobs of the key; errors as for `submit`."""
        jobs: list[dict[str, Any]] = self._patiently(lambda: self._asked("GET", PATH))["jobs"]
        return jobs

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Ends a job; errors as for `submit`."""
        return self._patiently(lambda: self._asked("POST", f"{_path(job_id)}/cancel"))

    def download(self, job_id: str, out: Path) -> int:
        """Brings a result into a file, which appears when it is whole; returns its bytes.

        What an earlier call left unfinished is kept beside the file, and only the rest is asked for.

        Raises:
            EsmkitError: there is no result, or the server is away.
        """
        path = f"{_path(job_id)}/result"
        size, etag = self._patiently(lambda: self._held(path))
        partial = out.with_name(f".{out.name}.{hashlib.sha256(etag.encode()).hexdigest()[:16]}.partial")
        tries = TRIES
        while (held := partial.stat().st_size if partial.exists() else 0) < size:
            try:
                self._fetch(path, etag, partial, held)
            except AwayError:
                tries = TRIES if partial.exists() and partial.stat().st_size > held else tries - 1
                if not tries:
                    raise
                time.sleep(RETRY_S)
        publish(partial, out)
        return size

    def _held(self, path: str) -> tuple[int, str]:
        with self._sent("HEAD", path) as response:
            return int(response.headers["content-length"]), response.headers["etag"]

    def _fetch(self, path: str, etag: str, partial: Path, held: int) -> None:
        rest = {"Range": f"bytes={held}-", "If-Range": etag} if held else {}
        with self._sent("GET", path, headers={"Accept-Encoding": "identity", **rest}) as response:
            mode = "ab" if response.status_code == 206 else "wb"  # all of it, as the file is another one by now
            with partial.open(mode) as file:
                for piece in response.iter_raw(_PIECE):
                    file.write(piece)

    def _asked(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        with self._sent(method, path, **options) as response:
            response.read()
            content: dict[str, Any] = response.json()
            return content

    @contextmanager
    def _sent(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        try:
            with self._client.stream(method, path, **options) as response:
                if not response.is_success:
                    response.read()
                    raise _refusal(response)
                yield response
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise AwayError(f"no esmkit server answers at {self._client.base_url} ({reason})") from None

    def _patiently(self, attempt: Callable[[], T]) -> T:
        for left in range(TRIES - 1, -1, -1):
            try:
                return attempt()
            except AwayError:
                if not left:
                    raise
                time.sleep(RETRY_S)
        raise AssertionError


@contextmanager
def opened(url: str) -> Iterator[JobsService]:
    """The jobs of the server at an address, with the key of the environment.

    Raises:
        InvalidConfigError: it is no address.
    """
    if not url.startswith(("http://", "https://")):
        raise InvalidConfigError(
            f"--server {url!r} is no address; write https://HOST or http://HOST:PORT", setting="server"
        )
    secret = os.environ.get(API_KEY)
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    with httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT) as client:
        yield JobsService(client)


def _path(job_id: str) -> str:
    return f"{PATH}/{quote(job_id, safe='')}"


def _refusal(response: httpx.Response) -> EsmkitError:
    try:
        said = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        said = f"{response.url.path} of the server answers {response.status_code}, and not as esmkit does"
    if response.status_code == 401:
        said += f" (put the key into {API_KEY}; the operator of the server gives keys)"
    if response.status_code == 503:
        return AwayError(said)
    kind = CapacityError if response.status_code == 429 else UserError if response.status_code < 500 else InternalError
    return kind(said)
