"""Opening, migrating and failing: every trouble with a database is a clear error that shows no secret."""

# ruff: noqa: F401, F811  (fixtures are imported)
from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from esmkit.errors import InvalidConfigError, StoreError
from esmkit.store import Store, database, database_url, schema
from esmkit.store.database import Database
from esmkit.store.tables import Base
from tests.store_databases import Clock, clock, empty_postgres, store, url

PASSWORD = "hunter2-secret"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "esmkit.db"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_WAIT_S", 0.2)


def test_the_migrations_make_exactly_the_tables_of_the_models(store: Store, url: str, clock: Clock) -> None:
    opened = Database(url, clock=clock)
    with opened.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)
        head = context.get_current_revision()
    opened.close()
    assert differences == []
    assert head == "0003"
    assert len(Base.metadata.tables) == 9


def test_a_database_of_an_older_esmkit_gets_the_new_tables_and_keeps_what_is_there(
    url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = schema.command.upgrade
    monkeypatch.setattr(schema.command, "upgrade", lambda config, _: real(config, "0001"))
    old = Store.open(url, clock=clock)
    old.migrate()
    _, secret = old.keys.create("laboratory")
    old.close()
    monkeypatch.undo()
    store = Store.open(url, clock=clock)
    store.migrate()
    key = store.keys.find(secret)
    assert key is not None
    assert store.sessions.find(store.sessions.create(key.id, 60)) == store.keys.get("laboratory")
    store.close()


def test_migrating_again_changes_nothing_and_keeps_what_is_there(store: Store, url: str) -> None:
    _, secret = store.keys.create("laboratory")
    store.migrate()
    again = Store.open(url)
    again.migrate()
    found = again.keys.find(secret)
    again.close()
    assert found is not None


def test_many_processes_may_open_and_migrate_a_new_database_at_once(url: str) -> None:
    script = (
        "import sys; from esmkit.store import Store; s = Store.open(sys.argv[1]); s.migrate(); print(s.keys.list())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [process.communicate(timeout=120) for process in started] == [("()\n", "")] * 4


def test_threads_share_a_store(store: Store) -> None:
    _, secret = store.keys.create("laboratory")
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(store.keys.find(secret))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert None not in found


def test_a_read_sees_the_database_as_of_one_moment(store: Store, url: str, clock: Clock) -> None:
    opened = Database(url, clock=clock)
    count = "SELECT count(*) FROM api_keys"
    with opened.read() as session:
        before = session.connection().exec_driver_sql(count).scalar()
        store.keys.create("laboratory")
        during = session.connection().exec_driver_sql(count).scalar()
    opened.close()
    assert (before, during, len(store.keys.list())) == (0, 0, 1)


def test_a_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "100% mine.db"
    store = Store.open(f"sqlite:///{path}")
    store.keys.create("laboratory")
    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
    store.close()
    assert modes == {"100% mine.db": 0o600, "100% mine.db-wal": 0o600, "100% mine.db-shm": 0o600}


def test_sqlite_runs_with_write_ahead_log_and_foreign_keys(file: Path, clock: Clock) -> None:
    opened = Database(f"sqlite:///{file}", clock=clock)
    with opened.read() as session:
        settings = [
            session.connection().exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        ]
    opened.close()
    assert settings == ["wal", 1, 5000]


def test_the_default_is_a_file_among_the_users_data_and_the_variable_wins(tmp_path: Path) -> None:
    data = {"XDG_DATA_HOME": str(tmp_path)}
    assert database_url(data).database == str(tmp_path / "esmkit" / "esmkit.db")
    assert str(database_url({}).database).endswith("/.local/share/esmkit/esmkit.db")
    default = database_url({**data, "ESMKIT_HOME": str(tmp_path / "home")})
    assert default.database == str(tmp_path / "home" / "esmkit.db")
    assert database_url({"ESMKIT_HOME": str(tmp_path / "home"), "ESMKIT_DATABASE_URL": ""}) == default
    given = database_url({**data, "ESMKIT_DATABASE_URL": f"postgres://me:{PASSWORD}@db.example/esm"})
    assert given.host == "db.example"
    assert PASSWORD not in f"{given} {given!r}"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("esmkit.db", "is no database URL"),
        (f"postgresql://me:{PASSWORD}:x@host:y/db", "is no database URL"),
        (f"mysql://me:{PASSWORD}@host/db", "is for mysql, which esmkit cannot use"),
        ("sqlite://", "names no SQLite file"),
        ("sqlite:///:memory:", "names no SQLite file"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_not_repeated(wrong: str, message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message) as refused:
        Store.open(wrong)
    assert "ESMKIT_DATABASE_URL" in refused.value.message
    assert PASSWORD not in str(refused.value.to_dict())
    assert "postgresql://USER:PASSWORD@HOST/DATABASE" in refused.value.message


@pytest.mark.parametrize("wrong_for", ["folder", "file"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, wrong_for: str) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / ("file/esmkit.db" if wrong_for == "folder" else "")
    with pytest.raises(InvalidConfigError, match=f"cannot write the database {place}"):
        Store.open(f"sqlite:///{place}")


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of a user that may not do everything, who the test runs as meanwhile."""
    folder = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    if is_root:
        shutil.chown(folder, "nobody")
        os.seteuid(folder.stat().st_uid)
    yield folder
    if is_root:
        os.seteuid(0)
    folder.chmod(0o700)
    shutil.rmtree(folder)


def test_a_file_of_another_user_is_refused(unprivileged: Path) -> None:
    file = unprivileged / "esmkit.db"
    Store.open(f"sqlite:///{file}").close()
    file.chmod(0o400)
    with pytest.raises(InvalidConfigError, match=f"cannot write the database {file}: Permission denied"):
        Store.open(f"sqlite:///{file}")


def test_a_folder_that_becomes_read_only_stops_writing_with_a_reason(unprivileged: Path) -> None:
    file = unprivileged / "esmkit.db"
    Store.open(f"sqlite:///{file}").close()
    unprivileged.chmod(0o500)
    with pytest.raises(StoreError, match=r"esmkit\.db cannot be (written|opened); the file and its folder must"):
        Store.open(f"sqlite:///{file}").keys.create("laboratory")


@pytest.mark.parametrize("content", [b"this is no database at all, " * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_file_that_is_no_database_is_named_and_left_alone(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"esmkit\.db is (no SQLite database|damaged)"):
        Store.open(f"sqlite:///{file}")
    assert file.read_bytes() == content


def test_a_damaged_page_is_reported_when_it_is_met(file: Path) -> None:
    store = Store.open(f"sqlite:///{file}")
    for number in range(200):
        store.keys.create(f"key {number}")
    store.close()
    with closing(sqlite3.connect(file)) as other:
        size = other.execute("PRAGMA page_size").fetchone()[0]
        page = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'api_keys'").fetchone()[0]
    content = bytearray(file.read_bytes())
    content[(page - 1) * size : page * size] = b"\xa5" * size
    file.write_bytes(content)
    damaged = Store.open(f"sqlite:///{file}")
    with pytest.raises(StoreError, match="is damaged; restore it from a backup"):
        damaged.keys.list()
    damaged.close()


@pytest.mark.usefixtures("impatient")
def test_a_locked_sqlite_file_is_waited_for_and_then_reported(file: Path) -> None:
    store = Store.open(f"sqlite:///{file}")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"esmkit\.db was locked for more than"):
        store.keys.create("laboratory")
    assert store.keys.list() == ()  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    store.keys.create("laboratory")
    store.close()


@pytest.mark.usefixtures("impatient")
def test_a_locked_postgres_table_is_waited_for_and_then_reported() -> None:
    url = empty_postgres()
    store = Store.open(url)
    store.migrate()
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE api_keys")
        with pytest.raises(StoreError, match="was locked for more than"):
            store.keys.list()
    assert store.keys.list() == ()
    store.close()


def test_a_database_written_by_a_newer_esmkit_is_refused_and_left_alone(store: Store, url: str, clock: Clock) -> None:
    opened = Database(url, clock=clock)
    with opened.write() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    newer = r"was written by a newer esmkit \(schema 9999; this one knows up to 0003\)"
    with pytest.raises(InvalidConfigError, match=newer):
        schema.upgrade(opened)
    with pytest.raises(InvalidConfigError, match=newer), closing(Store.open(url)) as again:
        again.migrate()
    with opened.read() as session:
        assert session.connection().exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "9999"
    opened.close()


def test_a_postgres_database_is_not_changed_until_it_is_migrated() -> None:
    url = empty_postgres()
    store = Store.open(url)
    with pytest.raises(StoreError, match="lacks tables that this esmkit needs"):
        store.keys.list()
    with psycopg.connect(url) as other:
        assert other.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    store.migrate()
    assert store.keys.list() == ()
    store.close()


def test_a_failed_migration_leaves_nothing_behind(url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def upgrade(*arguments: Any) -> None:
        real(*arguments)
        raise RuntimeError("power cut")

    real = schema.command.upgrade
    monkeypatch.setattr(schema.command, "upgrade", upgrade)
    opened = Database(url, clock=clock)
    with pytest.raises(RuntimeError, match="power cut"):
        schema.upgrade(opened)
    with opened.read() as session:
        assert MigrationContext.configure(session.connection()).get_current_revision() is None
    monkeypatch.undo()
    schema.upgrade(opened)
    opened.close()


def test_a_server_that_is_down_is_named_without_user_and_password() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = Store.open(f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/esm?application_name={PASSWORD}")
    with pytest.raises(
        StoreError, match=r"PostgreSQL database esm at 127\.0\.0\.1 failed: connection failed"
    ) as failed:
        store.migrate()
    store.close()
    assert "refused" in failed.value.message
    for shown in (failed.value.message, str(failed.value.to_dict()), repr(failed.value.__cause__), store.name):
        assert PASSWORD not in shown


def test_a_wrong_database_name_is_reported() -> None:
    url = empty_postgres().replace("/test_", "/missing_")
    store = Store.open(url)
    with pytest.raises(StoreError, match=r'database "missing_\d+" does not exist'):
        store.migrate()
    store.close()


def test_a_server_that_restarts_is_used_again() -> None:
    url = empty_postgres()
    store = Store.open(url)
    store.migrate()
    with psycopg.connect(url) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert store.keys.list() == ()
    store.close()


def test_an_error_of_the_database_does_not_repeat_what_was_written(file: Path) -> None:
    store = Store.open(f"sqlite:///{file}")
    with sqlite3.connect(file) as other:
        other.execute("CREATE TRIGGER refuse INSERT ON incidents BEGIN SELECT RAISE(FAIL, 'refused'); END")
    other.close()
    with pytest.raises(StoreError, match="failed: refused") as failed:
        store.incidents.open("private name")
    store.close()
    assert "private name" not in f"{failed.value} {failed.value.__cause__}"
