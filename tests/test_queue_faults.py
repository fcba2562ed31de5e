"""What happens to requests when a runner is killed, hangs, breaks, cannot be loaded, or must make room."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from esmkit.engine import Model
from esmkit.engine.queue import ModelSpec, service
from esmkit.engine.queue.residency import BUSY_RESIDENCE_S, Residency
from esmkit.errors import EsmkitError, ModelExecutionError, WeightsError
from esmkit.outputs import build
from esmkit.types import Failure, Result
from tests.queue_calls import Served, assert_equal_results, random_sequence, records, serving, until
from tests.queue_worker import BREAKS_ONCE, FAILS, HANGS_ONCE, KILLS, SLOW

Answers = list[list[Result | Failure]]


@pytest.fixture(scope="module")
def mended(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A queue that may restart its runner often."""
    spec = ModelSpec(str(tiny_path), batch_tokens=256)
    home = tmp_path_factory.mktemp("mended")
    with serving([spec], home, warm=[str(tiny_path)], restarts=100, batch_timeout_s=8.0) as served:
        yield served


def set_mark() -> None:
    Path(os.environ["ESMKIT_TEST_MARK"]).touch()


def together(served: Served, *sequences: str) -> Answers:
    """One request each, in one batch."""

    async def at_once() -> Answers:
        requests = (served.submit([each], ["mean"], name=f"r{number}-") for number, each in enumerate(sequences))
        return await asyncio.gather(*requests)

    return served.run(at_once())


def assert_answered(answers: list[Result | Failure], sequence: str, tiny: Model, name: str) -> None:
    expected = list(tiny.engine.run(records([sequence], name), build(["mean"], tiny.shape)))
    assert assert_equal_results(answers, expected) == tiny.width


def test_requests_survive_a_runner_that_is_killed_in_mid_batch(mended: Served, tiny: Model) -> None:
    before, sequence = mended.stats.restarts, "A" + SLOW
    states: list[bool] = []

    async def kill() -> Answers:
        requests = [asyncio.create_task(mended.submit([each], ["mean"], name="r0-")) for each in (sequence, "MKT")]
        await asyncio.sleep(0.3)
        os.kill(mended.pid, signal.SIGKILL)
        await until(lambda: not mended.queue.ready())
        states.append(mended.queue.ready())
        answers = await asyncio.gather(*requests)
        states.append(mended.queue.ready())
        return answers

    answers = mended.run(kill())
    assert states == [False, True]
    assert_answered(answers[0], sequence, tiny, "r0-")
    assert_answered(answers[1], "MKT", tiny, "r0-")
    assert mended.stats.restarts == before + 1


def test_a_runner_killed_while_idle_is_replaced_at_once(mended: Served, tiny: Model) -> None:
    async def kill() -> None:
        os.kill(mended.pid, signal.SIGKILL)
        await until(lambda: not mended.queue.ready())
        await until(mended.queue.ready)

    mended.run(kill())
    assert_answered(mended.run(mended.submit(["MKT"], ["mean"])), "MKT", tiny, "p")


def test_a_poisonous_request_kills_twice_and_fails_alone(mended: Served, tiny: Model) -> None:
    before, innocents = mended.stats.restarts, [random_sequence(20), random_sequence(30)]
    first, poisoned, last = together(mended, innocents[0], "A" + KILLS, innocents[1])
    assert isinstance(poisoned[0], Failure)
    assert isinstance(poisoned[0].error, ModelExecutionError)
    assert poisoned[0].error.records == ["r1-0"]
    assert_answered(first, innocents[0], tiny, "r0-")
    assert_answered(last, innocents[1], tiny, "r2-")
    assert mended.stats.restarts == before + 2


def test_a_request_on_which_the_model_fails_fails_alone(mended: Served, tiny: Model) -> None:
    before, innocent = mended.stats.restarts, random_sequence(20)
    answered, failed = together(mended, innocent, "A" + FAILS)
    assert_answered(answered, innocent, tiny, "r0-")
    assert isinstance(failed[0], Failure)
    assert failed[0].error.fields["records"] == ["r1-0"], "nothing of other callers may be told"
    assert mended.stats.restarts == before


def test_a_runner_whose_model_works_no_more_gives_up_and_is_replaced(mended: Served, tiny: Model) -> None:
    before, sequence = mended.stats.restarts, "A" + BREAKS_ONCE
    set_mark()
    assert_answered(mended.run(mended.submit([sequence], ["mean"])), sequence, tiny, "p")
    assert mended.stats.restarts == before + 1


def test_a_runner_that_hangs_is_killed_and_its_batch_tried_again(mended: Served, tiny: Model) -> None:
    before, sequence = mended.stats.restarts, "A" + HANGS_ONCE
    set_mark()
    assert_answered(mended.run(mended.submit([sequence], ["mean"])), sequence, tiny, "p")
    assert mended.stats.restarts == before + 1


