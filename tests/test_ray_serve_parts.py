"""The parts of `esmkit serve --ray` without a cluster: sizes, scaling, board, metrics, and the way to replicas."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import time
import warnings
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from esmkit.config import Settings
from esmkit.engine.queue import ModelInfo, ModelStats
from esmkit.errors import DeadlineExceededError, InvalidConfigError, ModelExecutionError, OverloadedError
from esmkit.models.locate import EMBEDDED
from esmkit.outputs import OutputOptions
from esmkit.server.errors import UnavailableError, answer_for
from esmkit.server.settings import ServerSettings
from esmkit.types import Failure, ModelShape, Record, Result
from tests.ray_serving import free_port

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own, when it is imported
    pytest.importorskip("ray.serve")
from ray.exceptions import ActorDiedError

from esmkit.cli.serve_ray import build
from esmkit.cluster.connection import ClusterError, connect
from esmkit.cluster.serve import client as client_module
from esmkit.cluster.serve.application import application, check, least_resources
from esmkit.cluster.serve.autoscaling import WANTED, by_queued_tokens, wanted_replicas
from esmkit.cluster.serve.board import STALE_S, Board
from esmkit.cluster.serve.client import RayQueue, ServedModel
from esmkit.cluster.serve.messages import Answer, Ask, FrontReport, ModelReport, ReplicaReport, View
from esmkit.cluster.serve.sizes import Size, sizes
from esmkit.cluster.serve.whole import labelled

NAMES = {"esm2-8m": "esm2-8m", "esm2_t6_8m_ur50d": "esm2-8m", "mine": "mine"}
INFO = ModelInfo(
    "mine", ModelShape(2, 8, 2), frozenset({"representations"}), "float32", 2048, "unloaded", 1, None, None
)
READY = View({"mine": [ModelInfo("mine", INFO.shape, INFO.provides, "float32", 2048, "ready", 1, None, None)]})
RECORD = Record(0, "a", "MKT")
RESULT = Result(0, "a", {"mean": [1.0]})


def test_sizes_are_chosen_for_all_and_for_one_under_any_of_its_names() -> None:
    settings = ServerSettings(
        ray_replicas=("1-4", "ESM2_T6_8M_UR50D=0-2"),
        ray_gpus=("mine=0.25",),
        ray_cpus=("2", "ingress=1"),
        ray_ingress=3,
    )
    assert sizes(settings, NAMES) == {
        "esm2-8m": Size(0, 2, 2.0, 0.0),
        "mine": Size(1, 4, 2.0, 0.25),
        "shared": Size(1, 4, 2.0, 0.0),
        "ingress": Size(3, 3, 1.0, 0.0),
    }


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ray_replicas", "4", "'4' is not MIN-MAX"),
        ("ray_replicas", "4-2", "'4-2' is not MIN-MAX"),
        ("ray_replicas", "0-0", "'0-0' is not MIN-MAX"),
        ("ray_replicas", "other=1-2", "'other' is not served; choose from esm2-8m, mine"),
        ("ray_gpus", "half", "'half' is not a number"),
        ("ray_cpus", "mine=-1", "'-1' is not a number"),
    ],
)
def test_sizes_that_cannot_be_meant_are_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message) as caught:
        sizes(ServerSettings(**{name: (value,)}), NAMES)
    assert caught.value.setting == name


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        ({"limit_requests_per_s": 5}, "limits_storage_url"),
        ({"limit_residues_per_day": 5}, "limits_storage_url"),
        ({"chat_model": "ollama:small"}, "ray_ingress"),
    ],
)
def test_what_each_application_would_keep_for_itself_is_refused(values: dict[str, Any], setting: str) -> None:
    check(ServerSettings(**values))
    with pytest.raises(InvalidConfigError) as caught:
        check(ServerSettings(ray_ingress=2, **values))
    assert caught.value.setting == setting


def test_the_policy_wants_what_queued_tokens_need_and_keeps_what_computes() -> None:
    def wanted(reported: dict[str, float], requests: float = 1.0) -> float:
        return by_queued_tokens(SimpleNamespace(aggregated_metrics={WANTED: reported}, total_num_requests=requests))[0]

    assert wanted({"a": wanted_replicas(35_000, 10_000, 1.0, is_used=True), "b": 0.5}) == 4.0
    assert wanted({"a": wanted_replicas(0, 10_000, 0.9, is_used=True), "b": 0.9}) == 1.8
    assert wanted({"a": 0.0}, requests=0.0) == 0.0
    assert 0 < wanted({"a": 0.0}, requests=0.1) < 1
    assert by_queued_tokens(SimpleNamespace(aggregated_metrics=None, total_num_requests=0.0)) == (0.0, {})


def test_the_board_sums_counts_for_good_and_gauges_of_those_that_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("esmkit.cluster.serve.board.time.monotonic", lambda: clock[0])

    def report(name: str, requests: int) -> ReplicaReport:
        return ReplicaReport(name, {"mine": ModelReport(INFO, ModelStats(queued_tokens=5, requests=requests))})

    async def story() -> list[View]:
        board, front = Board(), FrontReport("front", [])
        for name in ("killed", "left", "here"):
            await board.report(report(name, 10))
        views = [await board.exchange(front)]
        await board.report(report("left", 11), is_last=True)
        clock[0] += STALE_S
        await board.report(report("here", 12))
        views.append(await board.exchange(FrontReport("other", [])))
        assert [each.replica for each in await board.fronts()] == ["other"]
        return views

    first, last = asyncio.run(story())
    assert (first.stats["mine"].requests, first.stats["mine"].queued_tokens, len(first.infos["mine"])) == (30, 15, 3)
    assert (last.stats["mine"].requests, last.stats["mine"].queued_tokens, len(last.infos["mine"])) == (33, 5, 1)


def test_metrics_of_several_applications_are_one_family_with_a_label() -> None:
    reports = []
    for name, number in (("a", 1), ("b", 2)):
        registry = CollectorRegistry()
        Counter("seen", "Things seen.", ["kind"], registry=registry).labels("x").inc(number)
        reports.append(FrontReport(name, list(registry.collect())))
    text = generate_latest(SimpleNamespace(collect=lambda: labelled(reports))).decode()  # type: ignore[arg-type]
    assert text.count("# TYPE seen_total counter") == 1
    assert 'seen_total{kind="x",replica="a"} 1.0' in text
    assert 'seen_total{kind="x",replica="b"} 2.0' in text


class Response:
    """What a handle of Ray gives; its fate is decided by the test."""

    def __init__(self, fate: Callable[[], Awaitable[Any]]) -> None:
        self._fate = fate
        self.is_cancelled = False

    def __await__(self) -> Generator[Any, None, Any]:
        return self._fate().__await__()

    def cancel(self) -> None:
        self.is_cancelled = True


class Handle:
    """Stands for the replicas of a model: one fate per call, the last one for all that follow."""

    def __init__(self, *fates: Callable[[], Awaitable[Any]], warm: Callable[[], Awaitable[Any]]) -> None:
        self._fates, self._warm = list(fates), warm
        self.asks: list[Ask] = []
        self.responses: list[Response] = []
        self.warmed = 0
        self.compute = SimpleNamespace(remote=self._compute)
        self.warm = SimpleNamespace(remote=self._start)

    def _compute(self, slug: str, ask: Ask) -> Response:
        self.asks.append(ask)
        self.responses.append(Response(self._fates.pop(0) if len(self._fates) > 1 else self._fates[0]))
        return self.responses[-1]

    def _start(self, slug: str) -> Response:
        self.warmed += 1
        return Response(self._warm)


async def answers() -> Answer:
    return Answer([RESULT], began_ago_s=0.25)


async def dies() -> Answer:
    raise ActorDiedError


async def never() -> None:
    await asyncio.Event().wait()


async def at_once() -> None:
    """Nothing."""


class Submitted:
    """One request through the queue of an HTTP application, with what its model's replicas made of it."""

    def __init__(self, *fates: Callable[[], Awaitable[Any]], view: View = READY, warm: Any = at_once) -> None:
        self.handle = Handle(*fates, warm=warm)
        self.served = ServedModel(INFO, self.handle, is_lasting=False)
        board = SimpleNamespace(exchange=SimpleNamespace(remote=lambda report: Response(self._viewed)))
        self._view = view
        self.queue = RayQueue(
            {"mine": self.served}, {"mine": "mine"}, board, name="front", max_queued_tokens=100, cold_start_s=0.2
        )
        self.began_s: list[float] = []

    async def _viewed(self) -> View:
        return self._view

    def run(self, *, deadline_s: float | None = 5.0, records: int = 1) -> list[Result | Failure]:
        async def story() -> list[Result | Failure]:
            await self.queue.start()
            await asyncio.sleep(0.01)
            try:
                return await self.queue.submit(
                    "mine",
                    [RECORD] * records,
                    ["mean"],
                    OutputOptions(),
                    deadline_s=deadline_s,
                    on_start=lambda ago_s=0.0: self.began_s.append(ago_s),
                )
            finally:
                await self.queue.close()
                await asyncio.sleep(0)

        return asyncio.run(story())


