"""The server as a process. SIGTERM drains: accepted requests are answered, new ones get 503, then it exits with 0."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from esmkit.errors import EsmkitError, InvalidConfigError
from esmkit.server.connection import drop_who_does_not_read, protocol
from esmkit.server.logs import SERVER
from esmkit.server.services import Services
from esmkit.server.settings import ServerSettings

WRITE_S = 30
"""How long clients may take to receive the last answers of a drained server."""


class ServerProcess(uvicorn.Server):
    """uvicorn that starts the queue before it listens, and drains it before it stops.

    Attributes:
        failure: why the process could not start or had to stop; None when it stops as asked.
    """

    def __init__(self, app: FastAPI, settings: ServerSettings) -> None:
        _check_certificate(settings)
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=protocol(settings.header_timeout_s),
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=True,
                forwarded_allow_ips=settings.trusted_proxies,
                timeout_keep_alive=settings.keep_alive_s,
                timeout_graceful_shutdown=WRITE_S,
                ssl_certfile=settings.ssl_certfile,
                ssl_keyfile=settings.ssl_keyfile,
            )
        )
        self.failure: EsmkitError | None = None
        self._services: Services = app.state.services
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loading: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Loads the models, then listens; a signal in between ends the process."""
        self._loop = asyncio.get_running_loop()
        self._loading = asyncio.create_task(self._services.queue.start())
        if self.should_exit:  # a signal came already
            self._loading.cancel()
        try:
            await self._loading
        except (EsmkitError, asyncio.CancelledError) as error:
            self.failure = error if isinstance(error, EsmkitError) else None
            self.should_exit = True
            await self._services.queue.close()
            return
        await super().startup(sockets)
        for server in self.servers:
            drop_who_does_not_read(server.sockets, self._services.settings.write_timeout_s)
        if self.should_exit:  # or came once the models were loaded
            await self.shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain. Second: stop at once. Neither is raised again, so that a drained server exits with 0."""
        if self._loop is None:
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self._stop, signal.Signals(sig).name)

    def fail(self, error: EsmkitError) -> None:
        """Stops the process because of what no restart inside it can mend; other models finish what they accepted."""
        SERVER.critical("stopping: %s", error.message)
        self.failure = self.failure or error
        if self.started:
            self._start_drain()
        else:
            self.should_exit = True

    def _stop(self, name: str) -> None:
        if not self.started:
            assert self._loading is not None
            self.should_exit = True
            self._loading.cancel()
        elif self._draining is None:
            SERVER.info("%s: finishing what was accepted", name)
            self._start_drain()
        else:
            self.force_exit = self.should_exit = True

    def _start_drain(self) -> None:
        if self._draining is None:
            self._services.draining = True
            self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        queue, timeout_s = self._services.queue, self._services.settings.drain_timeout_s
        try:
            if not await queue.drain(timeout_s):
                SERVER.error("not everything was answered within %g s", timeout_s)
                await queue.close()
        finally:
            self.should_exit = True


def _check_certificate(settings: ServerSettings) -> None:
    """Says before any model is loaded, and better than OpenSSL, what is wrong with the files for HTTPS.

    Raises:
        InvalidConfigError: certificate and key cannot be used.
        OSError: one of the files cannot be read.
    """
    if settings.ssl_certfile is None or settings.ssl_keyfile is None:
        return
    for path in (settings.ssl_certfile, settings.ssl_keyfile):
        Path(path).open("rb").close()
    try:  # an empty password, or OpenSSL would ask for one on the terminal
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile, "")
    except ssl.SSLError as error:
        raise InvalidConfigError(
            f"ssl_certfile {settings.ssl_certfile} and ssl_keyfile {settings.ssl_keyfile} cannot be used: {error}. "
            "Both must be PEM; the key that of the first certificate, without a password",
            setting="ssl_certfile",
        ) from None