def test_used_up_restarts_fail_everybody_and_tell_the_process(tiny_path: Path, tmp_path: Path) -> None:
    fatal: list[EsmkitError] = []
    name = str(tiny_path)
    with serving([ModelSpec(name)], tmp_path, warm=[name], restarts=0, on_fatal=fatal.append) as served:

        async def kill() -> None:
            waiting = asyncio.create_task(served.submit(["A" + SLOW], ["mean"]))
            await asyncio.sleep(0.3)
            os.kill(served.pid, signal.SIGKILL)
            with pytest.raises(ModelExecutionError, match="SIGKILL"):
                await waiting
            with pytest.raises(ModelExecutionError, match="not started again"):
                await served.submit(["MKT"], ["mean"])

        served.run(kill())
        assert [error.code for error in fatal] == ["internal.model_execution"]
        assert not served.queue.ready()
        assert served.queue.info("tiny").state == "failed"


def test_weights_that_cannot_be_loaded_fail_requests_and_are_not_tried_in_a_loop(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in tiny_path.parent.iterdir():
        shutil.copy(file, tmp_path)
    copy = tmp_path / tiny_path.name
    with serving([ModelSpec(str(copy))], tmp_path / "home") as served:
        copy.write_bytes(b"no checkpoint")

        async def fail() -> None:
            requests = [served.submit(["MKT"], ["mean"]) for _ in range(3)]
            errors = await asyncio.gather(*requests, return_exceptions=True)
            assert [type(error) for error in errors] == [WeightsError] * 3
            assert served.queue.info("tiny").state == "failed"
            copy.write_bytes(tiny_path.read_bytes())
            with pytest.raises(WeightsError, match="tiny"):
                await served.submit(["MKT"], ["mean"])
            monkeypatch.setattr(service, "RELOAD_AFTER_S", 0.0)
            served.queue._services["tiny"]._closed_until_s = 0.0
            assert isinstance((await served.submit(["MKT"], ["mean"]))[0], Result)

        served.run(fail())
        assert served.stats.loads == 1
        assert served.stats.restarts == 0


def test_the_model_not_used_for_longest_makes_room(tiny_path: Path, tmp_path: Path) -> None:
    specs = [ModelSpec(str(tiny_path)), ModelSpec("esm2-mini", batch_tokens=1024)]
    with serving(specs, tmp_path, memory_budget_bytes=500 << 20) as served:
        queue = served.queue

        async def alternate() -> None:
            for slug, other in (("tiny", "esm2-mini"), ("esm2-mini", "tiny"), ("tiny", "esm2-mini")):
                (answer,) = await queue.submit(slug, records(["MKT"]), ["mean"])
                assert isinstance(answer, Result)
                assert answer.meta["provenance"]["slug"] == slug
                assert [queue.info(each).state for each in (slug, other)] == ["ready", "unloaded"]

        served.run(alternate())
        models = queue.stats().models
        assert [models[slug].loads for slug in ("tiny", "esm2-mini")] == [2, 1]
        assert models["tiny"].restarts == 0


class Place:
    """A model that only takes memory."""

    def __init__(self, memory_bytes: int, used_s: float, *, is_idle: bool = True, ready_s: float = 0.0) -> None:
        self.memory_bytes, self.used_s, self.ready_s = memory_bytes, used_s, ready_s
        self.is_ready, self.is_idle, self.unloads = True, is_idle, 0

    async def unload(self) -> None:
        self.unloads += 1


def unloads_for(newcomer: Place, residents: list[Place], budget_bytes: int) -> list[int]:
    async def enter() -> list[int]:
        residency = Residency(budget_bytes)
        for resident in residents:
            await residency.enter(resident)
        await residency.enter(newcomer)
        return [resident.unloads for resident in residents]

    return asyncio.run(enter())


def test_as_few_models_leave_as_must_and_idle_ones_first() -> None:
    long_ago = -2 * BUSY_RESIDENCE_S
    residents = [Place(30, 1.0, is_idle=False, ready_s=long_ago), Place(30, 3.0), Place(30, 2.0)]
    assert unloads_for(Place(10, 0.0), residents, 100) == [0, 0, 0]
    assert unloads_for(Place(40, 0.0), residents, 100) == [0, 0, 1]
    assert unloads_for(Place(100, 0.0), residents, 100) == [1, 1, 2]


def test_a_busy_model_keeps_its_place_for_a_while() -> None:
    async def enter() -> None:
        residency = Residency(100)
        busy = Place(60, 0.0, is_idle=False, ready_s=asyncio.get_running_loop().time())
        await residency.enter(busy)
        waiting = asyncio.create_task(residency.enter(Place(60, 0.0)))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        busy.ready_s -= BUSY_RESIDENCE_S
        await asyncio.wait_for(waiting, 10)
        assert busy.unloads == 1

    asyncio.run(enter())


def test_what_a_runner_says_is_logged(
    mended: Served, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    set_mark()
    mended.run(mended.submit(["A" + BREAKS_ONCE], ["mean"]))
    said = [record.getMessage() for record in caplog.records if "the runner gives up" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("runner ")
    assert "gives up" not in capfd.readouterr().err
