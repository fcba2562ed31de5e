"""Recorded requests get the recorded answers: the contract with clients that nobody can change by accident."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from esmkit.engine import load
from tests.server_stand_in import SLUG, Api
from tests.wire_pairs import FOLDER, VERSIONS, answer, answer_to_client, clients_api, requests

PAIRS = {name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in (*VERSIONS, "clients")}
CASES = [pytest.param(pair, id=f"{version}: {pair['name']}") for version in VERSIONS for pair in PAIRS[version]]
CLIENTS_CASES = [pytest.param(pair, id=pair["name"]) for pair in PAIRS["clients"]]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(load(SLUG), tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.mark.parametrize("pair", CASES)
def test_recorded_request_gets_the_recorded_answer(api: Api, pair: dict[str, Any]) -> None:
    assert answer(api, pair["request"]) == pair["response"]


@pytest.fixture(scope="module")
def asked_by_clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with clients_api(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.mark.parametrize("pair", CLIENTS_CASES)
def test_what_a_real_client_sent_gets_the_recorded_answer(asked_by_clients: Api, pair: dict[str, Any]) -> None:
    assert answer_to_client(asked_by_clients, pair["request"]) == pair["response"]


def test_everything_is_recorded() -> None:
    for version in VERSIONS:
        assert {pair["name"]: pair["request"] for pair in PAIRS[version]} == requests(version)
