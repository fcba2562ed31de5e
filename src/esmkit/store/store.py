"""The store as one object: a database and what is kept in it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self

from sqlalchemy import URL

from esmkit.store.database import Database
from esmkit.store.incidents import Incidents
from esmkit.store.job_leases import JobLeases
from esmkit.store.jobs import Jobs
from esmkit.store.keys import Keys
from esmkit.store.probes import Probes
from esmkit.store.saved import SavedStates
from esmkit.store.schema import upgrade
from esmkit.store.sessions import Sessions
from esmkit.store.usage import Usage


def utc_now() -> datetime:
    """The time that the store writes down unless it is given another clock."""
    return datetime.now(UTC)


class Store:
    """API keys, usage, status and what the web app keeps, in one database; every method may be called from any thread.

    Attributes:
        keys: who may use the server.
        sessions: who is logged in to the web app.
        saved: what users asked to keep of its pages.
        jobs: batch jobs.
        job_leases: which server works on which of them.
        usage: how much each key used, per model, action and day.
        probes: whether each model answered, and how fast.
        incidents: what people wrote about an outage.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> store = Store.open(f"sqlite:///{folder.name}/esmkit.db")
        >>> key, secret = store.keys.create("laboratory", models=["esm2-650m"])
        >>> store.keys.find(secret).name
        'laboratory'
        >>> store.close()
        >>> folder.cleanup()
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.keys = Keys(database)
        self.sessions = Sessions(database, self.keys)
        self.saved = SavedStates(database)
        self.jobs = Jobs(database)
        self.job_leases = JobLeases(database)
        self.usage = Usage(database)
        self.probes = Probes(database)
        self.incidents = Incidents(database)

    @classmethod
    def open(cls, url: str | URL, *, clock: Callable[[], datetime] = utc_now) -> Self:
        """The store at a database URL; a SQLite file is made if it is missing, and gets the newest tables.

        A PostgreSQL database is not changed, so that opening it needs no right to: call `migrate` for that.

        Args:
            url: `sqlite:///path` or `postgresql://user:password@host/database`.
            clock: gives the present time, with its time zone.

        Raises:
            InvalidConfigError: the URL is unusable, or the database was written by a newer esmkit.
            StoreError: the database cannot be reached, is locked or damaged.
        """
        store = cls(Database(url, clock=clock))
        if store._database.is_sqlite:
            try:
                store.migrate()
            except BaseException:
                store.close()
                raise
        return store

    @property
    def name(self) -> str:
        """What the database is called in messages: kind and place, never user or password."""
        return self._database.name

    def migrate(self) -> None:
        """Brings the tables to the newest schema; does nothing when they have it; safe to call from many processes.

        Raises:
            InvalidConfigError: the database was written by a newer esmkit.
            StoreError: the database cannot be reached, is locked or damaged.
        """
        upgrade(self._database)

    def close(self) -> None:
        """Closes every connection."""
        self._database.close()
