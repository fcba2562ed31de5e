"""Probes and incidents on SQLite and PostgreSQL."""

# ruff: noqa: F401, F811  (fixtures are imported)
from __future__ import annotations

import math
import threading
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import func, select

from esmkit.errors import InvalidConfigError
from esmkit.store import Incident, IncidentMessage, ModelUptime, Store
from esmkit.store.database import Database
from esmkit.store.tables import Probe, ProbeDay
from tests.store_databases import START, Clock, clock, store, url

SLUG = "esm2-8m"


def only(found: tuple[ModelUptime, ...]) -> ModelUptime:
    (one,) = found
    return one


def rows(url: str, clock: Clock, table: type[Probe] | type[ProbeDay]) -> int:
    database = Database(url, clock=clock)
    with database.read() as session:
        count = session.scalar(select(func.count()).select_from(table))
    database.close()
    assert count is not None
    return count


def test_uptime_counts_answers_and_latencies_per_day_and_overall(store: Store) -> None:
    for latency in range(1, 20):
        store.probes.add(SLUG, START, True, float(latency))
    store.probes.add(SLUG, START - timedelta(days=1), True, 80)
    store.probes.add(SLUG, START, False)
    found = only(store.probes.uptime(3))
    day_before, yesterday, today = found.days
    assert (day_before.probes, day_before.ok, day_before.p50_ms, day_before.p95_ms) == (0, None, None, None)
    assert (yesterday.day, yesterday.probes, yesterday.ok, yesterday.p50_ms) == (date(2026, 3, 13), 1, 1.0, 80)
    assert (today.day, today.probes, today.ok) == (date(2026, 3, 14), 20, 0.95)
    assert (today.p50_ms, today.p95_ms) == (10, 19)
    assert (found.probes, found.ok, found.p50_ms, found.p95_ms) == (21, 20 / 21, 10, 19)
    assert (found.model, found.last_at, found.last_ok) == (SLUG, START, False)


def test_days_end_at_midnight_in_utc_whatever_the_zone_of_a_probe(store: Store) -> None:
    east = datetime.fromisoformat("2026-03-14T04:00:00+09:00")  # the 13th in UTC
    store.probes.add(SLUG, east, True, 5)
    assert [day.probes for day in only(store.probes.uptime(2)).days] == [1, 0]
    assert only(store.probes.uptime(2)).last_at == datetime(2026, 3, 13, 19, 0, tzinfo=UTC)


def test_models_come_by_name_and_one_without_probes_in_the_period_is_left_out(store: Store, clock: Clock) -> None:
    store.probes.add("gone", START, True, 5)
    clock.advance(days=2)
    for model in ("b", "a"):
        store.probes.add(model, clock.now, True, 5)
    assert [found.model for found in store.probes.uptime(2)] == ["a", "b"]
    assert [found.model for found in store.probes.uptime(3)] == ["a", "b", "gone"]
    assert len(store.probes.uptime()[0].days) == 90


@pytest.mark.parametrize(("latency", "kept"), [(0.0, 0), (0.1234, 0.12), (12.4, 12), (1264, 1300), (123456, 120000)])
def test_latencies_are_kept_to_two_significant_digits(store: Store, latency: float, kept: float) -> None:
    store.probes.add(SLUG, START, True, latency)
    assert only(store.probes.uptime(1)).p50_ms == kept


def test_folding_old_probes_changes_no_number(store: Store, url: str, clock: Clock) -> None:
    for index in range(200):
        store.probes.add(SLUG, START + timedelta(minutes=index), index % 10 != 0, 3.7 * index)
    before = only(store.probes.uptime(1)).days[0]
    assert (rows(url, clock, Probe), rows(url, clock, ProbeDay)) == (200, 0)
    clock.advance(days=8)
    store.probes.add(SLUG, clock.now, True, 1)
    after = only(store.probes.uptime(9))
    assert (rows(url, clock, Probe), rows(url, clock, ProbeDay)) == (1, 1)
    assert after.days[0] == before
    assert after.probes == 201


def test_a_late_probe_joins_its_day_although_that_was_folded(store: Store, url: str, clock: Clock) -> None:
    store.probes.add(SLUG, START, True, 10)
    clock.advance(days=8)
    store.probes.fold()
    for ok in (True, False):
        store.probes.add(SLUG, START, ok, 10)
    assert only(store.probes.uptime(9)).days[0].probes == 3
    store.probes.fold()
    assert (rows(url, clock, Probe), rows(url, clock, ProbeDay)) == (0, 1)
    day = only(store.probes.uptime(9)).days[0]
    assert (day.probes, day.ok) == (3, 2 / 3)


