"""API keys on SQLite and PostgreSQL."""

# ruff: noqa: F401, F811  (fixtures are imported)
from __future__ import annotations

import re
import sqlite3
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from esmkit.errors import InvalidConfigError
from esmkit.store import Store
from tests.store_databases import START, Clock, clock, store, url


def test_a_new_key_is_found_by_its_secret_and_by_nothing_else(store: Store) -> None:
    key, secret = store.keys.create("laboratory")
    assert re.fullmatch(r"esk_[A-Za-z0-9_-]{43}", secret)
    found = store.keys.find(secret)
    assert found is not None
    assert (found.id, found.name, found.created_at) == (key.id, "laboratory", START)
    other = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    for wrong in ("", "esk_", other, secret + "A", secret.lower(), "x" * 10_000, "esk_" + "\0" * 43, "esk_" + "é" * 43):
        assert store.keys.find(wrong) is None


def test_no_secret_reaches_the_database_file(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'esmkit.db'}")
    _, first = store.keys.create("laboratory")
    second = store.keys.rotate("laboratory", grace=timedelta(hours=1))
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    store.close()
    assert b"laboratory" in written
    for secret in (first, second):
        assert secret.encode() not in written
        assert secret[4:].encode() not in written


def test_the_name_of_a_live_key_is_taken_and_a_revoked_or_expired_one_gives_it_free(store: Store, clock: Clock) -> None:
    first, _ = store.keys.create("laboratory", expires_at=START + timedelta(days=1))
    with pytest.raises(InvalidConfigError, match="there is a key named 'laboratory'"):
        store.keys.create("laboratory")
    clock.advance(days=1)
    second, _ = store.keys.create("laboratory")
    store.keys.revoke("laboratory")
    third, secret = store.keys.create("laboratory")
    assert {key.id: key.state(clock.now) for key in store.keys.list()} == {
        first.id: "expired",
        second.id: "revoked",
        third.id: "live",
    }
    assert store.keys.find(secret) is not None


def test_of_many_who_make_a_key_of_one_name_at_once_one_succeeds(store: Store) -> None:
    barrier, made, refused = threading.Barrier(8), [], []

    def create() -> None:
        barrier.wait()
        try:
            made.append(store.keys.create("laboratory"))
        except InvalidConfigError as error:
            refused.append(error.setting)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), refused) == (1, ["name"] * 7)


def test_an_expired_key_is_not_found_from_that_second_on(store: Store, clock: Clock) -> None:
    zone = timezone(timedelta(hours=5))
    key, secret = store.keys.create("laboratory", expires_at=(START + timedelta(days=90)).astimezone(zone))
    assert key.expires_at == START + timedelta(days=90)
    assert store.keys.list()[0].expires_at.tzinfo is UTC
    clock.advance(days=90, seconds=-1)
    assert store.keys.find(secret) is not None
    clock.advance(seconds=1)
    assert store.keys.find(secret) is None


def test_a_revoked_key_is_not_found_and_cannot_be_revoked_or_rotated_again(store: Store) -> None:
    key, secret = store.keys.create("laboratory")
    assert store.keys.revoke("laboratory").revoked_at == START
    assert store.keys.find(secret) is None
    for change in (store.keys.revoke, store.keys.rotate):
        with pytest.raises(InvalidConfigError, match="was revoked on 2026-03-14"):
            change(key.id)
        with pytest.raises(InvalidConfigError, match="there is no key 'laboratory'"):
            change("laboratory")


def test_rotation_kills_the_old_secret_at_once(store: Store) -> None:
    key, old = store.keys.create("laboratory", models=["esm2-8m"], admin=True)
    new = store.keys.rotate(key.id)
    found = store.keys.find(new)
    assert store.keys.find(old) is None
    assert found is not None
    assert (found.id, found.models, found.admin) == (key.id, ("esm2-8m",), True)