def test_an_answer_comes_back_with_the_time_at_which_the_model_began() -> None:
    submitted = Submitted(answers)
    assert submitted.run() == [RESULT]
    assert submitted.began_s == [0.25]
    assert submitted.queue.info("MINE").state == "ready"


def test_a_request_whose_replica_died_is_sent_once_more() -> None:
    submitted = Submitted(dies, answers)
    assert submitted.run() == [RESULT]
    assert len(submitted.handle.asks) == 2
    first, second = (ask.deadline_s for ask in submitted.handle.asks)
    assert first is not None
    assert second is not None
    assert second <= first <= 5.0


def test_a_request_that_two_replicas_died_of_is_503_with_retry_after() -> None:
    submitted = Submitted(dies)
    with pytest.raises(UnavailableError, match="2 replicas of mine went away") as caught:
        submitted.run()
    assert len(submitted.handle.asks) == client_module.ATTEMPTS
    answer = answer_for(caught.value, request_id="r")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "10")


def test_errors_travel_as_values_and_are_raised_here() -> None:
    async def fails() -> Answer:
        return Answer(ModelExecutionError("the model failed", records=["a"]))

    with pytest.raises(ModelExecutionError, match="the model failed") as caught:
        Submitted(fails).run()
    assert caught.value.fields == {"records": ["a"]}


