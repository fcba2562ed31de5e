"""One database: its address, its transactions, and each of its failures as an esmkit error that shows no secret."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from esmkit.errors import InvalidConfigError, MissingExtraError, StoreError

SETTING = "ESMKIT_DATABASE_URL"
DEFAULT_FILE = "esmkit.db"
LOCK_WAIT_S = 5
CONNECT_TIMEOUT_S = 5
MAX_LIFETIME_S = 366 * 86400

_FORMS = "Write postgresql://USER:PASSWORD@HOST/DATABASE, with %-escapes in the password, or sqlite:////PATH/esmkit.db"
_LOCKED = f"was locked for more than {LOCK_WAIT_S} s by somebody else; try again, or stop what holds it open"
_OUTDATED = "lacks tables that this esmkit needs; any 'esmkit keys' command brings it up to date"
_SQLITE_FAILURES = {
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_READONLY": "cannot be written; the file and its folder must belong to the user that runs esmkit",
    "SQLITE_CANTOPEN": "cannot be opened; the file and its folder must belong to the user that runs esmkit",
    "SQLITE_FULL": "cannot grow: the disk is full",
    "SQLITE_NOTADB": "is no SQLite database, or is damaged; name another file, or restore it from a backup",
    "SQLITE_CORRUPT": "is damaged; restore it from a backup",
}
_POSTGRES_FAILURES = {"55P03": _LOCKED, "40P01": _LOCKED, "42P01": _OUTDATED, "42703": _OUTDATED}


def database_url(environment: Mapping[str, str]) -> URL:
    """Where the store is: `ESMKIT_DATABASE_URL`, or else the file `esmkit.db`, which is data and no cache.

    The file is in `ESMKIT_HOME` where that is set, or else in `XDG_DATA_HOME/esmkit` (`~/.local/share/esmkit`).

    Raises:
        InvalidConfigError: the variable holds no URL of a SQLite or PostgreSQL database.

    Example:
        >>> database_url({"ESMKIT_HOME": "/srv/esmkit"}).database
        '/srv/esmkit/esmkit.db'
        >>> database_url({"ESMKIT_DATABASE_URL": "postgres://me:secret@db/esm"}).drivername
        'postgresql+psycopg'
    """
    if given := environment.get(SETTING):
        return parsed(given)
    return URL.create("sqlite", database=str(data_folder(environment) / DEFAULT_FILE))


def data_folder(environment: Mapping[str, str]) -> Path:
    """Where a server keeps its data: `ESMKIT_HOME` where that is set, or else `XDG_DATA_HOME/esmkit`.

    Example:
        >>> data_folder({"XDG_DATA_HOME": "/var/lib"}).as_posix()
        '/var/lib/esmkit'
    """
    data = Path(environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Path(environment.get("ESMKIT_HOME") or data / "esmkit").expanduser()


def parsed(url: str | URL) -> URL:
    """The URL with the driver that esmkit uses.

    Raises:
        InvalidConfigError: it is no URL of a SQLite file or a PostgreSQL database; the message does not repeat it.
    """
    try:
        known = make_url(url)
    except (ArgumentError, ValueError):  # whose text repeats parts of the URL: perhaps of the password
        raise InvalidConfigError(f"{SETTING} is no database URL. {_FORMS}", setting=SETTING) from None
    kind = known.drivername.partition("+")[0]
    if kind == "sqlite":
        if not known.database or known.database.startswith((":memory:", "file:")):
            raise InvalidConfigError(f"{SETTING} names no SQLite file. {_FORMS}", setting=SETTING)
        return known.set(drivername="sqlite")
    if kind in ("postgresql", "postgres"):
        return known.set(drivername="postgresql+psycopg")
    raise InvalidConfigError(f"{SETTING} is for {kind}, which esmkit cannot use. {_FORMS}", setting=SETTING)


class Database:
    """Connections to one database, and the clock of what is written there.

    Attributes:
        name: kind and place for messages, without user and password.
        is_sqlite: SQLite rather than PostgreSQL.
    """

    def __init__(self, url: str | URL, *, clock: Callable[[], datetime]) -> None:
        address = parsed(url)
        self.is_sqlite = address.drivername == "sqlite"
        self.name = _name(address)
        self._clock = clock
        if self.is_sqlite:
            _create_private(Path(str(address.database)))
        self._reader = self._writer = _engine(address)
        if self.is_sqlite:  # asks for the write lock before it reads: a reader that turns writer fails without waiting
            self._writer = self._writer.execution_options(begin="BEGIN IMMEDIATE")
        else:  # sees all tables as of one moment, as SQLite does anyway
            self._reader = self._reader.execution_options(isolation_level="REPEATABLE READ")

    def now(self) -> datetime:
        """The present time, in UTC."""
        return self._clock().astimezone(UTC)

    def after(self, lifetime_s: float) -> datetime:
        """The time at which ends what begins now, in UTC.

        Raises:
            InvalidConfigError: the lifetime is not more than 0, or longer than a year.
        """
        if not 0 < lifetime_s <= MAX_LIFETIME_S:
            raise InvalidConfigError(
                f"a lifetime of {lifetime_s} s is not possible; choose more than 0 and at most {MAX_LIFETIME_S}",
                setting="lifetime_s",
            )
        return self.now() + timedelta(seconds=lifetime_s)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads, all of it as of one moment."""
        with self._transaction(self._reader) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that may write; on SQLite one at a time, others wait."""
        with self._transaction(self._writer) as session:
            yield session

    def close(self) -> None:
        """Closes every connection."""
        self._writer.dispose()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Session]:
        try:
            with Session(engine) as session, session.begin():
                yield session
        except SQLAlchemyError as error:
            raise StoreError(f"{self.name} {_failure(error)}") from error


def utc(moment: datetime, *, setting: str) -> datetime:
    """A time in UTC.

    Raises:
        InvalidConfigError: it has no time zone, so nobody knows when it is.
    """
    if moment.tzinfo is None:
        raise InvalidConfigError(
            f"{setting} {moment.isoformat()} has no time zone; give it one, such as UTC", setting=setting
        )
    return moment.astimezone(UTC)


def _engine(address: URL) -> Engine:
    sqlite = address.drivername == "sqlite"
    ours: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "esmkit"}
    arguments = {name: value for name, value in ours.items() if name not in address.query}
    if sqlite:
        arguments = {"timeout": LOCK_WAIT_S}
    try:
        engine = create_engine(address, connect_args=arguments, hide_parameters=True, pool_pre_ping=not sqlite)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"PostgreSQL needs {error.name}, which is not installed. Install it with: pip install 'esmkit[postgres]'",
            extra="postgres",
        ) from error
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "begin", _begin_postgres)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver would start transactions too late; `_begin_sqlite` does it
    for pragma in ("journal_mode = WAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _begin_postgres(connection: Connection) -> None:
    # For this transaction only: a setting of the session would stay behind in a pooler such as PgBouncer.
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'")


def _create_private(path: Path) -> None:
    """An empty file that only its owner may read; SQLite gives its side files the same permissions."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise InvalidConfigError(
            f"cannot write the database {path}: {error.strerror}. Choose another place with ESMKIT_HOME or {SETTING}",
            setting=SETTING,
        ) from error


def _name(address: URL) -> str:
    if address.drivername == "sqlite":
        return f"the database {address.database}"
    host = address.host or address.query.get("host") or "this machine"
    return f"the PostgreSQL database {address.database or ''} at {host}"


def _failure(error: SQLAlchemyError) -> str:
    """What went wrong, in words that follow the name of the database."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or ""
    for start, failure in (_SQLITE_FAILURES | _POSTGRES_FAILURES).items():
        if code.startswith(start):
            return failure
    if str(cause).startswith("no such "):
        return _OUTDATED
    # The details of a statement may hold values, so only its first line; a failed connection explains itself at length.
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    return f"failed: {primary or ' '.join(str(cause or error).split())}"
