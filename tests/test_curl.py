"""curl gets what BioLM's clients get: commands as people type them, against a live server."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from esmkit.engine import Model, load
from tests.biolm_answers import same, same_as_everything, same_logits, same_means
from tests.biolm_runs import BAD, HUNDRED, MASKED, NINE, SEQUENCES, SLUG, Served, everything, items, serving

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
JSON = ("-H", "Content-Type: application/json")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, and the body as JSON."""

    status: int
    json: Any


@pytest.fixture(scope="module")
def model() -> Model:
    return load("esm2-mini")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running


def curl(served: Served, path: str, *options: str, send: bytes | None = None, key: str | None = None) -> Answer:
    """One command; it follows no redirect."""
    credentials = ("-H", f"Authorization: Token {key or served.token}")
    data = () if send is None else ("--data-binary", "@-")
    command = ["curl", "-sS", "-w", "\n%{http_code}", served.url + path, *credentials, *options, *data]
    done = subprocess.run(command, input=send, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition(b"\n")
    return Answer(int(status), json.loads(body))


def body(sequences: list[str], **params: Any) -> bytes:
    return json.dumps({"items": items(sequences)} | ({"params": params} if params else {})).encode()


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_include_gives_the_numbers_of_the_library(served: Served, model: Model, version: str, slash: str) -> None:
    path = f"/api/{version}/{SLUG}/encode{slash}"
    answer = curl(served, path, *JSON, send=body(SEQUENCES, **everything(version)))
    assert answer.status == 200
    same_as_everything(answer.json["results"], model, version)


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_predict_and_likelihoods_are_those_of_the_library(served: Served, model: Model, version: str) -> None:
    same_logits(curl(served, f"/api/{version}/{SLUG}/predict/", *JSON, send=body(MASKED)).json["results"], model)
    for verb in ("log_prob", "score"):
        found = curl(served, f"/api/{version}/{SLUG}/{verb}/", *JSON, send=body(SEQUENCES)).json["results"]
        same([entry["log_prob"] for entry in found], model.log_prob(SEQUENCES))


@pytest.mark.parametrize("request_gzip", [False, True])
@pytest.mark.parametrize("answer_gzip", [False, True])
def test_bodies_may_be_compressed_both_ways(
    served: Served, model: Model, request_gzip: bool, answer_gzip: bool
) -> None:
    plain = body(NINE[:8])
    options = [*JSON, *(("-H", "Content-Encoding: gzip") if request_gzip else ())]
    options += ["--compressed"] if answer_gzip else []
    answer = curl(served, f"/api/v3/{SLUG}/encode/", *options, send=gzip.compress(plain) if request_gzip else plain)
    same_means(answer.json["results"], NINE[:8], model, "v3")


@pytest.mark.parametrize("sequences", [NINE, HUNDRED], ids=["nine", "hundred"])
def test_more_items_than_allowed_are_refused_with_the_limit(served: Served, sequences: list[str]) -> None:
    answer = curl(served, f"/api/v3/{SLUG}/encode/", *JSON, send=body(sequences))
    assert answer.status == 400
    assert answer.json["error"] == {"items": [f"there should be at most 8 items, not {len(sequences)}"]}


def test_an_invalid_sequence_in_the_middle_is_named_by_its_place(served: Served) -> None:
    answer = curl(served, f"/api/v3/{SLUG}/encode/", *JSON, send=body(BAD))
    assert answer.status == 400
    assert list(answer.json["error"]) == ["items__1__sequence"]


def test_data_without_a_content_type_is_told_which_one_to_send(served: Served) -> None:
    """What curl sends unless told otherwise: application/x-www-form-urlencoded."""
    answer = curl(served, f"/api/v3/{SLUG}/encode/", send=body(SEQUENCES))
    assert answer.status == 415
    assert "application/json" in answer.json["error"]


def test_schema_catalogue_and_login(served: Served) -> None:
    assert curl(served, f"/api/v3/schema/{SLUG}/encode/").json["properties"]["items"]["maxItems"] == 8
    assert [entry["slug"] for entry in curl(served, "/api/ui/community-api-models/").json] == [SLUG]
    assert curl(served, "/api/v1/auth/login-check/", "-X", "POST").json["username"] == "laboratory"
    refused = curl(served, "/api/v1/auth/login-check/", "-X", "POST", key="esk_wrong")
    assert (refused.status, refused.json["code"]) == (401, "auth_failed")
