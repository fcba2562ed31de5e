"""What the pages about many proteins are given: the indexes of the server, and what it can compute."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from esmkit.applications.search import Annotator, Index, Metadata, Sequences, Space, build
from esmkit.engine import Model, load
from esmkit.types import Record
from esmkit.web.pages import maps
from tests.labelled import proteins
from tests.search_indices import MadeUp, clustered, made
from tests.server_stand_in import SLUG, Api

FAMILY = Metadata("family", "text")


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


def given(api: Api, path: str) -> Any:
    """What the script of a page is given."""
    answer = api.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200
    (text,) = re.findall(r'<script type="application/json" id="frame">(.*?)</script>', answer.text, re.DOTALL)
    return json.loads(text)["page"]


def test_the_search_page_is_told_of_every_index(model: Model, tmp_path: Path) -> None:
    records = [Record(at, f"p{at}", each, cells=(f"f{at % 3}",)) for at, each in enumerate(proteins(40, seed=2))]
    build(tmp_path / "reviewed", Sequences(model, lambda: records, Space.of(model)), columns=[FAMILY])
    Annotator.of(Index.open(tmp_path / "reviewed"), "family")  # measures
    made(tmp_path / "foreign", MadeUp(clustered(30)))
    with Api(model, tmp_path, indexes=(str(tmp_path / "reviewed"), str(tmp_path / "foreign"))) as api:
        reviewed, foreign = given(api, "/search")["indexes"]
    assert reviewed == {
        "name": "reviewed",
        "proteins": 40,
        "built_with": SLUG,
        "model": SLUG,
        "pooling": "mean",
        "layers": [model.shape.num_layers],
        "approximate": False,
        "columns": [{"name": "family", "kind": "text"}],
        "labels": [{"column": "family", "k": 3}],
    }
    assert (foreign["built_with"], foreign["model"], foreign["labels"]) == ("made-up", None, [])


def test_without_an_index_the_search_page_says_how_to_make_one(model: Model, tmp_path: Path) -> None:
    with Api(model, tmp_path) as api:
        assert given(api, "/search") == {"indexes": []}
        assert "esmkit index build" in api.get("/search", headers={"Accept": "text/html"}).text


@pytest.mark.parametrize("is_there", [True, False])
def test_the_map_page_offers_what_is_installed(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    monkeypatch.setattr(maps, "find_spec", lambda name: object() if is_there or name == "sklearn" else None)
    with Api(model, tmp_path, max_body_bytes=5000) as api:
        found = given(api, "/map")
        page = api.get("/map", headers={"Accept": "text/html"}).text
    assert found == {
        "most_items": 2000,
        "most_bytes": 5000,
        "offers": {"maps": True, "umap": is_there, "leiden": is_there},
    }
    assert ("pip install 'esmkit[umap]'" in page) is not is_there
