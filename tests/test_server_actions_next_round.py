"""`next_round` over HTTP: the plate of the library, every mistake named, every bound kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from esmkit.applications.design import Featurizer, Measured, Policy, Space, next_plate, offspring
from esmkit.applications.mutations.variants import describe, parse
from esmkit.engine import Model, load
from tests.server_stand_in import SLUG, Api

pytest.importorskip("sklearn")

PARENT = "MKTAYIAKQRQISFVKSHFSRQ"
LABELS = {"WT": 1.0, "A27G": 1.4, "A27K": 0.3, "K31R": 1.7, "K31E": 0.2, "A27G:K31E": 0.5}
URL = f"/api/v3/{SLUG}/next_round/"


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture(scope="module")
def api(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(model, tmp_path_factory.mktemp("store")) as running:
        yield running


def item(**changes: Any) -> dict[str, Any]:
    measured = [{"variant": variant, "value": value} for variant, value in LABELS.items()]
    return {"sequence": PARENT, "offset": 23, "measured": measured, "positions": [27, 31], **changes}


def asked(api: Api, *items: dict[str, Any], **params: Any) -> Any:
    return api.post(URL, json={"items": items, "params": params})


def expect_plate(entry: dict[str, Any], wanted: Any) -> None:
    found = entry["suggestions"]
    assert entry["candidates"] == wanted.candidates
    assert entry["measured"] == len(LABELS)
    assert entry["spearman"] == pytest.approx(wanted.ensemble.spearman)
    assert [each["sequence"] for each in found] == [each.sequence for each in wanted.suggestions]
    for each, other in zip(found, wanted.suggestions, strict=True):
        assert each["mutant"] == describe(PARENT, other.sequence, offset=23)
        assert each["measured"] == describe(PARENT, other.measured, offset=23)
        assert each["predicted_mean"] == pytest.approx(other.mean, abs=1e-3)
        assert each["predicted_sd"] == pytest.approx(other.sd, abs=1e-3)
        for name in ("rank_by_mean", "rank_by_sd", "nearest", "measured_distance", "measured_value"):
            assert each[name] == getattr(other, name)


def measured() -> Measured:
    return Measured.of((parse(text, PARENT, offset=23), value) for text, value in LABELS.items())


@pytest.mark.parametrize("features", ["both", "residues"])
def test_a_plate_of_combinations_is_that_of_the_library(api: Api, model: Model, features: str) -> None:
    params = {"features": features, "max_candidates": 40, "plate": 6, "goal": "min", "seed": 3, "members": 8}
    answer = asked(api, item(allowed="ACDEGR"), **params)
    assert answer.status_code == 200, answer.text
    space = Space.of(PARENT, positions=[27, 31], allowed="ACDEGR", mutations=(1, 50), offset=23)
    candidates = space.sample(40, np.random.default_rng([3, 1]))
    featurize = Featurizer([model] if features == "both" else [])
    policy = Policy(goal="min", seed=3, members=8)
    expect_plate(answer.json()["results"][0], next_plate(measured(), candidates, featurize, policy, wells=6))


def test_a_plate_of_offspring_is_that_of_the_library(api: Api) -> None:
    params = {"features": "residues", "generate": "offspring", "parents": 3, "max_candidates": 30, "plate": 4}
    answer = asked(api, item(positions=None), **params)
    assert answer.status_code == 200, answer.text
    known = measured()
    space = Space.of(PARENT, mutations=(1, 50), offset=23)
    best = [known.sequences[at] for at in np.argsort(-known.values, kind="stable")[:3]]
    candidates = offspring(space, best, 30, np.random.default_rng([0, 1]))
    expect_plate(answer.json()["results"][0], next_plate(known, candidates, Featurizer(), Policy(), wells=4))


def test_listed_candidates_are_chosen_from(api: Api) -> None:
    candidates = ["A27G:K31R", "T26S", "K31R"]
    answer = asked(api, item(candidates=candidates), features="embeddings", plate=10)
    assert answer.status_code == 200, answer.text
    (entry,) = answer.json()["results"]
    assert {each["mutant"] for each in entry["suggestions"]} == {"A27G:K31R", "T26S"}  # the third was measured


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sequence": "MKX"}, "sequence"),
        ({"positions": None}, "positions"),
        ({"positions": [1]}, "positions"),
        ({"candidates": ["A27G", "G27A"]}, "candidates__1"),
        ({"candidates": ["A27del"]}, "candidates__0"),
        ({"measured": [{"variant": "A1G", "value": 1.0}]}, "measured__0__variant"),
        ({"measured": [{"variant": "A27G", "value": 1.0}]}, "measured"),
        ({"measured": [{"variant": "A27G", "value": "high"}]}, "measured__0__value"),
        ({"measured": []}, "measured"),
    ],
)
def test_what_is_wrong_with_a_round_is_named(api: Api, changes: dict[str, Any], field: str) -> None:
    answer = asked(api, item(), item(**changes))
    assert answer.status_code == 400
    assert list(answer.json()["error"]) == [f"items__1__{field}"]


def test_rounds_are_bounded(api: Api) -> None:
    long = {"sequence": "A" * 2000, "positions": [1, 2, 3], "offset": 0}
    rows = [{"variant": f"A{at}G", "value": float(at)} for at in range(1, 7)]
    answer = asked(api, item(**long, measured=rows))
    assert "at most 262,144" in str(answer.json()["error"]["params__max_candidates"])
    many = [{"variant": "A27G", "value": float(at)} for at in range(300)]
    answer = asked(api, item(measured=many), item(measured=many))
    assert answer.status_code == 400
    assert "more than 384" in str(answer.json()["error"])


def test_nothing_left_to_choose_is_said(api: Api) -> None:
    answer = asked(api, item(candidates=["A27G"]), features="residues")
    assert answer.status_code == 400
    assert "every candidate was measured" in answer.text
