"""Which rows run next, how fast, what is remembered, and how it travels: the parts of the queue without a process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from esmkit.alphabet import ResiduePolicy
from esmkit.batching import LengthPolicy
from esmkit.engine.jobs import Chunk, Intake, Plan
from esmkit.engine.queue import messages
from esmkit.engine.queue.cache import ENTRY_BYTES, ResultCache
from esmkit.engine.queue.dispatch import Dispatcher
from esmkit.engine.queue.pace import BATCH_S, LEAST_ROOM, Pace
from esmkit.engine.queue.schedule import BULK_PATIENCE_S, Batch, Request, Schedule
from esmkit.errors import EsmkitError, InvalidSequenceError, ModelExecutionError, SequenceTooLongError
from esmkit.outputs import build
from esmkit.types import ModelShape, Record, Result
from tests.queue_calls import records

SHAPE = ModelShape(4, 40, 5)
LOOP = asyncio.new_event_loop()
LOOP.close()  # futures are only marked here, never awaited


def request(
    lengths: Sequence[int], names: Sequence[str] = ("mean",), *, bulk: bool = False, now_s: float = 0.0
) -> Request:
    """A request for sequences of these lengths, each of one letter of its own."""
    plan = Plan(tuple(build(names, SHAPE)))
    intake, chunk = Intake(plan, ResiduePolicy(), LengthPolicy(), 0, False), Chunk()
    for record in records([letter * length for letter, length in zip("AGVLIP", lengths, strict=False)]):
        intake.admit(record, chunk)
    return Request(chunk, plan, bulk, now_s, asyncio.Future(loop=LOOP))


def lengths_of(batch: Batch | None, owner: Request) -> list[int]:
    assert batch is not None
    return [member.row.num_residues for member in batch.members if member.request is owner]


def drain(schedule: Schedule, room: int) -> list[Batch]:
    batches = []
    while (batch := schedule.take(room, 0.0)) is not None:
        batches.append(batch)
    return batches


def test_every_row_is_taken_once_and_batches_keep_to_their_room() -> None:
    schedule, waiting = Schedule(), [request([5, 90, 17]), request([40]), request([8, 8], ["mean", "bos"])]
    scan = request([12], ["pseudo_log_likelihood", "mean"])
    for each in [*waiting, scan]:
        schedule.add(each)
    expected = sum(job.num_tokens(each.plan) for each in [*waiting, scan] for job in each.chunk.jobs.values())
    assert schedule.num_tokens == expected == (7 + 92 + 19) + 42 + 20 + 13 * 14
    batches = drain(schedule, 60)
    assert schedule.num_tokens == 0
    assert sum(batch.num_tokens for batch in batches) == expected
    assert all(batch.num_tokens <= 60 or len(batch.members) == 1 for batch in batches)
    for batch in batches:
        assert len({member.row.masked is None for member in batch.members}) == 1
        assert all(set(batch.plan.outputs) <= set(member.request.plan.outputs) for member in batch.members)
    assert [each.rows_out for each in [*waiting, scan]] == [3, 1, 2, 13]
    assert all(not each.streams for each in [*waiting, scan])


def test_rows_of_a_scan_are_made_when_they_are_taken() -> None:
    schedule, scan = Schedule(), request([2000], ["pseudo_log_likelihood"])
    schedule.add(scan)
    assert schedule.num_tokens == 2000 * 2002
    assert scan.rows_out == 0
    schedule.take(8192, 0.0)
    assert scan.rows_out == 4
    assert schedule.num_tokens == 1996 * 2002


def test_requests_with_the_same_outputs_take_turns_and_short_ones_finish_first() -> None:
    schedule = Schedule()
    scan, short = request([60], ["pseudo_log_likelihood"]), request([8], ["pseudo_log_likelihood"])
    schedule.add(scan)
    schedule.add(short)
    first = schedule.take(620, 0.0)
    assert lengths_of(first, short) == [8] * 8
    assert 0 < len(lengths_of(first, scan)) < 60


def test_other_outputs_have_their_turn_after_one_batch() -> None:
    schedule, scan, other = Schedule(), request([60], ["pseudo_log_likelihood"]), request([20])
    schedule.add(scan)
    schedule.add(other)
    assert not lengths_of(schedule.take(620, 0.0), other)
    assert lengths_of(schedule.take(620, 0.0), other) == [20]
    assert lengths_of(schedule.take(620, 0.0), scan)


def test_a_row_that_did_not_fit_begins_the_next_batch() -> None:
    schedule, small, large = Schedule(), [request([20]) for _ in range(4)], request([90])
    for each in [small[0], large, *small[1:]]:
        schedule.add(each)
    assert lengths_of(schedule.take(100, 0.0), large) == []
    assert lengths_of(schedule.take(100, 0.0), large) == [90]


def test_bulk_stands_back_but_not_for_good() -> None:
    schedule, bulk = Schedule(), request([30], bulk=True, now_s=100.0)
    schedule.add(bulk)
    for _ in range(3):
        schedule.add(request([20], now_s=100.0))
    assert not lengths_of(schedule.take(22, 100.1), bulk)
    assert not lengths_of(schedule.take(22, 100.0 + BULK_PATIENCE_S / 2), bulk)
    assert lengths_of(schedule.take(22, 100.0 + BULK_PATIENCE_S), bulk) == [30]


def test_a_dropped_request_leaves_nothing_behind() -> None:
    schedule, dropped, kept = Schedule(), request([30, 40], ["mean", "pseudo_log_likelihood"]), request([20])
    schedule.add(dropped)
    schedule.add(kept)
    schedule.drop(dropped)
    assert schedule.num_tokens == 22
    assert [batch.requests for batch in drain(schedule, 1000)] == [[kept]]


def test_a_batch_with_faults_comes_again_first_and_request_by_request() -> None:
    schedule, waiting = Schedule(), [request([20]), request([20, 30]), request([25])]
    for each in waiting:
        schedule.add(each)
    batch = schedule.take(1000, 0.0)
    assert batch is not None
    schedule.add(request([10]))
    batch.faults = 1
    schedule.put_back(batch)
    waiting[2].done.cancel()
    assert schedule.is_retrying
    again = [schedule.take(1000, 0.0), schedule.take(1000, 0.0)]
    assert {tuple(each.requests) for each in again if each} == {(waiting[0],), (waiting[1],)}
    last = schedule.take(1000, 0.0)
    assert last is not None
    assert last.faults == 0
    assert not schedule


class PartlyFailing:
    """A runner that fails on the second half of a batch of several requests, and names all records in it."""

    ready = messages.Ready({}, 1000)

    async def run(self, work: messages.Work) -> messages.Done:
        half = len(work.rows) // 2 if len(work.rows) > 1 else 1
        failure = ModelExecutionError("the model failed", records=work.names[half:])
        answered = [{"mean_4": np.full(40, len(row.tokens), dtype=np.float32)} for row in work.rows[:half]]
        return messages.Done([*answered, *[failure] * (len(work.rows) - half)], 0.1)


def test_requests_in_a_part_of_a_batch_that_failed_are_tried_again_one_by_one() -> None:
    async def compute() -> None:
        dispatcher, loop = Dispatcher(), asyncio.get_running_loop()
        dispatcher.process = PartlyFailing()  # type: ignore[assignment]
        waiting = [request([length]) for length in (40, 30, 20, 10)]
        for each in waiting:
            each.done = loop.create_future()
            dispatcher.add(each)
        await asyncio.gather(*(each.done for each in waiting))
        for each, length in zip(waiting, (40, 30, 20, 10), strict=True):
            (job,) = each.chunk.jobs.values()
            assert job.error is None
            assert job.parts["mean_4"][0] == length + 2
        assert dispatcher.counts.batches == 3
        assert dispatcher.counts.residues == 100
        await dispatcher.settle()

    asyncio.run(compute())


def test_speed_of_small_batches_counts_until_there_was_a_larger_one() -> None:
    pace = Pace()
    pace.note(10, 0.1)
    assert pace.is_rough
    assert pace.tokens_per_s == pytest.approx(100)
    pace.note(1000, 0.5)
    assert not pace.is_rough
    assert pace.tokens_per_s == pytest.approx(2000)


def test_pace_follows_the_runner() -> None:
    pace = Pace()
    assert pace.room(4096) == 4096
    assert pace.retry_after_s(1_000_000) == 1.0
    for _ in range(100):
        pace.note(1000, 0.5)
    assert pace.tokens_per_s == pytest.approx(2000)
    pace.note(10, 0.1)
    assert pace.tokens_per_s == pytest.approx(2000), "the cost of a small batch is no speed"
    assert pace.room(4096) == max(LEAST_ROOM, int(2000 * BATCH_S))
    assert pace.room(256) == 256
    assert pace.expected_s(1000) == pytest.approx(0.5)
    assert pace.expected_s(10) == pytest.approx(0.1)
    assert pace.expected_s(100) == 0.0
    assert pace.retry_after_s(40_000) == pytest.approx(20)
    assert pace.retry_after_s(10**9) == 300.0


def result(name: str, numbers: int) -> Result:
    return Result(0, name, {"mean": np.ones(numbers, dtype=np.float32)})


def test_the_cache_stays_within_its_bytes_and_forgets_what_was_not_used() -> None:
    cache = ResultCache(3 * (ENTRY_BYTES + 4000))
    for name in "abc":
        cache.put(name, result(name, 1000))
    assert cache.get("a", Record(7, "new", "MKT")) is not None
    cache.put("d", result("d", 1000))
    found = {name: cache.get(name, Record(0, "x", "MKT")) is not None for name in "abcd"}
    assert found == {"a": True, "b": False, "c": True, "d": True}
    assert cache.stats.held_bytes == cache.max_bytes
    assert (cache.stats.hits, cache.stats.misses, cache.stats.evictions) == (4, 1, 1)
    cache.put("large", result("large", 10_000))
    assert cache.get("large", Record(0, "x", "MKT")) is None


def test_cached_arrays_cannot_be_changed_by_who_gets_them() -> None:
    cache = ResultCache(100_000)
    cache.put("a", result("a", 10))
    cached = cache.get("a", Record(3, "b", "MKT"))
    assert cached is not None
    assert (cached.index, cached.id) == (3, "b")
    with pytest.raises(ValueError, match="read-only"):
        cached.arrays["mean"][0] = 2


@pytest.mark.parametrize("size", [1, 1000, messages.BESIDE_BYTES // 4, 3_000_000])
def test_messages_arrive_as_they_were_sent_in_both_ways(size: int) -> None:
    array = np.arange(size, dtype=np.float32)
    sent = messages.Done([{"whole": array, "part": array[::2], "rows": array.reshape(1, -1)[:, 1:]}], 1.5)
    received = [exchange(sent), asyncio.run(exchange_async(sent))]
    for each in received:
        assert each.seconds == 1.5
        for name, value in each.outcomes[0].items():
            np.testing.assert_array_equal(value, sent.outcomes[0][name])
            assert value.dtype == np.float32


def exchange(message: Any) -> Any:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=messages.send, args=(theirs, message))
        sender.start()
        received = messages.receive(ours)
        sender.join()
        return received


async def exchange_async(message: Any) -> Any:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        _, received = await asyncio.gather(messages.send_async(theirs, message), messages.receive_async(ours))
        return received


@pytest.mark.parametrize(
    "error",
    [
        ModelExecutionError("no", records=["a", "b"]),
        InvalidSequenceError("no", record_id="a", position=3, residue="J"),
        SequenceTooLongError("no", record_id="a", length=5, limit=4),
    ],
)
def test_errors_keep_their_fields_on_the_way(error: EsmkitError) -> None:
    received = exchange(error)
    assert type(received) is type(error)
    assert received.to_dict() == error.to_dict()


def test_a_closed_end_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(b"\x01\x02")
        theirs.close()
        with pytest.raises(EOFError):
            messages.receive(ours)