def test_a_deadline_cancels_the_work_in_the_replica() -> None:
    submitted = Submitted(never)
    with pytest.raises(DeadlineExceededError, match=r"not done after 0\.05 s"):
        submitted.run(deadline_s=0.05)
    assert submitted.handle.responses[0].is_cancelled


@pytest.mark.parametrize(("deadline_s", "waited"), [(0.05, "0.05"), (5.0, "0.2"), (None, "0.2")])
def test_a_model_without_replica_is_started_and_waited_for_no_longer_than_configured(
    deadline_s: float | None, waited: str
) -> None:
    submitted = Submitted(answers, view=View(), warm=never)
    with pytest.raises(UnavailableError, match=f"not there after {waited} s"):
        submitted.run(deadline_s=deadline_s)
    assert (submitted.handle.warmed, submitted.handle.asks) == (1, [])


def test_a_model_without_replica_answers_once_it_is_there() -> None:
    submitted = Submitted(answers, view=View())
    assert submitted.run() == [RESULT]
    assert submitted.handle.warmed == 1


def test_what_waits_for_a_model_is_bounded() -> None:
    submitted = Submitted(answers)
    with submitted.served.waiting(90), pytest.raises(OverloadedError, match="90 tokens wait for mine"):
        submitted.run(records=3)
    assert submitted.run() == [RESULT]


