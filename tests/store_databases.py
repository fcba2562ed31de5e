"""Empty databases for tests: SQLite files, and PostgreSQL where its server is installed (Debian: postgresql)."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from esmkit.store import Store

START = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        self.now += timedelta(**duration)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each kind."""
    return f"sqlite:///{tmp_path / 'esmkit.db'}" if request.param == "sqlite" else empty_postgres()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    """An empty store whose clock stands still."""
    opened = Store.open(url, clock=clock)
    opened.migrate()
    yield opened
    opened.close()


def empty_postgres() -> str:
    """The address of a new, empty PostgreSQL database; skips the test where there is no server."""
    folder = _cluster()
    if folder is None:
        pytest.skip("no PostgreSQL server here (initdb and postgres, from Debian's package postgresql)")
    name = f"test_{next(_numbers)}"
    with psycopg.connect(host=str(folder), user="esmkit", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    return f"postgresql://esmkit@/{name}?host={folder}"


@functools.cache
def _cluster() -> Path | None:
    """Starts one server for the whole run and stops it at the end; it listens on a socket in its folder only."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = str(installed[-1]) if installed else shutil.which("initdb")
    if found is None:
        return None
    programs = Path(found).parent
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name  # PostgreSQL refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="esmkit-postgres-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    data = folder / "data"
    command = [programs / "initdb", "-D", data, "-U", "esmkit", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, **as_user)  # type: ignore[call-overload]
    options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60", "-k", folder]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([programs / "postgres", "-D", data, *options], stderr=log, cwd=folder, **as_user)  # type: ignore[call-overload]
    atexit.register(server.wait)
    atexit.register(server.terminate)
    _wait_until_ready(folder)
    return folder


def _wait_until_ready(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(host=str(folder), user="esmkit", dbname="postgres").close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise RuntimeError((folder / "log").read_text()) from None
            time.sleep(0.1)
