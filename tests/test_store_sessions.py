"""Sessions of the web app on SQLite and PostgreSQL."""

# ruff: noqa: F401, F811  (fixtures are imported)
from __future__ import annotations

import math
import re
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from esmkit.errors import InvalidConfigError, StoreError
from esmkit.store import Store, sessions
from esmkit.store.database import MAX_LIFETIME_S, Database
from esmkit.store.tables import WebSession
from tests.store_databases import START, Clock, clock, store, url

HOUR_S = 3600.0


@pytest.fixture
def key_id(store: Store) -> str:
    return store.keys.create("laboratory")[0].id


def kept(url: str, clock: Clock) -> int:
    database = Database(url, clock=clock)
    with database.read() as session:
        count = session.scalar(select(func.count()).select_from(WebSession))
    database.close()
    assert count is not None
    return count


def is_live(store: Store, secret: str) -> bool:
    return store.sessions.find(secret) is not None


def test_a_session_is_found_by_its_secret_and_by_nothing_else(store: Store, key_id: str) -> None:
    secret = store.sessions.create(key_id, HOUR_S)
    assert re.fullmatch(r"ess_[A-Za-z0-9_-]{43}", secret)
    found = store.sessions.find(secret)
    assert found is not None
    assert (found.id, found.name) == (key_id, "laboratory")
    other = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    for wrong in ("", "ess_", other, secret + "A", "x" * 10_000, "ess_" + "\0" * 43, "ess_" + "é" * 43):
        assert not is_live(store, wrong)
    assert store.keys.find(secret) is None


def test_no_secret_reaches_the_database_file(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'esmkit.db'}")
    key, _ = store.keys.create("laboratory")
    secret = store.sessions.create(key.id, HOUR_S)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    store.close()
    assert key.id.encode() in written
    assert secret[4:].encode() not in written


def test_a_session_ends_when_asked_and_the_others_go_on(store: Store, key_id: str) -> None:
    first, second = (store.sessions.create(key_id, HOUR_S) for _ in range(2))
    store.sessions.end(first)
    store.sessions.end(first)
    store.sessions.end("nothing")
    assert (is_live(store, first), is_live(store, second)) == (False, True)


def test_a_session_lasts_its_lifetime_and_is_dropped_when_another_begins(
    store: Store, key_id: str, url: str, clock: Clock
) -> None:
    secret = store.sessions.create(key_id, HOUR_S)
    clock.advance(seconds=HOUR_S - 1)
    assert is_live(store, secret)
    clock.advance(seconds=1)
    assert not is_live(store, secret)
    assert kept(url, clock) == 1
    store.sessions.create(key_id, HOUR_S)
    assert kept(url, clock) == 1


def test_a_session_ends_with_its_key(store: Store, clock: Clock) -> None:
    short, _ = store.keys.create("short", expires_at=START + timedelta(minutes=1))
    other, _ = store.keys.create("other")
    expiring, revoked = (store.sessions.create(key.id, HOUR_S) for key in (short, other))
    assert is_live(store, expiring)
    assert is_live(store, revoked)
    store.keys.revoke("other")
    clock.advance(minutes=1)
    assert not is_live(store, expiring)
    assert not is_live(store, revoked)


def test_a_new_secret_of_the_key_ends_its_sessions_when_the_old_secret_ends(store: Store, clock: Clock) -> None:
    keys = {name: store.keys.create(name)[0].id for name in ("leaked", "moved", "other")}
    live = {name: store.sessions.create(key_id, 2 * HOUR_S) for name, key_id in keys.items()}
    store.keys.rotate("leaked")
    store.keys.rotate("moved", grace=timedelta(hours=1))
    assert {name: is_live(store, secret) for name, secret in live.items()} == {
        "leaked": False,
        "moved": True,
        "other": True,
    }
    clock.advance(hours=1)
    assert {name for name, secret in live.items() if is_live(store, secret)} == {"other"}
    assert is_live(store, store.sessions.create(keys["leaked"], HOUR_S))


def test_a_session_counts_as_use_of_its_key(store: Store, key_id: str, clock: Clock) -> None:
    secret = store.sessions.create(key_id, HOUR_S)
    assert store.keys.get("laboratory").last_used_at is None
    clock.advance(minutes=6)
    store.sessions.find(secret)
    assert store.keys.get("laboratory").last_used_at == clock.now


def test_a_key_has_a_bounded_number_of_sessions_and_the_oldest_goes(
    store: Store, key_id: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_PER_KEY", 3)
    other = store.sessions.create(store.keys.create("other")[0].id, HOUR_S)
    opened = []
    for _ in range(5):
        clock.advance(seconds=1)
        opened.append(store.sessions.create(key_id, HOUR_S))
    assert [is_live(store, secret) for secret in opened] == [False, False, True, True, True]
    assert is_live(store, other)


@pytest.mark.parametrize("lifetime_s", [0, -1, MAX_LIFETIME_S + 1, math.inf, math.nan])
def test_a_lifetime_is_more_than_nothing_and_at_most_a_year(store: Store, key_id: str, lifetime_s: float) -> None:
    with pytest.raises(InvalidConfigError, match=r"a lifetime of .* s is not possible"):
        store.sessions.create(key_id, lifetime_s)


def test_there_is_no_session_without_a_key(store: Store) -> None:
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        store.sessions.create("key_000000000000", HOUR_S)
