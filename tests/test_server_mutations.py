"""The mutations action: the numbers of the library, every mistake named by field, and only in v3."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from esmkit.alphabet import STANDARD
from esmkit.applications import mutations
from esmkit.applications.mutations import METHODS
from esmkit.engine import Model, load
from tests.server_stand_in import SLUG, Api

WILD_TYPE = "MKTAYIAKQRQISFVKSHFSRQ"
VARIANTS = ["A4G", "K2R:A4G", "WT", "Q22W"]
URL = f"/api/v3/{SLUG}/mutations/"


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture(scope="module")
def api(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(model, tmp_path_factory.mktemp("store"), max_residues=64, max_long_residues=200) as running:
        yield running


def asked(api: Api, *items: dict[str, Any], headers: Any = None, **params: Any) -> httpx.Response:
    return api.post(URL, json={"items": list(items), "params": params}, headers=headers)


@pytest.mark.parametrize("method", list(METHODS))
def test_lists_have_the_scores_of_the_library(api: Api, model: Model, method: Any) -> None:
    indels = ["K2del", "A4_Y5insGG"] if METHODS[method].indels else []
    items = [(WILD_TYPE, [*VARIANTS, *indels]), (WILD_TYPE[3:], ["A1G", "K5W"])]
    answer = asked(api, *({"sequence": each, "variants": listed} for each, listed in items), method=method)
    assert answer.status_code == 200, answer.text
    for entry, (sequence, listed) in zip(answer.json()["results"], items, strict=True):
        expected = mutations.score(model, sequence, listed, method=method).scores
        assert (entry["method"], entry["variants"]) == (method, listed)
        np.testing.assert_allclose(entry["scores"], expected, atol=1e-4)


@pytest.mark.parametrize("method", ["masked_marginal", "wt_marginal"])
@pytest.mark.parametrize("count", [1, 2])
def test_scans_are_those_of_the_library(api: Api, model: Model, method: Any, count: int) -> None:
    sequences = [WILD_TYPE, WILD_TYPE[:9]][:count]
    answer = asked(api, *({"sequence": each} for each in sequences), method=method, positions=[25, 30], offset=23)
    assert answer.status_code == 200, answer.text
    for entry, sequence in zip(answer.json()["results"], sequences, strict=True):
        expected = mutations.scan(model, sequence, method=method, positions=[25, 30], offset=23)
        assert (entry["positions"], entry["wild_type"], entry["vocab_tokens"]) == ([25, 30], "KA", list(STANDARD))
        np.testing.assert_allclose(entry["scores"], expected.scores, atol=1e-5)


def test_only_the_masks_that_are_needed_are_computed_and_counted(api: Api) -> None:
    asked(api, {"sequence": WILD_TYPE, "variants": ["A4G", "A4C", "K2R:A4G"]})
    answer = asked(api, {"sequence": WILD_TYPE}, positions=[4], provenance=True)
    assert api.queue.calls[-1]["outputs"] == ("masked_log_probs",)
    assert np.shape(answer.json()["results"][0]["scores"]) == (1, 20)
    assert answer.json()["esmkit"]["slug"] == SLUG


def test_long_proteins_are_refused_or_windowed(api: Api, model: Model) -> None:
    long = WILD_TYPE * 4
    assert "88 residues, at most 64" in asked(api, {"sequence": long}).text
    answer = asked(api, {"sequence": long}, positions=[1, 88], long="window")
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"][0]["long"]["policy"] == "window"


@pytest.mark.parametrize("items", [[{"sequence": WILD_TYPE}], [{"sequence": WILD_TYPE, "variants": VARIANTS}]])
def test_numbers_come_as_arrays_on_request(api: Api, items: list[dict[str, Any]]) -> None:
    text = asked(api, *items).json()["results"][0]["scores"]
    answer = asked(api, *items, headers={"Accept": "application/x-npz"})
    arrays = np.load(io.BytesIO(answer.content))
    np.testing.assert_allclose(arrays["0/scores"], text, atol=1e-6)


@pytest.mark.parametrize(
    ("item", "params", "field", "message"),
    [
        ({"sequence": "MKX"}, {}, "items__0__sequence", "position 3: found 'X'"),
        ({"sequence": ""}, {}, "items__0__sequence", "is empty"),
        ({"sequence": "MKT", "variants": ["K1R"]}, {}, "items__0__variants__0", "says K at position 1"),
        ({"sequence": "MKT", "variants": ["M1R", "K2*"]}, {}, "items__0__variants__1", "puts a stop"),
        ({"sequence": "MKT", "variants": ["K2del"]}, {}, "items__0__variants__0", "one_pass_pll"),
        ({"sequence": "MKT", "variants": []}, {}, "items__0__variants", "at least 1"),
        ({"sequence": "MKT", "variants": ["M1R"]}, {"positions": [1]}, "params__positions", "are for scans"),
        ({"sequence": "MKT"}, {"positions": [4]}, "params__positions", "position 4 does not exist"),
        ({"sequence": "MKT"}, {"method": "mutant_marginal"}, "params__method", "computes every variant"),
        ({"sequence": "MKT"}, {"method": "best"}, "params__method", "'wt_marginal'"),
        ({"sequence": "MKT"}, {"long": "truncate"}, "params__long", "'error' or 'window'"),
        (
            {"sequence": "MKT", "variants": ["A" * 65]},
            {"method": "one_pass_pll"},
            "items__0__variants__0",
            "65 residues",
        ),
    ],
)
def test_mistakes_are_named_by_field(api: Api, item: Any, params: Any, field: str, message: str) -> None:
    answer = asked(api, item, **params)
    assert answer.status_code == 400
    (found,) = answer.json()["error"][field]
    assert message in found


def test_lists_and_scans_do_not_mix(api: Api) -> None:
    answer = asked(api, {"sequence": "MKT"}, {"sequence": "MKT", "variants": ["M1R"]})
    assert "for all items or for none" in answer.text


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_older_versions_do_not_have_it(api: Api, version: str) -> None:
    answer = api.post(f"/api/{version}/{SLUG}/mutations", json={"items": [{"sequence": "MKT"}]})
    assert answer.status_code == 404
    assert "choose from encode, predict, log_prob, score" in answer.text


def test_its_schema_is_given(api: Api) -> None:
    schema = api.get(f"/api/v3/schema/{SLUG}/mutations/").json()
    assert schema["properties"]["items"]["items"]["properties"]["variants"]["description"]
    assert schema["throttle_rate"]
