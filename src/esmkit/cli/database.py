"""What the commands over the store share: opening it, times as people write them, and JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from esmkit.errors import InvalidConfigError
from esmkit.server.settings import ServerSettings

if TYPE_CHECKING:
    from esmkit.store import Store

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_MAX_DURATION = timedelta(days=36500)

Config = Annotated[Path | None, typer.Option("--config", help="TOML file of the server; also ESMKIT_CONFIG.")]
"""The option of every command over the store; it must find the database that the server finds."""


@contextmanager
def open_store(settings: ServerSettings) -> Iterator[Store]:
    """The store that the settings of the server name, or else the default file, with the newest tables."""
    from esmkit.store import Store, database_url

    store = Store.open(settings.database_url or database_url(os.environ))
    try:
        store.migrate()
        yield store
    finally:
        store.close()


def configured_store(config: Path | None) -> AbstractContextManager[Store]:
    """The store of a server that is started with this file and in this environment."""
    return open_store(ServerSettings.resolve({}, os.environ, path=config))


def duration(value: str, *, option: str) -> timedelta:
    """A number with a unit: 30m, 12h, 90d, 4w.

    Raises:
        InvalidConfigError: it is none, or longer than a century.

    Example:
        >>> duration("90d", option="--expires").days
        90
    """
    found = re.fullmatch(r"([0-9]{1,9})([mhdw])", value.strip().lower())
    if found is None or (length := int(found[1]) * _UNITS[found[2]]) > _MAX_DURATION:
        raise InvalidConfigError(
            f"{option} {value!r} is no duration; write a number and m, h, d or w, such as 90d",
            setting=option.lstrip("-"),
        )
    return length


def day(value: str, *, option: str) -> date:
    """A day in UTC: 2026-11-22, today, or so long ago: 30d.

    Raises:
        InvalidConfigError: it is none of these.

    Example:
        >>> day("2026-11-22", option="--since")
        datetime.date(2026, 11, 22)
    """
    if value == "today":
        return datetime.now(UTC).date()
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise InvalidConfigError(f"{option} {value} is no day: {error}", setting=option.lstrip("-")) from None
    try:
        return (datetime.now(UTC) - duration(value, option=option)).date()
    except InvalidConfigError:
        raise InvalidConfigError(
            f"{option} {value!r} is no day; write one such as 2026-11-22, or how long ago, such as 30d",
            setting=option.lstrip("-"),
        ) from None


def shown(moment: datetime | None, *, otherwise: str) -> str:
    """A time for people, to the minute, in UTC."""
    return otherwise if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def print_json(value: Any) -> None:
    """JSON on stdout; dataclasses become objects, times ISO 8601."""
    typer.echo(json.dumps(value, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else dataclasses.asdict(value)