def test_a_server_is_ready_when_the_board_and_every_lasting_model_are_there() -> None:
    async def is_ready(view: View, *, is_lasting: bool) -> bool:
        submitted = Submitted(answers, view=view)
        submitted.served.is_lasting = is_lasting
        assert not submitted.queue.ready()
        await submitted.queue.start()
        await asyncio.sleep(0.01)
        ready = submitted.queue.ready()
        await submitted.queue.drain(1)
        assert not submitted.queue.ready()
        await submitted.queue.close()
        return ready

    assert asyncio.run(is_ready(READY, is_lasting=True))
    assert asyncio.run(is_ready(View(), is_lasting=False))
    assert not asyncio.run(is_ready(View(), is_lasting=True))


def test_the_application_has_a_deployment_per_model_and_one_for_those_that_share() -> None:
    settings = ServerSettings(models=("esm2-mini",), ray_shared=("ESM2-mini",), ray_replicas=("shared=0-2",))
    app = application(settings, Settings.from_env({"ESMKIT_OFFLINE": "1"}))
    assert app._bound_deployment.name == "ingress"
    handles = app._bound_deployment.init_args[2]
    assert [(slug, each._bound_deployment.name) for slug, each in handles.items()] == [("esm2-mini", "shared")]
    with pytest.raises(InvalidConfigError, match="ray_shared='other' is not served; choose from esm2-mini"):
        application(ServerSettings(ray_shared=("other",)), Settings.from_env({"ESMKIT_OFFLINE": "1"}))


def test_the_application_for_tools_of_ray_takes_settings_and_asks_for_keys() -> None:
    app = build({"models": ["esm2-mini"], "ray_ingress": 2})
    settings = app._bound_deployment.init_args[0]
    assert (app._bound_deployment.num_replicas, settings.asks_for_keys) == (2, True)
    with pytest.raises(InvalidConfigError, match="ray-ingress must be at least 1"):
        build({"ray_ingress": 0})


def test_what_the_least_replicas_take_is_known_before_they_are_started() -> None:
    home = Settings.from_env({"ESMKIT_OFFLINE": "1"})
    settings = ServerSettings(ray_replicas=("2-4",), ray_cpus=("1.5", "ingress=0.5"), ray_gpus=("0.25",), ray_ingress=2)
    assert least_resources(settings, home) == {"CPU": 4.0, "GPU": 0.5}
    assert least_resources(dataclasses.replace(settings, ray_replicas=("0-4",)), home) == {"CPU": 1.0, "GPU": 0.0}
    shared = dataclasses.replace(settings, ray_shared=("esm2-mini",), ray_replicas=("shared=1-1",))
    assert least_resources(shared, home) == {"CPU": 2.5, "GPU": 0.25}


def test_paths_and_store_are_those_of_who_gives_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(EMBEDDED, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESMKIT_HOME", str(tmp_path / "home"))
    settings = ServerSettings(models=("mine",), predictors=("fitted",), ray_replicas=("mine=0-3",))
    app = application(settings, Settings.from_env({"ESMKIT_OFFLINE": "1"}))
    sent, _, handles, *_ = app._bound_deployment.init_args
    assert (sent.database_url, sent.predictors) == (f"sqlite:///{tmp_path}/home/esmkit.db", (f"{tmp_path}/fitted",))
    (model,) = handles.values()
    assert [spec.name for spec in model._bound_deployment.init_args[0].specs.values()] == [str(tmp_path / "mine")]


def test_an_address_where_no_ray_listens_is_said_at_once() -> None:
    address = f"127.0.0.1:{free_port()}"
    started = time.monotonic()
    with pytest.raises(ClusterError, match=f"no Ray cluster answers at '{address}'"), connect(address):
        pass
    assert time.monotonic() - started < 10