def test_with_grace_the_old_secret_works_until_then_and_the_one_before_it_does_not(store: Store, clock: Clock) -> None:
    _, oldest = store.keys.create("laboratory")
    old = store.keys.rotate("laboratory", grace=timedelta(hours=24))
    new = store.keys.rotate("laboratory", grace=timedelta(hours=24))
    assert [store.keys.find(secret) is not None for secret in (oldest, old, new)] == [False, True, True]
    clock.advance(hours=24)
    assert [store.keys.find(secret) is not None for secret in (oldest, old, new)] == [False, False, True]


def test_revoking_ends_the_grace_of_a_rotated_key_too(store: Store) -> None:
    _, old = store.keys.create("laboratory")
    new = store.keys.rotate("laboratory", grace=timedelta(hours=24))
    store.keys.revoke("laboratory")
    assert [store.keys.find(secret) for secret in (old, new)] == [None, None]


def test_an_expired_key_cannot_be_rotated_back_to_life(store: Store, clock: Clock) -> None:
    store.keys.create("laboratory", expires_at=START + timedelta(days=1))
    clock.advance(days=2)
    with pytest.raises(InvalidConfigError, match="has expired; create a new one"):
        store.keys.rotate("laboratory")


def test_scopes_are_compared_without_regard_to_case(store: Store) -> None:
    key, secret = store.keys.create("laboratory", models=["ESM2-8M", " esm2-35m ", "esm2-8m"], actions=["encode"])
    assert key.models == ("esm2-35m", "esm2-8m")
    found = store.keys.find(secret)
    assert found is not None
    assert found.allows(model="Esm2-8m", action="encode")
    assert not found.allows(model="esm2-650m", action="encode")
    assert not found.allows(model="esm2-8m", action="predict")
    anything, _ = store.keys.create("anything")
    assert anything.allows(model="esm2-15b", action="log_prob")


def test_last_use_is_noted_every_five_minutes_at_most(store: Store, clock: Clock) -> None:
    key, secret = store.keys.create("laboratory")
    writes = []

    def count(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        writes.append(statement.startswith("UPDATE"))

    event.listen(Engine, "before_cursor_execute", count)
    try:
        for _ in range(60):
            store.keys.find(secret)
            clock.advance(seconds=10)
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    assert sum(writes) == 2
    assert store.keys.get(key.id).last_used_at == START + timedelta(minutes=5)


def test_a_key_is_found_although_its_use_cannot_be_noted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'esmkit.db'}")
    key, secret = store.keys.create("laboratory")
    with sqlite3.connect(tmp_path / "esmkit.db") as other:
        other.execute("CREATE TRIGGER refuse UPDATE ON api_keys BEGIN SELECT RAISE(FAIL, 'the disk is on fire'); END")
    other.close()
    found = store.keys.find(secret)
    store.close()
    assert found == key
    assert f"last use of key {key.id} not noted" in caplog.text
    assert "the disk is on fire" in caplog.text
    assert secret not in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "cannot be the name of a key: it takes 1 to 100 printable characters"),
        ({"name": " laboratory"}, "without spaces at the ends"),
        ({"name": "a\0b"}, r"'a\\x00b' cannot be the name"),
        ({"name": "x" * 101}, "1 to 100 printable"),
        ({"name": "ok", "models": []}, "the key allows no models; name some, or leave it out for all"),
        ({"name": "ok", "actions": [" "]}, "the key allows no actions"),
        ({"name": "ok", "expires_at": START}, "would expire at 2026-03-14 12:00 UTC, which has passed"),
        ({"name": "ok", "expires_at": datetime(2030, 1, 1)}, "2030-01-01T00:00:00 has no time zone"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(store: Store, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        store.keys.create(**arguments)  # type: ignore[arg-type]
    assert store.keys.list() == ()


def test_a_negative_grace_is_refused(store: Store) -> None:
    _, secret = store.keys.create("laboratory")
    with pytest.raises(InvalidConfigError, match="give a grace of 0 or more"):
        store.keys.rotate("laboratory", grace=timedelta(seconds=-1))
    assert store.keys.find(secret) is not None
