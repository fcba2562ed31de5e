"""Several models behind a real server process: who waits, who leaves memory, what is counted, logged and shown."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from esmkit.server.wire.esm2_docs import ErrorBody
from tests.server_process import ServedProcess, copied_model, items, until

MINI, OTHER = "esm2-mini", "other"
SECRET = "WWMKHHCCWWMKHHCC"
"""A sequence that must never be in a log."""
QUEUED_TOKENS = 16_000
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """Two models, keys, a cache, a short queue, and a probe every second."""
    folder = tmp_path_factory.mktemp("models")
    flags = ("--auth", "on", "--cache-bytes", "10000000", "--probe-interval-s", "1", "--threads", "1")
    flags += ("--max-queued-tokens", str(QUEUED_TOKENS), "--limit-residues-per-day", "300000", "--log-level", "debug")
    with ServedProcess(folder, "--model", MINI, "--model", copied_model(folder, OTHER), *flags) as running:
        yield running


@pytest.fixture(scope="module")
def operator(server: ServedProcess) -> Iterator[httpx.Client]:
    """With an admin key."""
    with server.client(headers=made_key(server, "operator", "--admin")) as client:
        yield client


def made_key(server: ServedProcess, name: str, *flags: str) -> dict[str, str]:
    return {"Authorization": f"Token {server.cli('keys', 'create', name, *flags).strip()}"}


def call(client: httpx.Client, slug: str, *sequences: str, **params: Any) -> httpx.Response:
    return client.post(f"/api/v3/{slug}/encode/", json=items(*sequences, **params))


def value(client: httpx.Client, name: str, slug: str | None = None) -> float:
    """One sample of /metrics."""
    start = f"{name} " if slug is None else f'{name}{{model="{slug}"}} '
    [line] = [line for line in client.get("/metrics").text.splitlines() if line.startswith(start)]
    return float(line.removeprefix(start))


def bulk(turn: int) -> list[str]:
    """About 3,000 residues, in sequences that no other turn has."""
    return ["MKTAYIAKQR" * 37 + "A" * turn + "G" * each for each in range(8)]


def test_a_full_queue_refuses_for_its_own_model_only_and_memory_stays_flat(
    server: ServedProcess, operator: httpx.Client
) -> None:
    before = server.resident_bytes()
    with ThreadPoolExecutor(24) as pool:
        calls = [pool.submit(call, operator, MINI, *bulk(turn), priority="bulk") for turn in range(24)]
        until(lambda: any(each.done() and each.result().status_code == 429 for each in calls))
        assert call(operator, OTHER, "MKT").status_code == 200
        answers = [each.result() for each in calls]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 1
    assert {answer.status_code for answer in answers} == {200, 429}
    for answer in refused:
        assert ErrorBody.model_validate_json(answer.content).code == "rate_limited"
        assert 1 <= int(answer.headers["retry-after"]) <= 300
    assert value(operator, "esmkit_overloaded_total", MINI) == len(refused)
    assert value(operator, "esmkit_queue_tokens", MINI) == 0
    assert server.resident_bytes() - before < 50_000_000


def test_an_interactive_request_overtakes_bulk_work(operator: httpx.Client) -> None:
    ended: dict[str, float] = {}

    def timed(name: str, **request: Any) -> None:
        sequences = request.pop("sequences")
        assert call(operator, MINI, *sequences, **request).status_code == 200
        ended[name] = time.monotonic()

    with ThreadPoolExecutor(4) as pool:
        works = [pool.submit(timed, f"bulk {turn}", sequences=bulk(40 + turn), priority="bulk") for turn in range(3)]
        until(lambda: value(operator, "esmkit_queue_requests", MINI) >= 3 or any(work.done() for work in works))
        works.append(pool.submit(timed, "interactive", sequences=["MKTWC"]))
        for work in works:
            work.result()
    assert ended["interactive"] < max(ended.values())


def test_a_deadline_that_passes_is_a_504(operator: httpx.Client) -> None:
    before = value(operator, "esmkit_expired_total", MINI)
    answer = call(operator, MINI, *bulk(60), deadline_s=0.001)
    assert answer.status_code == 504
    assert "0.001 s" in ErrorBody.model_validate_json(answer.content).detail
    assert value(operator, "esmkit_expired_total", MINI) == before + 1


def test_the_cache_answers_again_and_counts_it_but_not_for_probes(operator: httpx.Client) -> None:
    before = value(operator, "esmkit_cache_hits_total")
    first, again = (call(operator, MINI, "MKTC") for _ in range(2))
    assert first.json() == again.json()
    assert value(operator, "esmkit_cache_hits_total") == before + 1
    batches = value(operator, "esmkit_batches_total", OTHER)
    until(lambda: value(operator, "esmkit_batches_total", OTHER) >= batches + 2)  # probes, computed each time
    assert value(operator, "esmkit_cache_hits_total") == before + 1


def test_keys_usage_and_rates_per_key(server: ServedProcess, operator: httpx.Client) -> None:
    with server.client(headers=made_key(server, "lab", "--model", OTHER, "--action", "encode")) as lab:
        answer = call(lab, OTHER, "MKTAY", "GG")
        assert answer.headers["ratelimit-limit"] == "300000"
        assert answer.headers["ratelimit-remaining"] == str(300_000 - 7)
        assert 0 < int(answer.headers["ratelimit-reset"]) <= 86_400
        assert call(lab, MINI, "MKT").status_code == 403
        assert lab.post(f"/api/v3/{OTHER}/log_prob/", json=items("MKT")).status_code == 403
        assert lab.get("/metrics").status_code == 403
        [row] = lab.get("/api/usage").json()["usage"]
        assert (row["model"], row["action"], row["requests"], row["residues"]) == (OTHER, "encode", 1, 7)
        printed = json.loads(server.cli("usage", "--by", "key", "--json"))["rows"]
        assert [(row["requests"], row["residues"]) for row in printed if row["key"] == "lab"] == [(1, 7)]
        server.cli("keys", "revoke", "lab")
        assert call(lab, OTHER, "MKT").status_code == 401
    with server.client() as nobody:
        assert call(nobody, OTHER, "MKT").status_code == 401


def test_status_shows_probes_of_each_model_and_incidents_of_the_command_line(server: ServedProcess) -> None:
    number = json.loads(server.cli("incident", "open", "slow disk", "--model", OTHER, "--json"))["id"]
    with server.client() as client:

        def incidents() -> list[Any]:
            found: list[Any] = client.get("/status.json").json()["incidents"]
            return found

        until(lambda: len(incidents()) == 1)
        assert incidents()[0]["closed_at"] is None
        server.cli("incident", "close", str(number), "--message", "replaced")
        until(lambda: incidents()[0]["closed_at"] is not None)
        assert incidents()[0]["messages"][0]["text"] == "replaced"
        page = client.get("/status.json").json()
    assert page["status"] == "ok"
    assert [model["model"] for model in page["models"]] == [MINI, OTHER]
    for model in page["models"]:
        assert model["uptime"] == 1.0
        assert 0 < model["p50_ms"] <= model["p95_ms"]
        assert model["days"][-1]["probes"] >= 2


def test_the_log_is_json_with_request_ids_and_without_sequences(server: ServedProcess, operator: httpx.Client) -> None:
    for sequence in (SECRET, SECRET + "?", SECRET.lower()):
        body = items(sequence) | {SECRET: 1}
        answer = operator.post(f"/api/v1/{MINI}/encode", json=body, headers={"X-Request-ID": "mine-1"})
        assert answer.headers["x-request-id"] == "mine-1"
    operator.post(f"/api/v3/{MINI}/encode", json=items(SECRET), headers={"X-Request-ID": "bad\tid"})
    until(lambda: "items" in server.log()[-1])  # it is written after the answer
    lines = [line for line in server.log() if line["message"] == "request"]
    assert sum(line["request_id"] == "mine-1" for line in lines) == 3
    assert all(len(line["request_id"]) == 32 for line in lines if line["request_id"] != "mine-1")
    assert SECRET.lower() not in server.log_text().lower()
    assert "esk_" not in server.log_text()
    last = lines[-1]
    assert (last["model"], last["action"], last["items"], last["residues"]) == (MINI, "encode", 1, len(SECRET))
    assert last["key"].startswith("key_")


def test_the_model_used_least_recently_leaves_whatever_probes_do(tmp_path: Path) -> None:
    paths = [copied_model(tmp_path, slug) for slug in ("a", "b", "c")]
    models = [word for path in paths for word in ("--model", path)]
    flags = ("--lazy", "--probe-interval-s", "1", "--batch-tokens", "1024", "--threads", "1")
    with ServedProcess(tmp_path, *models, *flags, "--memory-budget-bytes", str(900 << 20)) as server:
        with server.client() as client:
            for slug in ("a", "b", "a"):
                assert call(client, slug, "MKT").status_code == 200
            batches = value(client, "esmkit_batches_total", "b")
            until(lambda: value(client, "esmkit_batches_total", "b") > batches)  # b has been probed since a was used
            assert call(client, "c", "MKT").status_code == 200
            assert client.get("/health/ready").json()["models"] == {"a": "ready", "b": "unloaded", "c": "ready"}
            assert call(client, "b", "MKT").status_code == 200
            assert client.get("/health/ready").json()["models"] == {"a": "unloaded", "b": "ready", "c": "ready"}
            assert [value(client, "esmkit_loads_total", slug) for slug in "abc"] == [1, 2, 1]
        assert len(server.children()) == 2
