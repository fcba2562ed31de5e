"""What agents of the command line talk to: a server in this process, or one elsewhere."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esmkit.errors import InvalidConfigError, demand_module

if TYPE_CHECKING:
    from esmkit.agent.service import Service

API_KEY = "ESMKIT_API_KEY"
_A_DAY_S = 86_400.0
_HERE, _THERE = "A server in this process", "A server elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """Which server; see `with_options`."""

    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="TEXT",
            help="Models to serve: slug, hub id, or path; esm2-mini by default. Loaded at the first use.",
            show_default=False,
            rich_help_panel=_HERE,
        ),
    ] = None
    predictor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="Folders of predictors, as for serve.", show_default=False, rich_help_panel=_HERE
        ),
    ] = None
    index: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Folders of indexes to search, as for serve.",
            show_default=False,
            rich_help_panel=_HERE,
        ),
    ] = None
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with settings, as for serve; also ESMKIT_CONFIG.", show_default=False, rich_help_panel=_HERE
        ),
    ] = None
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help=f"Use this esmkit server instead, with the API key in {API_KEY} if it asks for one.",
            show_default=False,
            rich_help_panel=_THERE,
        ),
    ] = None


def demand_packages() -> None:
    """Finds out whether tools can be used at all.

    Raises:
        MissingExtraError: a package is missing.
    """
    for module in ("httpx", "pydantic"):
        demand_module(module, reason=f"tools for agents need {module}", extra="agent")


@asynccontextmanager
async def opened(options: ServiceOptions) -> AsyncIterator[Service]:
    """The server, for as long as this is entered.

    Raises:
        InvalidConfigError: options are at odds, or wrong.
        MissingExtraError: a package is missing.
    """
    if options.server is None:
        async with _near(options) as service:
            yield service
        return
    from esmkit.agent.service import Service

    service = Service.far(_checked_url(options), secret=os.environ.get(API_KEY) or None)
    try:
        yield service
    finally:
        await service.close()


def _checked_url(options: ServiceOptions) -> str:
    url = options.server or ""
    here = [name for name in ("model", "predictor", "index", "config") if getattr(options, name)]
    if here:
        raise InvalidConfigError(f"--{here[0]} is for a server in this process, and not with --server", setting=here[0])
    if not url.startswith(("http://", "https://")):
        raise InvalidConfigError(
            f"--server {url!r} is no address; write https://HOST or http://HOST:PORT", setting="server"
        )
    return url


@asynccontextmanager
async def _near(options: ServiceOptions) -> AsyncIterator[Service]:
    """The whole server without a socket: no keys, nothing kept, models loaded when they are needed."""
    demand_module("fastapi", reason="a server in this process needs fastapi", extra="server")
    from esmkit.agent.service import Service
    from esmkit.config import Settings
    from esmkit.server import logs
    from esmkit.server.app import create_app
    from esmkit.server.queues import serving_queue
    from esmkit.server.settings import ServerSettings
    from esmkit.store import Store

    given = {"models": options.model or None, "predictors": options.predictor or None, "indexes": options.index or None}
    fixed = {"host": "127.0.0.1", "auth": "off", "lazy": True, "probe_interval_s": _A_DAY_S, "log_level": "warning"}
    settings = ServerSettings.resolve({**given, **fixed}, os.environ, path=options.config)
    logs.configure(settings.log_level)
    queue = serving_queue(
        settings, Settings.from_env(os.environ), on_fatal=lambda error: logs.SERVER.critical(error.message)
    )
    with tempfile.TemporaryDirectory() as folder:
        store = await asyncio.to_thread(Store.open, f"sqlite:///{folder}/esmkit.db")
        try:
            app = create_app(settings, queue, store)
            await queue.start()
            async with app.router.lifespan_context(app):
                service = Service.near(app)
                try:
                    yield service
                finally:
                    await service.close()
        finally:
            store.close()
