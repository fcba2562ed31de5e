"""Search and annotation over HTTP: what the library finds in an index of the operator, every mistake named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esmkit.applications.search import Annotator, Index, Metadata, Sequences, Space, align, build
from esmkit.applications.search.calibration import CALIBRATION
from esmkit.engine import Model, load
from esmkit.errors import InvalidConfigError, InvalidInputError
from esmkit.server.actions import search
from esmkit.types import Record
from tests.labelled import proteins
from tests.search_indices import MadeUp, clustered, made
from tests.server_stand_in import SLUG, Api

COLUMNS = (Metadata("family", "text"), Metadata("weight", "number"))
QUERIES = proteins(3, seed=8)


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture(scope="module")
def index(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Index:
    cells = [(f"f{at % 3}", str(at)) for at in range(40)]
    records = [Record(at, f"p{at}", each, cells=cells[at]) for at, each in enumerate(proteins(40, seed=2))]
    folder = tmp_path_factory.mktemp("indexes") / "reviewed"
    build(folder, Sequences(model, lambda: records, Space.of(model)), columns=COLUMNS)
    found = Index.open(folder)
    Annotator.of(found, "family")  # measures
    return found


@pytest.fixture(scope="module")
def api(model: Model, index: Index, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    other = made(tmp_path_factory.mktemp("other") / "foreign", MadeUp(clustered(30)))
    served = (str(index.folder), str(other.folder))
    with Api(model, tmp_path_factory.mktemp("store"), indexes=served, max_residues=200) as running:
        yield running


def asked(api: Api, action: str, *sequences: str, **params: Any) -> Any:
    body = {"items": [{"sequence": each} for each in sequences], "params": {"index": "reviewed", **params}}
    return api.post(f"/api/v3/{SLUG}/{action}/", json=body)


def vectors(model: Model) -> Any:
    return np.stack([model.embed(each) for each in QUERIES])


def test_hits_are_those_of_the_library(api: Api, model: Model, index: Index) -> None:
    answer = asked(api, "search", *QUERIES, k=5, where="length > 10 AND family = 'f1'", identity=True)
    assert answer.status_code == 200, answer.text
    found = index.search(vectors(model), k=5, where=index.where("length > 10 AND family = 'f1'"))
    for query, entry, hits in zip(QUERIES, answer.json()["results"], found, strict=True):
        assert [hit["id"] for hit in entry["hits"]] == [hit.id for hit in hits]
        assert len(hits) == 5
        for shown, hit in zip(entry["hits"], hits, strict=True):
            assert shown["cosine"] == pytest.approx(hit.cosine, abs=1e-6)
            assert shown["length"] == hit.about["length"]
            assert shown["metadata"] == {"family": "f1", "weight": hit.about["weight"]}
            alike = {name: shown[name] for name in ("identity", "aligned", "coverage")}
            assert alike == asdict(align(query, hit.about["sequence"]))


def test_a_protein_of_the_index_finds_itself(api: Api) -> None:
    (entry,) = asked(api, "search", proteins(40, seed=2)[7], k=1).json()["results"]
    assert (entry["hits"][0]["id"], entry["hits"][0]["cosine"]) == ("p7", pytest.approx(1, abs=1e-5))
    assert set(entry["hits"][0]) == {"id", "cosine", "length", "metadata"}


def test_hits_come_with_their_sequences_if_asked(api: Api) -> None:
    (entry,) = asked(api, "search", QUERIES[0], k=3, sequences=True).json()["results"]
    known = proteins(40, seed=2)
    assert [hit["sequence"] for hit in entry["hits"]] == [known[int(hit["id"][1:])] for hit in entry["hits"]]


def test_annotations_are_those_of_the_library(api: Api, model: Model, index: Index) -> None:
    answer = asked(api, "annotate", *QUERIES, label_column="family", min_reliability=0.2)
    assert answer.status_code == 200, answer.text
    found = Annotator.of(index, "family", min_reliability=0.2).annotate(vectors(model))
    for entry, annotation in zip(answer.json()["results"], found, strict=True):
        assert entry == pytest.approx(asdict(annotation), abs=1e-5)


def test_a_reliability_that_was_not_measured_is_no_business_of_a_request(api: Api, index: Index) -> None:
    before = (index.folder / CALIBRATION).read_bytes()
    answer = asked(api, "annotate", QUERIES[0], label_column="family", k=7)
    assert answer.status_code == 400
    assert "measured: 'family' with k 3" in answer.json()["error"]["params__label_column"][0]
    assert (index.folder / CALIBRATION).read_bytes() == before


@pytest.mark.parametrize(
    ("action", "params", "field", "said"),
    [
        ("search", {"index": "nowhere"}, "index", "choose from reviewed, foreign"),
        ("search", {"index": "foreign"}, "index", "was built with made-up"),
        ("annotate", {"index": "foreign", "label_column": "family"}, "index", "was built with made-up"),
        ("annotate", {"label_column": "weight"}, "label_column", "no column of text 'weight'"),
        ("annotate", {}, "label_column", "required"),
        ("search", {"where": "colour = 'red'"}, "where", "names a column 'colour'"),
        ("search", {"where": "1=1; DROP TABLE x"}, "where", "should stand at character 1"),
        ("search", {"where": "family = 'f1' AND " * 100}, "where", "1000"),
        ("search", {"k": 0}, "k", "greater than or equal to 1"),
        ("search", {"k": 101}, "k", "less than or equal to 100"),
    ],
)
def test_wrong_parameters_are_named(api: Api, action: str, params: dict[str, Any], field: str, said: str) -> None:
    answer = asked(api, action, QUERIES[0], **params)
    assert answer.status_code == 400
    assert said.lower() in str(answer.json()["error"][f"params__{field}"]).lower()
    assert "--" not in answer.text


def test_wrong_sequences_are_named(api: Api) -> None:
    answer = asked(api, "search", "MK1", QUERIES[0], "A" * 201)
    assert set(answer.json()["error"]) == {"items__0__sequence", "items__2__sequence"}
    assert asked(api, "search", *["MKT"] * 9).status_code == 400


def test_alignments_of_a_request_are_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_CELLS", 100)
    answer = asked(api, "search", QUERIES[0], identity=True)
    assert answer.status_code == 400
    assert "at most 100 are allowed; lower k" in answer.json()["error"]["params__identity"][0]
    assert asked(api, "search", QUERIES[0]).status_code == 200


def test_searches_are_documented_where_there_is_an_index(api: Api, model: Model, tmp_path: Path) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    with Api(model, tmp_path) as bare:
        without = bare.get("/openapi.json").json()["paths"]
        for action in ("search", "annotate"):
            assert f"/api/v3/{SLUG}/{action}" in paths
            assert f"/api/v3/{SLUG}/{action}" not in without
            assert asked(bare, action, QUERIES[0], label_column="family").status_code == 404


def test_an_index_that_cannot_be_served_stops_the_start(model: Model, index: Index, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is no index"):
        Api(model, tmp_path, indexes=(str(tmp_path),))
    with pytest.raises(InvalidConfigError, match="two indexes would be called 'reviewed'"):
        Api(model, tmp_path, indexes=(str(index.folder), str(index.folder)))
