"""Saved states of pages on SQLite and PostgreSQL."""

# ruff: noqa: F401, F811  (fixtures are imported)
from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import func, select

from esmkit.errors import InvalidConfigError, StoreError, UserError
from esmkit.store import MAX_SAVED_BYTES, Store, saved
from esmkit.store.database import Database
from esmkit.store.tables import SavedState
from tests.store_databases import Clock, clock, store, url

DAY_S = 86400.0


@pytest.fixture
def key_id(store: Store) -> str:
    return store.keys.create("laboratory")[0].id


def kept(url: str, clock: Clock) -> int:
    database = Database(url, clock=clock)
    with database.read() as session:
        count = session.scalar(select(func.count()).select_from(SavedState))
    database.close()
    assert count is not None
    return count


@pytest.mark.parametrize("content", [b"", b'{"sequence": "MKT"}', bytes(range(256)) * (MAX_SAVED_BYTES // 256)])
def test_what_is_saved_comes_back_under_its_id_and_no_other(store: Store, key_id: str, content: bytes) -> None:
    state_id = store.saved.put(content, DAY_S, key_id)
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", state_id)
    assert store.saved.get(state_id) == content
    other = ("A" if state_id[0] != "A" else "B") + state_id[1:]
    for wrong in ("", other, state_id + "A", "x" * 10_000, "\0" * 22, "é" * 22, "\udc80" * 22):
        assert store.saved.get(wrong) is None


def test_the_same_content_saved_twice_has_two_ids(store: Store) -> None:
    assert store.saved.put(b"same", DAY_S, None) != store.saved.put(b"same", DAY_S, None)


def test_no_id_reaches_the_database_file(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'esmkit.db'}")
    state_id = store.saved.put(b"the content", DAY_S, None)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    store.close()
    assert b"the content" in written
    assert state_id.encode() not in written


def test_what_has_expired_is_not_shown_and_is_dropped_at_the_next_save(store: Store, url: str, clock: Clock) -> None:
    state_id = store.saved.put(b"old", DAY_S, None)
    clock.advance(seconds=DAY_S - 1)
    assert store.saved.get(state_id) == b"old"
    clock.advance(seconds=1)
    assert store.saved.get(state_id) is None
    assert kept(url, clock) == 1
    store.saved.put(b"new", DAY_S, None)
    assert kept(url, clock) == 1


def test_too_large_a_state_is_refused(store: Store) -> None:
    with pytest.raises(UserError, match="holds 1,048,577 bytes; at most 1,048,576 can be saved"):
        store.saved.put(b"x" * (MAX_SAVED_BYTES + 1), DAY_S, None)


def test_one_key_keeps_so_many_until_one_expires_and_others_are_not_affected(
    store: Store, key_id: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "MAX_PER_KEY", 2)
    for days in (1, 2):
        store.saved.put(b"x", days * DAY_S, key_id)
    with pytest.raises(UserError, match="this key keeps 2 saved pages"):
        store.saved.put(b"x", DAY_S, key_id)
    store.saved.put(b"x", DAY_S, store.keys.create("other")[0].id)
    store.saved.put(b"x", DAY_S, None)
    clock.advance(seconds=DAY_S)
    assert store.saved.get(store.saved.put(b"again", DAY_S, key_id)) == b"again"


def test_all_together_keep_so_many_until_one_expires(
    store: Store, key_id: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "MAX_TOTAL", 2)
    first = store.saved.put(b"first", 2 * DAY_S, key_id)
    store.saved.put(b"x", DAY_S, None)
    with pytest.raises(UserError, match="the server keeps 2 saved pages"):
        store.saved.put(b"x", DAY_S, None)
    clock.advance(seconds=DAY_S)
    store.saved.put(b"x", DAY_S, None)
    assert store.saved.get(first) == b"first"


def test_a_lifetime_has_bounds_and_a_key_must_exist(store: Store) -> None:
    with pytest.raises(InvalidConfigError, match="a lifetime of 0 s is not possible"):
        store.saved.put(b"x", 0, None)
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        store.saved.put(b"x", DAY_S, "key_000000000000")
