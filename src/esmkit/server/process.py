"""The server as a process. SIGTERM drains: accepted requests are answered, new ones get 503, then it exits with 0."""

from __future__ import annotations

import asyncio
import signal
from types import FrameType

import uvicorn
from fastapi import FastAPI

from esmkit.errors import EsmkitError
from esmkit.server.connection import protocol
from esmkit.server.logs import SERVER
from esmkit.server.services import Services
from esmkit.server.settings import ServerSettings


class ServerProcess(uvicorn.Server):
    """uvicorn that drains the queue before it stops listening.

    Attributes:
        failure: why the process had to stop; None when it stops as asked.
    """

    def __init__(self, app: FastAPI, settings: ServerSettings) -> None:
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
                timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s)),
                ssl_certfile=settings.ssl_certfile,
                ssl_keyfile=settings.ssl_keyfile,
            )
        )
        self.failure: EsmkitError | None = None
        self._services: Services = app.state.services
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain. Second: stop at once. Neither is raised again, so that a drained server exits with 0."""
        if self._services.draining or not self.started:
            self.force_exit = self.should_exit = True
            return
        SERVER.info("%s: finishing what was accepted", signal.Signals(sig).name)
        self._services.draining = True
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    def fail(self, error: EsmkitError) -> None:
        """Stops the process because of what no restart inside it can mend."""
        SERVER.critical("stopping: %s", error.message)
        self.failure = error
        self._services.draining = True
        self.should_exit = True

    async def _drain(self) -> None:
        try:
            await self._services.queue.drain(self._services.settings.drain_timeout_s)
        finally:
            self.should_exit = True
