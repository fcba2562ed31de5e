"""BioLM's own clients work against a live server by changing an address: their numbers are those of the library.

Each client runs in a virtual environment of its own, made on first use and kept in ~/.cache/esmkit-tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from esmkit.engine import Model, load
from tests.biolm_answers import same, same_as_everything, same_logits, same_means
from tests.biolm_clients import CLIENTS, HUB, LEGACY, Client, answers
from tests.biolm_runs import (
    BAD,
    BATCH,
    BY_SCHEMA,
    HUNDRED,
    LEGACY_PORT,
    NINE,
    NO_SERVER,
    PLAIN,
    SEQUENCES,
    SLUG,
    Run,
    Served,
    forms,
    install_all,
    items,
    serving,
)
from tests.relay import Relay
from tests.wire_pairs import FOLDER

pytestmark = pytest.mark.slow
BLAME = "position 3: found 'J'; allowed are the 20 amino acids in upper case and X B U Z O -"


@pytest.fixture(scope="module")
def model() -> Model:
    return load("esm2-mini")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    install_all()
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(scope="module")
def offline(served: Served) -> Iterator[Any]:
    """A client that finds no biolm.ai, started before everything else as it does little but wait."""
    with Relay(served.server.port) as relay:
        client = served.installed(HUB, url=f"http://localhost:{relay.port}")
        flat = {"name": "flat", "action": "encode", "items": items(SEQUENCES), "platform_url": NO_SERVER}
        with client.start([flat]) as process:
            yield process, relay
            process.kill()


@pytest.fixture(scope="module")
def runs(served: Served, offline: Any) -> dict[str, Run]:
    """Filled as clients are asked for."""
    return {}


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def run(request: pytest.FixtureRequest, served: Served, runs: dict[str, Run]) -> Run:
    client: Client = request.param
    if client is LEGACY and served.relay.port != LEGACY_PORT:
        pytest.skip(f"port {LEGACY_PORT} is taken, and biolmai 0.1 knows no other")
    if client.name not in runs:
        runs[client.name] = served.run(client)
    return runs[client.name]


def only(*clients: Client) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("run", clients, ids=lambda client: client.name, indirect=True)


only_modern = only(*CLIENTS[1:])
with_catalogue = only(*CLIENTS[2:])


def results(run: Run, name: str, key: str = "results") -> list[dict[str, Any]]:
    """One result per item, without what the client put around it."""
    answer = run.answers[name]
    if run.client.is_legacy:
        assert [each["status_code"] for each in answer] == [200] * len(answer), answer
        return [result for each in answer for result in each[key]]
    found: list[dict[str, Any]] = answer["returned"]
    return found


def test_every_include_gives_the_numbers_of_the_library(run: Run, model: Model) -> None:
    same_as_everything(results(run, "everything"), model, run.client.version)


def test_predict_gives_the_logits_of_the_library(run: Run, model: Model) -> None:
    same_logits(results(run, "predict"), model)


@only_modern
@pytest.mark.parametrize("verb", ["score", "log_prob"])
def test_likelihoods_are_those_of_the_library(run: Run, model: Model, verb: str) -> None:
    same([entry["log_prob"] for entry in results(run, verb)], model.log_prob(SEQUENCES))


@pytest.mark.parametrize(("name", "sequences"), [("one", SEQUENCES[:1]), ("nine", NINE), ("hundred", HUNDRED)])
def test_1_9_and_100_items_come_back_in_order(run: Run, model: Model, name: str, sequences: list[str]) -> None:
    same_means(results(run, name), sequences, model, run.client.version)


def test_batches_are_as_large_as_the_client_makes_them(run: Run) -> None:
    """biolmai 0.2 to 0.5 learn the size from the schema; 0.1 and biolm-sdk are told."""
    nine = [1] * 9 if run.client.is_legacy else [BATCH, 1]
    assert run.batch_sizes(NINE) == nine
    assert run.batch_sizes(HUNDRED) == [BATCH] * 12 + [4]


@only_modern
def test_bodies_may_be_compressed_or_not(run: Run, model: Model) -> None:
    for name, sequences, compressed in (("nine", NINE, True), ("plain", PLAIN, False)):
        same_means(results(run, name), sequences, model, run.client.version)
        sizes = {each.compressed for each in run.sent if sequences[0] in (each.text if each.body else "")}
        assert sizes == {compressed}


@only_modern
def test_a_schema_from_here_sets_the_batch_size(run: Run, model: Model) -> None:
    same_means(run.answers["by schema"]["returned"], BY_SCHEMA, model, run.client.version)
    assert run.batch_sizes(BY_SCHEMA) == [BATCH, 1]


@only_modern
def test_an_invalid_sequence_in_the_middle_fails_alone_when_the_client_asks_one_by_one(run: Run, model: Model) -> None:
    first, bad, last = results(run, "bad")
    same_means([first, last], [BAD[0], BAD[2]], model, run.client.version)
    assert bad["error"] == {"items__0__sequence": [BLAME]}
    assert bad["status_code"] == 400


def test_an_invalid_sequence_in_the_middle_of_a_batch_is_named_by_its_place(run: Run) -> None:
    answer = run.answers["bad"] if run.client.is_legacy else run.answers["bad batch"]["returned"]
    assert len(answer) == 3
    for each in answer:
        assert each["error"] == {"items__1__sequence": [BLAME]}
        assert each["status_code"] == 400


@only_modern
def test_a_client_that_shall_raise_does(run: Run) -> None:
    raised = run.answers["raises"]
    assert raised["raised"] == "HTTPStatusError"
    assert json.loads(raised["text"])["error"] == {"items__0__sequence": [BLAME]}


@only_modern
def test_one_item_comes_unwrapped_from_the_function_that_most_scripts_call(run: Run, model: Model) -> None:
    same_means([run.answers["BioLM"]["returned"]], SEQUENCES[:1], model, run.client.version)


def test_a_wrong_key_is_an_error_that_the_client_can_show(run: Run) -> None:
    answer = run.answers["wrong key"]
    (refused,) = answer if run.client.is_legacy else answer["returned"]
    assert refused["error"] == "Unauthorized"
    assert (refused["status_code"], refused["code"]) == (401, "auth_failed")


@only(LEGACY)
def test_transform_of_the_first_api_gives_embeddings(run: Run, model: Model) -> None:
    same_means(results(run, "transform", "predictions"), SEQUENCES, model, "v2")


def test_status_shows_who_the_key_belongs_to(run: Run) -> None:
    assert "'username': 'laboratory'" in run.printed["status"]


def test_status_takes_a_key_as_the_cookie_of_a_login(run: Run) -> None:
    folder = run.installed.home / f".{run.installed.client.package}"
    folder.mkdir()
    login = {"access": run.installed.token, "refresh": "none"}
    (folder / "credentials").write_text(json.dumps(login), encoding="utf-8")
    assert "'username': 'laboratory'" in run.installed.run("status", with_token=False)


@with_catalogue
def test_the_catalogue_lists_the_model_and_its_actions(run: Run) -> None:
    for command in ("model list", f"model show {SLUG}"):
        for word in (SLUG, "encode", "predict", "score", "log_prob"):
            assert word in run.printed[command]


@only(CLIENTS[2])
def test_the_command_line_encodes_a_fasta_file(run: Run, model: Model) -> None:
    """The client adds an id and metadata to each item, which the API ignores."""
    fasta, out = run.installed.home / "in.fasta", run.installed.home / "out.json"
    fasta.write_text("".join(f">{index}\n{sequence}\n" for index, sequence in enumerate(SEQUENCES)), encoding="utf-8")
    run.installed.run("model", "run", SLUG, "encode", "-i", str(fasta), "-o", str(out))
    same_means(json.loads(out.read_text(encoding="utf-8")), SEQUENCES, model, run.client.version)


@only(HUB)
def test_hub_status_counts_the_routes(run: Run) -> None:
    assert "Hub is reachable — 1 variants, 4 routes" in run.printed["hub status"]


def test_what_a_client_sends_is_what_is_recorded(run: Run) -> None:
    recorded = json.loads((FOLDER / "clients.json").read_text(encoding="utf-8"))
    known = {pair["name"]: pair["request"] for pair in recorded if pair["name"].startswith(run.client.name)}
    assert forms(run) == known


def test_biolm_sdk_works_without_biolm_ai_one_by_one_after_a_wait(offline: Any, model: Model) -> None:
    process, relay = offline
    flat = answers(process)["flat"]
    assert flat["seconds"] > 20  # two look-ups of a schema, three tries each
    same_means(flat["returned"], SEQUENCES, model, "v1")
    assert [len(each.json["items"]) for each in relay.requests()] == [1, 1, 1]
