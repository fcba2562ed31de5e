"""Maps, clusters and fits over HTTP: the numbers of the library on many proteins at once, bounded, and named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from esmkit.applications.fitting import FitOptions, fit, fit_data
from esmkit.applications.labelled import LabelledRows
from esmkit.applications.maps import hdbscan, leiden, pca, umap
from esmkit.applications.predictors import Task
from esmkit.applications.vectors import vectors
from esmkit.engine import Model, load
from esmkit.inputs import from_sequences
from esmkit.server.actions import fitting
from tests.labelled import proteins, share_of
from tests.server_stand_in import SLUG, Api

SEQUENCES = proteins(30, seed=3) + proteins(30, seed=4, letters="ACDEFG")
LABELS = [share_of("AC", each) for each in SEQUENCES]


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture(scope="module")
def api(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(model, tmp_path_factory.mktemp("store"), max_residues=200) as running:
        yield running


def embedded(model: Model, sequences: list[str], **options: Any) -> Any:
    return vectors(model, list(from_sequences(sequences)), **options)[:, 0]


def asked(api: Api, action: str, items: list[Any], **params: Any) -> Any:
    given = [{"sequence": each} if isinstance(each, str) else each for each in items]
    return api.post(f"/api/v3/{SLUG}/{action}/", json={"items": given, "params": params})


def labelled(labels: list[Any], unknown: int = 0) -> list[dict[str, Any]]:
    """Items of which the last have no label."""
    items = [{"sequence": each, "label": label} for each, label in zip(SEQUENCES, labels, strict=True)]
    return [*items, *({"sequence": each} for each in proteins(unknown, seed=9, letters="ACDEFG"))]


def test_a_map_is_that_of_the_library(api: Api, model: Model) -> None:
    answer = asked(api, "map", SEQUENCES, components=3, layer=4, pool="max")
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["results"]
    wanted = pca(embedded(model, SEQUENCES, layers=[4], pooling="max"), 3)
    np.testing.assert_allclose(found["coordinates"], wanted.coordinates, atol=1e-4)
    np.testing.assert_allclose(found["explained"], wanted.explained, atol=1e-4)
    assert found["axes"] == ["PC1", "PC2", "PC3"]
    assert "nearest" not in found


@pytest.mark.slow  # numba compiles it
@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
def test_a_umap_is_that_of_the_library(api: Api, model: Model) -> None:
    answer = asked(api, "map", SEQUENCES, method="umap", neighbors=6, min_distance=0.3, seed=2)
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["results"]
    wanted = umap(embedded(model, SEQUENCES), neighbors=6, min_distance=0.3, seed=2)
    np.testing.assert_allclose(found["coordinates"], wanted.coordinates, atol=1e-2)
    assert (found["axes"], found["explained"]) == (["UMAP 1", "UMAP 2"], None)


def test_the_nearest_of_each_are_by_the_cosine_of_the_embeddings(api: Api, model: Model) -> None:
    asked_for = [*SEQUENCES, SEQUENCES[5]]
    (found,) = asked(api, "map", asked_for, nearest=4).json()["results"]
    table = embedded(model, asked_for)
    units = table / np.linalg.norm(table, axis=1, keepdims=True)
    cosines = units @ units.T
    for at, near in enumerate(found["nearest"]):
        others = sorted((each for each in range(len(asked_for)) if each != at), key=lambda each: -cosines[at, each])
        wanted = [cosines[at, each] for each in others[:4]]
        assert [each["cosine"] for each in near] == pytest.approx(wanted, abs=1e-5)
        assert at not in {each["item"] for each in near}
        assert [cosines[at, each["item"]] for each in near] == pytest.approx(wanted, abs=1e-5)
    assert found["nearest"][5][0] == {"item": 60, "cosine": pytest.approx(1, abs=1e-6)}
    few = asked(api, "map", SEQUENCES[:3], nearest=50).json()["results"][0]["nearest"]
    assert [len(near) for near in few] == [2, 2, 2]


@pytest.mark.parametrize("method", ["hdbscan", "leiden"])
def test_clusters_are_those_of_the_library(api: Api, model: Model, method: str) -> None:
    answer = asked(api, "cluster", SEQUENCES, method=method, min_size=4, neighbors=6, components=10)
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["results"]
    table = embedded(model, SEQUENCES)
    wanted = (
        hdbscan(table, min_size=4, components=10) if method == "hdbscan" else leiden(table, neighbors=6, components=10)
    )
    assert len(wanted.sizes) > 1
    assert found["clusters"] == wanted.names
    assert (found["sizes"], found["noise"]) == (wanted.sizes, wanted.noise)
    assert sorted(found["representatives"].values()) == np.flatnonzero(wanted.representatives).tolist()
    assert {wanted.names[row] for row in found["representatives"].values()} == set(wanted.sizes)
    if wanted.probabilities is None:
        assert found["probabilities"] is None
    else:
        np.testing.assert_allclose(found["probabilities"], wanted.probabilities, atol=1e-3)


def library_fit(model: Model, labels: list[Any]) -> Any:
    kind: Any = "classification" if isinstance(labels[0], str) else "regression"
    rows = LabelledRows(
        Task(kind, "sequence", "label"),
        list(from_sequences(SEQUENCES)),
        [[str(label)] for label in labels],
        {"train": np.arange(len(labels))},
        named=False,
    )
    estimator: Any = "ridge" if kind == "regression" else "logistic"
    return fit(model, fit_data(rows), FitOptions(estimator, (-1,)))


def test_a_fit_to_numbers_is_that_of_the_library(api: Api, model: Model) -> None:
    answer = asked(api, "fit", labelled(LABELS, unknown=4))
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["results"]
    wanted = library_fit(model, LABELS)
    tested = wanted.card.metrics["test"]
    assert (found["task"], found["estimator"], found["train"], found["test"]) == ("regression", "ridge", 48, 12)
    assert found["settings"] == {"alpha": wanted.chosen.candidate.value}
    assert found["scores"] == pytest.approx({name: tested[name] for name in found["scores"]}, abs=1e-3)
    assert found["scores"]["spearman"] > 0.5
    for name, (low, high) in tested["intervals"].items():
        assert found["intervals"][name] == pytest.approx([low, high], abs=1e-3)
    of_test = {each["item"]: each["prediction"] for each in found["tested"]}
    assert len(of_test) == 12
    assert [LABELS[item] for item in of_test] == pytest.approx(wanted.answered.targets.tolist())
    np.testing.assert_allclose(list(of_test.values()), wanted.answered.answers[:, 0], atol=1e-3)
    unseen = proteins(4, seed=9, letters="ACDEFG")
    assert [each["item"] for each in found["predictions"]] == [60, 61, 62, 63]
    predicted = [each["prediction"] for each in found["predictions"]]
    np.testing.assert_allclose(predicted, wanted.estimator.answers(embedded(model, unseen))[:, 0], atol=1e-3)


def test_a_fit_to_names_gives_probabilities(api: Api, model: Model) -> None:
    names = ["many" if label > np.median(LABELS) else "few" for label in LABELS]
    answer = asked(api, "fit", labelled(names, unknown=2))
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["results"]
    wanted = library_fit(model, names)
    assert (found["task"], found["estimator"]) == ("classification", "logistic")
    shares = wanted.estimator.answers(embedded(model, proteins(2, seed=9, letters="ACDEFG")))
    for each, row in zip(found["predictions"], shares.tolist(), strict=True):
        assert each["probabilities"] == pytest.approx(dict(zip(["few", "many"], row, strict=True)), abs=1e-3)
        assert each["probabilities"][each["prediction"]] == max(each["probabilities"].values())


def test_labels_of_no_use_are_named(api: Api) -> None:
    mixed = asked(api, "fit", labelled([*LABELS[:-1], "many"]))
    assert "all numbers, or all names" in mixed.json()["error"]["items__59__label"][0]
    few = asked(api, "fit", labelled([*LABELS[:19], *[None] * 41]))
    assert "19 items have a label, 20 or more" in few.json()["error"]["items"][0]
    many = asked(api, "fit", labelled([f"class {at % 6}" for at in range(60)]))
    assert "6 classes, at most 5" in many.json()["error"]["items"][0]
    same = asked(api, "fit", labelled([1.0] * 60))
    assert same.status_code == 400
    assert "nothing to learn" in same.text


def test_a_fit_is_bounded_by_the_width_of_the_model(api: Api, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "MOST_NUMBERS", 50 * model.width)
    answer = asked(api, "fit", labelled(LABELS))
    assert answer.status_code == 400
    assert "60 items have a label; with this model at most 50 may" in answer.json()["error"]["items"][0]


@pytest.mark.parametrize("action", ["map", "cluster", "fit"])
def test_items_are_bounded_on_their_own(api: Api, action: str) -> None:
    path = api.get("/openapi.json").json()["paths"][f"/api/v3/{SLUG}/{action}"]
    schema = path["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["items"]["maxItems"] == 2000
    assert asked(api, action, ["MKT"] * 2001).status_code == 400
    two = asked(api, action, ["MKT", "GSH"])
    assert "2 proteins are too few" in two.json()["error"]["items"][0]
    wrong = asked(api, action, [*labelled(LABELS)[:30], {"sequence": "MK1"}])
    assert set(wrong.json()["error"]) == {"items__30__sequence"}


@pytest.mark.parametrize(
    ("action", "params", "field"),
    [
        ("map", {"components": 51}, "components"),
        ("map", {"components": 3, "method": "umap"}, "components"),
        ("map", {"method": "tsne"}, "method"),
        ("map", {"min_distance": 1}, "min_distance"),
        ("map", {"nearest": 51}, "nearest"),
        ("map", {"pool": "none"}, "pool"),
        ("map", {"layer": 1001}, "layer"),
        ("cluster", {"min_size": 61}, "min_size"),
        ("cluster", {"min_samples": 61}, "min_samples"),
        ("cluster", {"method": "kmeans"}, "method"),
        ("cluster", {"resolution": 0}, "resolution"),
        ("fit", {"seed": -1}, "seed"),
    ],
)
def test_wrong_parameters_are_named(api: Api, action: str, params: dict[str, Any], field: str) -> None:
    answer = asked(api, action, SEQUENCES, **params)
    assert answer.status_code == 400
    assert f"params__{field}" in answer.json()["error"]


def test_proteins_that_are_all_the_same_have_no_map(api: Api) -> None:
    answer = asked(api, "map", ["MKTAYIAK"] * 4)
    assert answer.status_code == 400
    assert "same vector" in answer.text
    assert "layer 9 does not exist" in asked(api, "map", SEQUENCES, layer=9).text
