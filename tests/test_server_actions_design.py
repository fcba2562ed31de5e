"""`design` over HTTP: the proposals of the library, constraints kept, every mistake named, every bound kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esmkit.applications.design import (
    Likelihood,
    Objective,
    PredictedProperty,
    Space,
    Strategy,
    Weighted,
    propose,
)
from esmkit.applications.predictors import Predictor, read_predictor
from esmkit.engine import Model, load
from esmkit.server.actions import designing
from tests.server_stand_in import SLUG, Api
from tests.test_server_actions import TASKS, write_predictor

PARENT = "MKTAYIAKQRQISFVKSHFSRQ"
URL = f"/api/v3/{SLUG}/design/"


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture(scope="module")
def folders(model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("predictors")
    return {name: write_predictor(parent / name, model, task) for name, task in TASKS.items()}


@pytest.fixture(scope="module")
def api(folders: dict[str, Path], model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    served = tuple(map(str, folders.values()))
    with Api(model, tmp_path_factory.mktemp("store"), predictors=served) as running:
        yield running


def asked(api: Api, *items: dict[str, Any], **params: Any) -> Any:
    return api.post(URL, json={"items": [{"sequence": PARENT, **item} for item in items], "params": params})


def proposals(answer: Any) -> list[list[dict[str, Any]]]:
    assert answer.status_code == 200, answer.text
    return [entry["proposals"] for entry in answer.json()["results"]]


def expect_equal(found: list[dict[str, Any]], wanted: Any) -> None:
    assert [each["mutant"] for each in found] == [each.mutant for each in wanted]
    for each, other in zip(found, wanted, strict=True):
        assert each["sequence"] == other.sequence
        assert each["objective"] == pytest.approx(other.objective, abs=1e-4)
        assert each["effects"] == pytest.approx(dict(other.effects), abs=1e-4)
        assert each["terms"] == pytest.approx(dict(other.terms), abs=1e-4)
        assert (each["nearest"], each["found"]) == (other.nearest, other.found)


def test_proposals_are_those_of_the_library(api: Api, model: Model) -> None:
    item = {"positions": [24, 26, 28, 30], "offset": 23, "fixed": [28], "allowed": "AKRG", "fewest": 2, "most": 2}
    at = [{"position": 26, "residues": "LV"}]
    (found,) = proposals(asked(api, {**item, "allowed_at": at}, width=3, proposals=4, min_distance=2))
    space = Space.of(
        PARENT,
        positions=[24, 26, 28, 30],
        fixed=[28],
        allowed="AKRG",
        allowed_at={26: "LV"},
        mutations=(2, 2),
        offset=23,
    )
    objective = Objective(PARENT, [Weighted(Likelihood(model), 1.0)])
    wanted = propose(objective, space, Strategy("beam", width=3), proposals=4, min_distance=2, offset=23)
    expect_equal(found, wanted)
    assert found
    assert all(space.holds(each["sequence"]) for each in found)


@pytest.mark.parametrize("strategy", ["greedy", "gibbs", "anneal"])
@pytest.mark.parametrize("method", ["wt_marginal", "one_pass_pll"])
def test_every_strategy_gives_what_the_library_gives(api: Api, model: Model, strategy: Any, method: Any) -> None:
    item = {"positions": [2, 5, 9], "allowed": "ACD", "most": 2}
    params = {"strategy": strategy, "chains": 2, "steps": 4, "seed": 3}
    (found,) = proposals(asked(api, item, **params, method=method, proposals=3))
    space = Space.of(PARENT, positions=[2, 5, 9], allowed="ACD", mutations=(1, 2))
    objective = Objective(PARENT, [Weighted(Likelihood(model, method), 1.0)])
    wanted = propose(objective, space, Strategy(strategy, width=5, chains=2, steps=4, seed=3), proposals=3)
    expect_equal(found, wanted)


@pytest.mark.parametrize(("name", "wanted_class"), [("stability", None), ("place", "membrane")])
def test_a_served_predictor_can_be_the_objective(
    api: Api, folders: dict[str, Path], name: str, wanted_class: str | None
) -> None:
    item = {"positions": [2, 5, 9], "allowed": "ACD", "most": 2}
    params = {"predictor": name, "predictor_class": wanted_class, "predictor_weight": -2.0, "model_weight": 0.1}
    (found,) = proposals(asked(api, item, **params, proposals=2))
    predictor = Predictor(read_predictor(folders[name]), load(SLUG))
    terms = [
        Weighted(Likelihood(load(SLUG)), 0.1),
        Weighted(PredictedProperty(predictor, wanted_class), -2.0),
    ]
    space = Space.of(PARENT, positions=[2, 5, 9], allowed="ACD", mutations=(1, 2))
    expect_equal(found, propose(Objective(PARENT, terms), space, Strategy(width=5), proposals=2))


def test_parents_are_designed_each_by_its_own_constraints(api: Api) -> None:
    found = proposals(asked(api, {"positions": [3]}, {"positions": [7]}, proposals=2))
    assert [[each["mutant"][:2] for each in group] for group in found] == [["T3", "T3"], ["A7", "A7"]]


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"sequence": "MKX"}, "sequence"),
        ({"sequence": "MK1"}, "sequence"),
        ({"positions": [23]}, "positions"),
        ({"positions": []}, "positions"),
        ({"allowed": "AZ"}, "allowed"),
        ({"positions": [2], "allowed_at": [{"position": 3, "residues": "A"}]}, "allowed_at"),
        ({"fewest": 3, "most": 2}, "fewest"),
        ({"positions": [2], "fewest": 2}, "fewest"),
        ({"most": 51}, "most"),
    ],
)
def test_wrong_constraints_are_named(api: Api, item: dict[str, Any], field: str) -> None:
    answer = asked(api, {"positions": [2]}, item)
    assert answer.status_code == 400
    assert list(answer.json()["error"]) == [f"items__1__{field}"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"predictor": "colour"}, "params__predictor"),
        ({"predictor": "helix"}, "params__predictor"),
        ({"predictor": "place"}, "params__predictor_class"),
        ({"predictor_class": "membrane"}, "params__predictor_class"),
        ({"model_weight": 0}, "params__model_weight"),
        ({"predictor": "stability", "predictor_weight": 0}, "params__model_weight"),
        ({"temperature": 0}, "params__temperature"),
        ({"method": "pseudo_log_likelihood"}, "params__method"),
        ({"proposals": 101}, "params__proposals"),
    ],
)
def test_wrong_wishes_are_named(api: Api, params: dict[str, Any], field: str) -> None:
    answer = asked(api, {"positions": [2, 4], "most": 1}, **params)
    assert answer.status_code == 400
    assert list(answer.json()["error"]) == [field]


@pytest.mark.parametrize(
    "params",
    [
        {"strategy": "beam", "width": 1000},
        {"strategy": "gibbs", "chains": 100, "steps": 100},
        {"strategy": "anneal", "chains": 1000, "steps": 200},
        {"method": "mutant_marginal", "width": 200},
        {"predictor": "stability", "width": 200},
    ],
)
def test_a_search_that_is_too_large_is_refused_before_it_starts(api: Api, params: dict[str, Any]) -> None:
    answer = asked(api, {}, **params)
    assert answer.status_code == 400
    assert "allow fewer positions" in str(answer.json()["error"]["params__strategy"])


@pytest.mark.parametrize("strategy", ["greedy", "beam", "gibbs", "anneal"])
def test_no_search_scores_more_than_it_was_counted_for(model: Model, strategy: Any) -> None:
    params = designing.DesignParams(strategy=strategy, width=3, chains=3, steps=20, proposals=5)
    space = Space.of(PARENT, positions=[2, 3, 4, 5], mutations=(1, 3))
    scored: list[str] = []
    objective = Objective(
        PARENT, [Weighted(Likelihood(model, "one_pass_pll"), 1.0)], on_scored=lambda _, each, __: scored.append(each)
    )
    propose(objective, space, Strategy(strategy, width=3, chains=3, steps=20), proposals=5)
    assert 20 < len(scored) - len([PARENT]) <= designing._scored(space, params)


def test_designs_are_documented_and_only_in_v3(api: Api) -> None:
    schema = api.get(f"/api/v3/schema/{SLUG}/design/").json()
    assert schema["properties"]["items"]["items"]["required"] == ["sequence"]
    assert api.post(f"/api/v2/{SLUG}/design/", json={}).status_code == 404
