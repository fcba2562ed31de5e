"""`compare` and `interactions` over HTTP: the numbers of the library, every mistake named, every bound kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esmkit.applications import comparison, interactions
from esmkit.applications.comparison import view
from esmkit.engine import Model, load
from tests.server_stand_in import SLUG, Api

A, B, C = "MKTAYIAKQRQISFVKSHFSRQ", "MKTAYIARQRQISFVKSHFARQLEE", "GSHMLEDPVAG"


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture(scope="module")
def api(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(model, tmp_path_factory.mktemp("store"), max_residues=64) as running:
        yield running


def asked(api: Api, action: str, *pairs: tuple[str, str], **params: Any) -> Any:
    items = [{"a": a, "b": b} for a, b in pairs]
    return api.post(f"/api/v3/{SLUG}/{action}/", json={"items": items, "params": params})


def results(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


@pytest.mark.parametrize("params", [{"shuffles": 3, "seed": 5}, {"mode": "global", "shuffles": 0, "layer": 2}])
def test_comparisons_are_those_of_the_library(api: Api, model: Model, params: dict[str, Any]) -> None:
    pairs = [(A, B), (A, C)]
    found = results(asked(api, "compare", *pairs, **params))
    for entry, (a, b) in zip(found, pairs, strict=True):
        wanted = view.facts(comparison.compare(model, a, b, comparison.Settings(**params)))
        assert entry["pairs"] == wanted["pairs"]
        assert entry["identity"] == wanted["identity"]
        for name in ("score", "z_score", "shuffled_scores", "mean_cosine", "mean_similarity"):
            assert entry[name] == pytest.approx(wanted[name], abs=1e-4)
        assert len(entry["stretches"]) == len(wanted["stretches"])
        for stretch, other in zip(entry["stretches"], wanted["stretches"], strict=True):
            assert stretch == pytest.approx(other, abs=1e-4)
    assert found[0]["stretches"]
    assert (found[0]["z_score"] is None) == (params["shuffles"] == 0)


def test_two_proteins_with_nothing_in_common_have_no_pairs(api: Api) -> None:
    (entry,) = results(asked(api, "compare", (A, C), background=100, shuffles=2))
    assert entry["pairs"] == entry["stretches"] == []
    assert entry["mean_cosine"] is None
    assert entry["z_score"] is None


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"gap_open": 1.0, "gap_extend": 2.0}, "params__gap_extend"),
        ({"shuffles": 1}, "params__shuffles"),
        ({"shuffles": 101}, "params__shuffles"),
        ({"mode": "semi"}, "params__mode"),
        ({"long": "truncate"}, "params__long"),
    ],
)
def test_wrong_settings_of_a_comparison_are_named(api: Api, params: dict[str, Any], field: str) -> None:
    answer = asked(api, "compare", (A, B), **params)
    assert answer.status_code == 400
    assert list(answer.json()["error"]) == [field]


def test_a_layer_that_the_model_lacks_is_refused(api: Api) -> None:
    answer = asked(api, "compare", (A, B), layer=99)
    assert answer.status_code == 400
    assert "99" in answer.text


def test_work_of_comparisons_is_bounded(model: Model, tmp_path: Path) -> None:
    with Api(model, tmp_path, max_residues=4096) as wide:
        answer = asked(wide, "compare", ("A" * 2049, "A" * 2048))
        assert answer.status_code == 400
        assert "2049 x 2048 residues" in str(answer.json()["error"]["items__0"])
        answer = asked(wide, "compare", *[("A" * 1000, "A" * 1000)] * 8, shuffles=20)
        assert answer.status_code == 400
        assert "fewer shuffles" in str(answer.json()["error"]["params__shuffles"])


def test_contacts_are_those_of_the_library(api: Api, model: Model) -> None:
    pairs = [(A, B), (A, C)]
    threshold = 0.05
    found = results(asked(api, "interactions", *pairs, threshold=threshold, linker=5, maps=True))
    for entry, (a, b) in zip(found, pairs, strict=True):
        wanted = interactions.contacts(model, a, b, linker=5)
        assert (entry["length_a"], entry["length_b"]) == (len(a), len(b)) == wanted.ab.shape
        np.testing.assert_allclose(entry["contacts_ab"], wanted.ab, atol=1e-5)
        assert entry["highest_probability"] == pytest.approx(wanted.best.probability, abs=1e-5)
        touching = [(each.chain, each.position, each.residue) for each in wanted.interface(threshold)]
        assert [(each["chain"], each["position"], each["residue"]) for each in entry["interface"]] == touching
        over = {(i + 1, j + 1) for i, j in np.argwhere(wanted.ab >= threshold).tolist()}
        assert {(i, j) for i, j, _ in entry["contacts"]} == over
        probabilities = [each for _, _, each in entry["contacts"]]
        assert probabilities == sorted(probabilities, reverse=True)
        best = entry["best"]
        assert entry["contacts"][0] == [best["position"], best["partner_position"], best["probability"]]
    assert found[0]["interface"]


def test_maps_come_only_when_asked_for(api: Api) -> None:
    (entry,) = results(asked(api, "interactions", (A, C), threshold=1))
    assert "contacts_ab" not in entry
    assert entry["contacts"] == entry["interface"] == []


def test_the_most_probable_contacts_come_where_there_are_too_many(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esmkit.server.actions.interacting.MAX_CONTACTS", 3)
    (entry,) = results(asked(api, "interactions", (A, C), threshold=0, maps=True))
    highest = np.sort(np.array(entry["contacts_ab"]).ravel())[::-1][:3]
    assert [each for _, _, each in entry["contacts"]] == pytest.approx(highest.tolist())


def test_a_pair_that_is_too_long_with_its_linker_is_named(api: Api) -> None:
    answer = asked(api, "interactions", (A, C), (A, "A" * 20), linker=23)
    assert answer.status_code == 400
    assert answer.json()["error"] == {"items__1": ["65 residues with linker, at most 64 are allowed"]}


@pytest.mark.parametrize("action", ["compare", "interactions"])
def test_every_wrong_protein_is_named(api: Api, action: str) -> None:
    answer = asked(api, action, ("MK1", A), (A, ""), ("A" * 65, C))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"items__0__a", "items__1__b", "items__2__a"}
    assert "position 3: '1'" in str(error["items__0__a"])
    assert "sequence" not in asked(api, action, (A, "A>B")).json()["error"]


@pytest.mark.parametrize("action", ["compare", "interactions"])
def test_pairs_are_documented_and_missing_ones_refused(api: Api, action: str) -> None:
    item = api.get(f"/api/v3/schema/{SLUG}/{action}/").json()["properties"]["items"]["items"]
    assert item["required"] == ["a", "b"]
    assert item["properties"]["b"]["description"].startswith("The second")
    answer = api.post(f"/api/v3/{SLUG}/{action}/", json={"items": [{"a": A}]})
    assert answer.status_code == 400
    assert "items__0__b" in answer.json()["error"]
    assert api.post(f"/api/v2/{SLUG}/{action}/", json={}).status_code == 404