def test_the_tables_stop_growing_after_90_days(store: Store, url: str, clock: Clock) -> None:
    for _ in range(120):
        for minute in range(3):
            store.probes.add(SLUG, clock.now + timedelta(minutes=minute), True, 10)
        clock.advance(days=1)
    clock.advance(days=-1)
    assert rows(url, clock, Probe) == 3 * 2
    assert rows(url, clock, ProbeDay) == 90 - 2
    found = only(store.probes.uptime())
    assert (found.probes, {day.probes for day in found.days}) == (270, {3})


def test_servers_that_fold_at_the_same_time_count_every_probe_once(store: Store, url: str, clock: Clock) -> None:
    for minute in range(60):
        store.probes.add(SLUG, START + timedelta(minutes=minute), True, 10)
    clock.advance(days=8)
    others = [Store.open(url, clock=clock) for _ in range(4)]
    barrier = threading.Barrier(len(others))

    def fold(other: Store) -> None:
        barrier.wait()
        other.probes.fold()

    threads = [threading.Thread(target=fold, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert (rows(url, clock, Probe), rows(url, clock, ProbeDay)) == (0, 1)
    assert only(store.probes.uptime(9)).probes == 60


@pytest.mark.parametrize(("ok", "latency"), [(True, None), (True, math.nan), (False, math.inf), (True, -1.0)])
def test_a_probe_with_an_impossible_latency_is_refused(store: Store, ok: bool, latency: float | None) -> None:
    with pytest.raises(InvalidConfigError, match="cannot have taken"):
        store.probes.add(SLUG, START, ok, latency)
    assert store.probes.uptime(1) == ()


@pytest.mark.parametrize("days", [0, 91])
def test_uptime_is_known_for_1_to_90_days(store: Store, days: int) -> None:
    with pytest.raises(InvalidConfigError, match="1 to 90 days"):
        store.probes.uptime(days)


def test_an_incident_is_told_from_opening_to_closing(store: Store, clock: Clock) -> None:
    opened = store.incidents.open(" Slow answers ", impact="major", models=["ESM2-8M"], message="We look into it.")
    assert opened == Incident(
        opened.id, "Slow answers", "major", ("esm2-8m",), START, None, (IncidentMessage(START, "We look into it."),)
    )
    clock.advance(minutes=10)
    store.incidents.update(opened.id, "A disk failed.")
    clock.advance(minutes=10)
    closed = store.incidents.close(opened.id, message="Replaced.")
    assert closed.closed_at == START + timedelta(minutes=20)
    assert [(message.at - START, message.text) for message in closed.messages] == [
        (timedelta(0), "We look into it."),
        (timedelta(minutes=10), "A disk failed."),
        (timedelta(minutes=20), "Replaced."),
    ]
    assert store.incidents.list() == (closed,)


def test_the_list_is_newest_first_and_keeps_open_ones_however_old(store: Store, clock: Clock) -> None:
    old, lasting, new = (store.incidents.open(title) for title in ("old", "lasting", "new"))
    store.incidents.close(old.id)
    clock.advance(days=100)
    store.incidents.close(new.id)
    assert [found.id for found in store.incidents.list()] == [new.id, lasting.id, old.id]
    assert [found.id for found in store.incidents.list(since=clock.now - timedelta(days=90))] == [new.id, lasting.id]


def test_an_incident_affects_all_models_unless_some_are_named(store: Store) -> None:
    assert store.incidents.open("Power cut").models is None


def test_an_incident_closes_once(store: Store) -> None:
    opened = store.incidents.open("Power cut")
    store.incidents.close(opened.id)
    with pytest.raises(InvalidConfigError, match="was closed at 2026-03-14 12:00 UTC"):
        store.incidents.close(opened.id)
    for change in (store.incidents.close, lambda number: store.incidents.update(number, "text")):
        with pytest.raises(InvalidConfigError, match="there is no incident 99; see 'esmkit incident list'"):
            change(99)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"title": " "}, "title of an incident must hold text"),
        ({"title": "a\0b"}, "title of an incident must hold text"),
        ({"title": "Slow", "message": ""}, "message of an incident must hold text"),
        ({"title": "Slow", "impact": "awful"}, "impact 'awful' is none of maintenance, minor, major, critical"),
    ],
)
def test_an_incident_that_says_nothing_is_refused(store: Store, arguments: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        store.incidents.open(**arguments)  # type: ignore[arg-type]
    assert store.incidents.list() == ()
