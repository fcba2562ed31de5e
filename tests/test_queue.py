"""The serving queue: answers equal to the engine's, order, batches over requests, priorities, limits, cache, stop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from esmkit.batching import LengthPolicy
from esmkit.config import Settings
from esmkit.engine import Model
from esmkit.engine.queue import ModelSpec, ServingQueue
from esmkit.errors import (
    DeadlineExceededError,
    InvalidConfigError,
    InvalidSequenceError,
    OverloadedError,
    SequenceTooLongError,
    UnknownModelError,
    UnsupportedOutputError,
)
from esmkit.outputs import OutputOptions, build
from esmkit.types import Failure, Record, Result
from tests.embedded import SHAPE
from tests.queue_calls import Served, assert_equal_results, children, random_sequence, records, serving, until
from tests.queue_worker import SLOW


@pytest.fixture(scope="module")
def served(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    spec = ModelSpec(str(tiny_path), batch_tokens=256)
    with serving([spec], tmp_path_factory.mktemp("queue"), warm=[str(tiny_path)], cache_bytes=200_000) as served:
        yield served


def test_mixed_requests_at_once_equal_the_engine(served: Served, tiny: Model) -> None:
    window = LengthPolicy("window", 20)
    cases: list[tuple[list[str], list[str], OutputOptions, LengthPolicy | None]] = [
        ([random_sequence(n) for n in (5, 60, 1)], ["mean", "contacts"], OutputOptions(layers=(0, -1)), None),
        ([random_sequence(n) for n in (9, 4)], ["pseudo_log_likelihood", "mean"], OutputOptions(), None),
        ([random_sequence(50)], ["per_residue", "logits", "max", "bos"], OutputOptions(), window),
        ([random_sequence(30)], ["pseudo_log_likelihood"], OutputOptions(), window),
        ([random_sequence(300), "MKT"], ["per_residue", "attentions"], OutputOptions(), None),
        (["MK<mask>AY<mask>"], ["predict", "logits"], OutputOptions(vocabulary="full"), None),
        ([random_sequence(40) for _ in range(20)], ["mean"], OutputOptions(), None),
        ([random_sequence(220)], ["attention_maps"], OutputOptions(attention_layers=(1, 4)), None),
    ]

    async def at_once() -> list[list[Result | Failure]]:
        return await asyncio.gather(
            *(
                served.queue.submit("TINY", records(sequences), names, options, length=length)
                for sequences, names, options, length in cases
            )
        )

    compared = 0
    for answers, (sequences, names, options, length) in zip(served.run(at_once()), cases, strict=True):
        expected = list(tiny.engine.run(records(sequences), build(names, tiny.shape, options), length=length))
        numbers = [answer for answer in answers if "filled_sequence" not in answer.arrays]
        compared += assert_equal_results(numbers, [e for e in expected if "filled_sequence" not in e.arrays])
        for answer, other in zip(answers, expected, strict=True):
            assert answer.arrays.get("filled_sequence") == other.arrays.get("filled_sequence")
    assert compared > 100_000 * 4


def test_requests_of_many_clients_share_batches(served: Served) -> None:
    before = served.stats

    async def clients() -> None:
        await asyncio.gather(*(served.submit([random_sequence(14)], ["mean"]) for _ in range(64)))

    served.run(clients())
    after = served.stats
    assert after.requests - before.requests == 64
    assert after.residues - before.residues == 64 * 14
    assert after.batches - before.batches == 4, "64 x 16 tokens fill four batches of 256"
    assert after.queued_tokens == after.queued_requests == 0


def test_bad_records_give_failures_in_their_places_and_cost_nothing(served: Served) -> None:
    before = served.stats.batches
    sequences = ["MKT", "MJK", "", random_sequence(2049), random_sequence(30)]
    answers = served.run(served.submit(sequences, ["mean"]))
    assert [answer.index for answer in answers] == list(range(5))
    assert [type(answer) for answer in answers] == [Result, Failure, Failure, Failure, Result]
    assert isinstance(answers[1].error, InvalidSequenceError)
    assert isinstance(answers[3].error, SequenceTooLongError)
    assert served.stats.batches == before + 1
    served.run(served.submit(sequences[1:4], ["mean"]))
    assert served.stats.batches == before + 1


def test_equal_sequences_of_a_request_are_computed_once(served: Served) -> None:
    before, sequence = served.stats.residues, random_sequence(23)
    answers = served.run(served.submit([sequence] * 3, ["bos"]))
    assert [answer.id for answer in answers] == ["p0", "p1", "p2"]
    assert served.stats.residues - before == 23


def test_wrong_names_and_options_are_refused_with_the_choices(served: Served) -> None:
    with pytest.raises(UnknownModelError) as caught:
        served.run(served.queue.submit("esm2-9b", records(["MKT"]), ["mean"]))
    assert caught.value.choices == ["tiny"]
    with pytest.raises(UnsupportedOutputError):
        served.run(served.submit(["MKT"], ["embedding"]))
    with pytest.raises(InvalidConfigError, match="layer 9"):
        served.run(served.submit(["MKT"], ["mean"], options=OutputOptions(layers=(9,))))
    with pytest.raises(InvalidConfigError, match="2048"):
        served.run(served.submit(["MKT"], ["mean"], length=LengthPolicy(limit=4000)))


@pytest.mark.parametrize("priority", ["bulk", "interactive"])
def test_a_short_request_overtakes_a_long_scan(served: Served, priority: str) -> None:
    async def both() -> tuple[bool, list[Result | Failure]]:
        scan = asyncio.create_task(served.submit([random_sequence(120)], ["pseudo_log_likelihood"], priority=priority))
        await until(lambda: served.stats.queued_tokens > 0)
        await served.submit([random_sequence(20)], ["mean"])
        return scan.done(), await scan

    done, answers = served.run(both())
    assert not done
    assert isinstance(answers[0], Result)


def test_a_cancelled_request_leaves_the_queue(served: Served) -> None:
    before = served.stats

    async def cancel() -> None:
        scan = asyncio.create_task(served.submit([random_sequence(150)], ["pseudo_log_likelihood"]))
        await until(lambda: served.stats.batches > before.batches)
        scan.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scan

    served.run(cancel())
    assert served.stats.queued_tokens == served.stats.queued_requests == 0
    assert served.stats.cancelled == before.cancelled + 1
    assert isinstance(served.run(served.submit([random_sequence(10)], ["mean"]))[0], Result)
    assert served.stats.batch_tokens - before.batch_tokens < 150 * 152 / 2


def test_a_request_fails_at_its_deadline_and_leaves_the_queue(served: Served) -> None:
    before = served.stats

    async def late() -> list[Result | Failure]:
        slow = asyncio.create_task(served.submit(["A" + SLOW], ["mean"]))
        with pytest.raises(DeadlineExceededError, match=r"after 0\.3 s"):
            await served.submit([random_sequence(150)], ["pseudo_log_likelihood"], deadline_s=0.3)
        assert served.stats.queued_tokens == 0
        return await slow

    assert isinstance(served.run(late())[0], Result)
    assert served.stats.expired == before.expired + 1


def test_a_full_queue_refuses_with_a_time_to_try_again(served: Served) -> None:
    async def overload() -> None:
        first = asyncio.create_task(served.submit(["A" + SLOW + random_sequence(140)], ["pseudo_log_likelihood"]))
        await asyncio.sleep(0)
        queued = served.stats.queued_tokens
        with pytest.raises(OverloadedError) as caught:
            await served.submit([random_sequence(140)], ["pseudo_log_likelihood"])
        assert 1 <= caught.value.retry_after_s <= 300
        assert served.stats.queued_tokens == queued, "nothing of a refused request may be kept"
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    before = served.stats.overloaded
    served.run(overload())
    assert served.stats.overloaded == before + 1


def test_a_request_larger_than_the_queue_is_refused_for_good(served: Served) -> None:
    with pytest.raises(InvalidConfigError, match="at most 30000"):
        served.run(served.submit([random_sequence(200)], ["pseudo_log_likelihood"]))
    with pytest.raises(InvalidConfigError, match="at most 22500"):
        served.run(served.submit([random_sequence(160)], ["pseudo_log_likelihood"], priority="bulk"))


def test_what_was_asked_before_comes_from_the_cache_under_the_new_name(served: Served) -> None:
    sequence = random_sequence(31)
    first = served.run(served.submit([sequence], ["mean", "logits"]))
    batches, hits = served.stats.batches, served.queue.stats().cache.hits
    again = served.run(served.submit(["MJ", sequence], ["mean", "logits"], name="q"))[1]
    assert (again.index, again.id) == (1, "q1")
    np.testing.assert_array_equal(again.arrays["mean_4"], first[0].arrays["mean_4"])
    assert served.stats.batches == batches
    assert served.queue.stats().cache.hits == hits + 1
    served.run(served.submit([sequence], ["mean"]))
    assert served.stats.batches == batches + 1, "other outputs are another answer"


def test_a_served_model_is_known_before_it_is_loaded(tmp_path: Path) -> None:
    async def ask() -> None:
        queue = ServingQueue(
            [ModelSpec("esm2-mini")],
            memory_budget_bytes=None,
            max_queued_tokens=1000,
            restarts=0,
            settings=Settings(home=tmp_path, offline=True),
        )
        assert not queue.ready()
        with pytest.raises(OverloadedError):
            await queue.submit("esm2-mini", [Record(0, "a", "MKT")], ["mean"])
        await queue.start()
        info = queue.info("ESM2-mini")
        assert (info.slug, info.shape, info.state, info.provenance) == ("esm2-mini", SHAPE, "unloaded", None)
        assert info.memory_bytes > 100e6
        answers = await queue.submit("esm2-mini", [Record(0, "a", "MJK")], ["mean"])
        assert isinstance(answers[0], Failure)
        assert queue.info("esm2-mini").state == "unloaded", "a bad record must not load a model"
        assert queue.ready()
        await queue.close()

    asyncio.run(ask())


def test_models_that_cannot_be_served_are_refused_at_once(tmp_path: Path) -> None:
    def serve(*specs: ModelSpec, budget: int | None = None) -> None:
        settings = Settings(home=tmp_path, offline=True)
        ServingQueue(specs, memory_budget_bytes=budget, max_queued_tokens=1000, restarts=0, settings=settings)

    with pytest.raises(UnknownModelError):
        serve(ModelSpec("esm2-7m"))
    with pytest.raises(InvalidConfigError, match="two models"):
        serve(ModelSpec("esm2-mini"), ModelSpec("ESM2-mini"))
    with pytest.raises(InvalidConfigError, match="float64"):
        serve(ModelSpec("esm2-mini", dtype="float64"))
    with pytest.raises(InvalidConfigError, match="memory budget"):
        serve(ModelSpec("esm2-mini"), budget=1_000_000)


def test_draining_answers_what_was_accepted_and_closing_ends_the_runner(tiny_path: Path, tmp_path: Path) -> None:
    with serving([ModelSpec(str(tiny_path), batch_tokens=256)], tmp_path) as served:

        async def stop() -> tuple[bool, list[Result | Failure]]:
            scan = asyncio.create_task(served.submit([random_sequence(60)], ["pseudo_log_likelihood"]))
            await asyncio.sleep(0)
            draining = asyncio.create_task(served.queue.drain(120))
            await asyncio.sleep(0)
            assert not served.queue.ready()
            with pytest.raises(OverloadedError, match="stopping"):
                await served.submit(["MKT"], ["mean"])
            return await draining, await scan

        complete, answers = served.run(stop())
        assert complete
        assert isinstance(answers[0], Result)
        runner = served.pid
        assert runner in children()

        async def close_early() -> None:
            await served.queue.start()
            waiting = asyncio.create_task(served.submit(["A" + SLOW], ["mean"]))
            await asyncio.sleep(0)
            assert not await served.queue.drain(0.1)
            await served.queue.close()
            with pytest.raises(OverloadedError, match="stopping"):
                await waiting

        served.run(close_early())
        assert runner not in children()


ORPHAN = """
import asyncio, sys
from pathlib import Path
from tests.queue_calls import serving
from tests.queue_worker import SLOW
from esmkit.engine.queue import ModelSpec

with serving([ModelSpec("esm2-mini")], Path(sys.argv[1]), warm=["esm2-mini"]) as served:
    print(served.pid, flush=True)
    served.run(served.submit([SLOW * 2, SLOW * 3], ["mean"]))
    served.run(asyncio.sleep(60))
"""


def test_a_runner_does_not_outlive_a_server_that_is_killed(tmp_path: Path) -> None:
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", ORPHAN, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        runner = int(server.stdout.readline())
        server.send_signal(signal.SIGKILL)
    asyncio.run(until(lambda: not is_running(runner), timeout_s=10))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
