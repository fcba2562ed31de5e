"""Usage on SQLite and PostgreSQL: sums stay right, whoever writes at the same time."""

# ruff: noqa: F401, F811  (fixtures are imported)
from __future__ import annotations

import math
import random
import subprocess
import sys
import threading
from datetime import date

import pytest

from esmkit.store import Store, UsageRow, UsageTotal
from tests.store_databases import clock, store, url

DAY = date(2026, 3, 14)


def row(key_id: str | None = "key_1", model: str = "esm2-8m", action: str = "encode", day: date = DAY) -> UsageRow:
    return UsageRow(key_id, model, action, day, requests=1, residues=100, seconds=0.5)


def test_usage_of_one_key_model_action_and_day_becomes_one_row(store: Store) -> None:
    store.usage.add([row(), row(), row(model="esm2-35m")])
    store.usage.add([row(), row(day=date(2026, 3, 15))])
    store.usage.add([])
    assert store.usage.report() == (
        UsageRow("key_1", "esm2-35m", "encode", DAY, 1, 100, 0.5),
        UsageRow("key_1", "esm2-8m", "encode", DAY, 3, 300, 1.5),
        UsageRow("key_1", "esm2-8m", "encode", date(2026, 3, 15), 1, 100, 0.5),
    )


def test_requests_without_a_key_are_added_up_too(store: Store) -> None:
    store.usage.add([row(None)])
    store.usage.add([row(None), row("key_1")])
    assert [(found.key_id, found.requests) for found in store.usage.report()] == [(None, 2), ("key_1", 1)]
    assert [found.key_id for found in store.usage.report(key_id="key_1")] == ["key_1"]


def test_a_report_holds_both_its_first_and_its_last_day(store: Store) -> None:
    store.usage.add([row(day=date(2026, 3, day)) for day in range(1, 11)])
    found = store.usage.report(since=date(2026, 3, 3), until=date(2026, 3, 5))
    assert [one.day.day for one in found] == [3, 4, 5]
    assert len(store.usage.report(since=date(2026, 3, 9))) == 2
    assert store.usage.report(until=date(2026, 2, 28)) == ()


def test_totals_add_up_by_each_column(store: Store) -> None:
    rows = [row("key_1"), row("key_2"), row("key_2", day=date(2026, 3, 15)), row(None, "esm2-35m", "predict")]
    store.usage.add(rows)
    one, two = (1, 100, 0.5), (2, 200, 1.0)
    assert store.usage.totals("key") == (UsageTotal("key_2", *two), UsageTotal(None, *one), UsageTotal("key_1", *one))
    assert store.usage.totals("model") == (UsageTotal("esm2-8m", 3, 300, 1.5), UsageTotal("esm2-35m", *one))
    assert store.usage.totals("action") == (UsageTotal("encode", 3, 300, 1.5), UsageTotal("predict", *one))
    assert store.usage.totals("day") == (UsageTotal("2026-03-14", 3, 300, 1.5), UsageTotal("2026-03-15", *one))
    assert store.usage.totals("day", key_id="key_2", since=date(2026, 3, 15)) == (UsageTotal("2026-03-15", *one),)


def test_sums_go_beyond_32_bits(store: Store) -> None:
    huge = UsageRow("key_1", "esm2-8m", "encode", DAY, requests=3 * 10**9, residues=10**15, seconds=1e9)
    store.usage.add([huge])
    store.usage.add([huge])
    assert store.usage.report()[0].residues == 2 * 10**15
    assert store.usage.totals("key") == (UsageTotal("key_1", 6 * 10**9, 2 * 10**15, 2e9),)


@pytest.mark.parametrize("wrong", [{"requests": -1}, {"residues": -1}, {"seconds": math.nan}, {"seconds": math.inf}])
def test_usage_is_counted_in_finite_numbers_from_0_up(wrong: dict[str, float]) -> None:
    counts = {"requests": 1, "residues": 1, "seconds": 0.1} | wrong
    with pytest.raises(ValueError, match="finite numbers from 0 up"):
        UsageRow(None, "esm2-8m", "encode", DAY, **counts)  # type: ignore[arg-type]


def test_nothing_is_lost_or_doubled_when_threads_add_the_same_rows_in_different_orders(store: Store) -> None:
    rows = [row(f"key_{key}", f"esm2-{size}m") for key in range(4) for size in (8, 35)]
    failures: list[Exception] = []

    def write(seed: int) -> None:
        shuffled = random.Random(seed)
        for _ in range(10):
            try:
                store.usage.add(shuffled.sample(rows, len(rows)))
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    found = store.usage.report()
    assert len(found) == 8
    assert {(one.requests, one.residues, one.seconds) for one in found} == {(80, 8000, 40.0)}


WRITER = """
import sys
from datetime import date
from esmkit.store import Store, UsageRow
store = Store.open(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
for _ in range(50):
    store.usage.add([UsageRow("key_1", model, "encode", date(2026, 3, 14), 1, 100, 0.5) for model in sys.argv[2:]])
store.close()
"""


def test_nothing_is_lost_or_doubled_when_two_processes_add(store: Store, url: str) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    models = ["esm2-8m", "esm2-35m"]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, url, *names], text=True, **pipes)  # type: ignore[call-overload]
        for names in (models, models[::-1])
    ]
    for writer in writers:
        assert writer.stdout.readline() == "open\n", writer.communicate()[1]
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        assert writer.communicate(timeout=120)[1] == ""
        assert writer.returncode == 0
    assert {found.model: found.requests for found in store.usage.report()} == {"esm2-8m": 100, "esm2-35m": 100}
