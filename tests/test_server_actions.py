"""Actions of esmkit's own over HTTP: the numbers of the library, through the queue, every mistake named."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from esmkit.applications.predictors import Base, Card, Predictor, Task, read_predictor
from esmkit.applications.predictors.network import Head, Network
from esmkit.batching import LengthPolicy
from esmkit.engine import Model, load
from esmkit.errors import InvalidConfigError, InvalidSequenceError
from esmkit.outputs import OutputOptions, build
from esmkit.server.actions import queued
from esmkit.server.actions.queued import QueuedEngine
from esmkit.types import Failure, Record, Result
from tests.server_stand_in import SLUG, Api, EngineQueue

SEQUENCES = ["MKTAYIAKQRQISFVKSHFSRQ", "GSHMLEDPVAG"]
URL = f"/api/v3/{SLUG}/property/"
TASKS = {
    "stability": Task("regression", "sequence", "ddg"),
    "place": Task("classification", "sequence", "place", ("cytoplasm", "membrane")),
    "helix": Task("classification", "residue", "state", ("H", "C", "E")),
}


def write_predictor(folder: Path, model: Model, task: Task, *, changes: Any = None, sha256: str | None = None) -> Path:
    """One with random weights."""
    torch.manual_seed(1)
    folder.mkdir()
    settings = {"hidden": 0, "adapter": {"kind": "none", "rank": 1, "alpha": 1.0}}
    base = Base(SLUG, "embedded", sha256 or model.provenance["weights_sha256"])
    pooling: Any = "mean" if task.level == "sequence" else "none"
    Card("network", task, base, (model.shape.num_layers,), pooling, settings).write(folder)
    Network(Head(model.width, 0, task.num_outputs), task, changes).write(folder)
    return folder


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture(scope="module")
def folders(model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("predictors")
    return {name: write_predictor(parent / name, model, task) for name, task in TASKS.items()}


@pytest.fixture(scope="module")
def api(model: Model, folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    served = tuple(map(str, folders.values()))
    with Api(model, tmp_path_factory.mktemp("store"), predictors=served, max_residues=64) as running:
        yield running


def asked(api: Api, *sequences: str, **params: Any) -> Any:
    return api.post(URL, json={"items": [{"sequence": each} for each in sequences], "params": params})


@pytest.mark.parametrize("name", list(TASKS))
def test_predictions_are_those_of_the_library(api: Api, folders: dict[str, Path], name: str) -> None:
    answer = asked(api, *SEQUENCES, predictor=name)
    assert answer.status_code == 200, answer.text
    library = Predictor(read_predictor(folders[name]), load(SLUG)).run(SEQUENCES)
    assert len(answer.json()["results"]) == len(library) == 2
    for entry, result in zip(answer.json()["results"], library, strict=True):
        if TASKS[name].kind == "regression":
            assert entry["prediction"] == pytest.approx(result.arrays["prediction"], abs=1e-5)
        else:
            assert entry["prediction"] == result.arrays["prediction"]
        if name == "place":
            wanted = {each: result.arrays[f"probability_{each}"] for each in TASKS[name].classes}
            assert entry["probabilities"] == pytest.approx(wanted, abs=1e-5)
        if name == "helix":
            np.testing.assert_allclose(entry["probabilities"], result.arrays["probabilities"], atol=1e-5)
            assert entry["classes"] == ["H", "C", "E"]


def test_probabilities_and_provenance_come_when_asked_for(api: Api, model: Model) -> None:
    plain = asked(api, SEQUENCES[0], predictor="place", probabilities=False).json()
    assert set(plain) == {"results"}
    assert set(plain["results"][0]) == {"prediction"}
    told = asked(api, SEQUENCES[0], predictor="place", provenance=True).json()
    assert told["esmkit"]["weights_sha256"] == model.provenance["weights_sha256"]


def test_every_wrong_sequence_is_named(api: Api) -> None:
    answer = asked(api, "MK1", SEQUENCES[0], "", "A" * 65, predictor="stability")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"items__0__sequence", "items__2__sequence", "items__3__sequence"}
    assert "position 3: '1'" in str(error["items__0__sequence"])
    assert "65 residues, at most 64" in str(error["items__3__sequence"])


def test_an_unknown_predictor_is_refused_with_the_choices(api: Api) -> None:
    answer = asked(api, SEQUENCES[0], predictor="colour")
    assert answer.status_code == 400
    assert "choose from stability, place, helix" in answer.text
    assert "predictor" in asked(api, SEQUENCES[0]).text


def test_without_predictors_the_action_is_not_offered(model: Model, tmp_path: Path) -> None:
    with Api(model, tmp_path) as bare:
        assert asked(bare, SEQUENCES[0], predictor="stability").status_code == 404
        assert f"/api/v3/{SLUG}/property" not in bare.get("/openapi.json").json()["paths"]


def test_a_predictor_of_another_model_says_so(model: Model, tmp_path: Path) -> None:
    folder = write_predictor(tmp_path / "other", model, TASKS["stability"], sha256="0" * 64)
    with Api(model, tmp_path, predictors=(str(folder),)) as running:
        answer = asked(running, SEQUENCES[0], predictor="other")
        assert answer.status_code == 400
        assert "was trained on" in answer.text


def test_a_predictor_that_changes_weights_is_not_served(model: Model, tmp_path: Path) -> None:
    changes = {"blocks.0.attention.qkv.weight": (torch.zeros(1, model.width), torch.zeros(3 * model.width, 1))}
    folder = write_predictor(tmp_path / "lora", model, TASKS["stability"], changes=changes)
    with pytest.raises(InvalidConfigError, match="changes the weights"):
        Api(model, tmp_path, predictors=(str(folder),))


def test_actions_are_documented_and_only_in_v3(api: Api) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    assert f"/api/v3/{SLUG}/property" in paths
    assert f"/api/v2/{SLUG}/property" not in paths
    schema = api.get(f"/api/v3/schema/{SLUG}/property/").json()
    assert schema["properties"]["items"]["maxItems"] == 8
    assert api.post(f"/api/v2/{SLUG}/property/", json={}).status_code == 404


def test_a_client_that_leaves_takes_its_work_back(api: Api) -> None:
    async def leave() -> None:
        api.queue.gate.clear()
        before = api.queue.cancelled
        async with api.client() as client:
            body = {"items": [{"sequence": SEQUENCES[0]}], "params": {"predictor": "stability"}}
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.post(URL, json=body), 0.3)
        api.queue.gate.set()
        assert api.queue.cancelled == before + 1

    api.loop.run(leave())


def through_queue(model: Model, records: list[Record | Failure], **options: Any) -> list[Result | Failure]:
    """What an engine over a queue gives."""

    async def run() -> list[Result | Failure]:
        queue = EngineQueue(model)

        def submit(*given: Any, **more: Any) -> Any:
            return queue.submit(SLUG, *given, **more)

        engine = QueuedEngine(submit, model.shape, model.provenance, asyncio.get_running_loop())
        outputs = build(["mean"], model.shape, OutputOptions())
        return await asyncio.to_thread(
            lambda: list(engine.run(records, outputs, length=LengthPolicy("error", 64), **options))
        )

    return asyncio.run(run())


def test_a_queued_engine_gives_what_an_engine_gives(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queued, "AT_ONCE_TOKENS", 40)
    records = [Record(index, f"r{index}", sequence) for index, sequence in enumerate(SEQUENCES * 3)]
    told: list[int] = []
    found = through_queue(model, [*records], on_progress=told.append)
    assert [result.id for result in found] == [record.id for record in records]
    for result, record in zip(found, records, strict=True):
        assert isinstance(result, Result)
        np.testing.assert_allclose(
            result.arrays[f"mean_{model.shape.num_layers}"], model.embed(record.sequence), atol=1e-5
        )
    assert sum(told) == sum(len(record.sequence) + 2 for record in records)
    assert len(told) > 2


def test_a_queued_engine_stops_at_a_failure_or_skips_it(model: Model) -> None:
    records = [Record(0, "good", "MKT"), Record(1, "bad", "MK1"), Record(2, "fine", "GSH")]
    with pytest.raises(InvalidSequenceError, match="bad"):
        through_queue(model, [*records])
    found = through_queue(model, [*records], on_error="skip")
    assert [type(each) for each in found] == [Result, Failure, Result]
