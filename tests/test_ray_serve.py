"""`esmkit serve --ray` on a real Ray cluster of several workers: answers, faults, updates, and scaling from 0 to 0."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from esmkit.engine import Model
from esmkit.engine import load as load_model
from esmkit.models.locate import EMBEDDED
from tests.ray_serving import RayCluster, load_of
from tests.server_process import items, until
from tests.server_stand_in import Api
from tests.test_server_redis import Redis, ask

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]
PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"
ENCODE = "/api/v3/esm2-mini/encode/"
SMALL = ("--ray-cpus", "0.5", "--drain-timeout-s", "30", "--ray-upscale-s", "1", "--ray-downscale-s", "3")


def sequences(turn: int) -> list[str]:
    """Of lengths that mix in batches."""
    return [PROTEIN[turn % 20 :] * (1 + turn % 9)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    with RayCluster(tmp_path_factory.mktemp("ray"), num_cpus=4) as running:
        yield running


@pytest.fixture(scope="module")
def plain() -> Model:
    return load_model("esm2-mini", threads=1)


def assert_answers_are_right(answers: list[tuple[Any, int, Any]], plain: Model) -> None:
    """Every embedding is that of its own sequence, whatever happened meanwhile."""
    assert answers
    for asked, status, body in answers:
        assert status == 200, body
        for sequence, result in zip(asked, body["results"], strict=True):
            expected = plain.embed([sequence])[0]
            np.testing.assert_allclose(result["embeddings"][0]["embedding"], expected, atol=1e-4, rtol=1e-4)


def test_answers_are_those_of_the_plain_server(cluster: RayCluster, plain: Model, tmp_path: Path) -> None:
    cluster.serve(*SMALL, "--ray-replicas", "2-2", "--ray-ingress", "2")
    asked: list[tuple[str, Any]] = [
        ("encode", items(PROTEIN, "MKT", include=["mean", "per_token", "contacts", "logits"])),
        ("predict", items("MKT<mask>YI")),
        ("log_prob", items(PROTEIN, "MK")),
        ("encode", items("MKT!")),
        ("encode", items("M" * 5000)),
        ("nothing", items("MKT")),
    ]
    compared = 0
    with Api(plain, tmp_path) as api, cluster.client() as client:
        for action, body in asked:
            path = f"/api/v3/esm2-mini/{action}/"
            one, other = api.post(path, json=body), client.post(path, json=body)
            assert (other.status_code, set(other.json())) == (one.status_code, set(one.json()))
            compared += assert_close(other.json(), one.json())
        pages = ["/", "/openapi.json", "/api/v3/esm2-mini/schema/encode/", "/status.json", "/models"]
        for page in pages:
            assert client.get(page).status_code == api.get(page).status_code
        assert client.get("/health/ready").json() == {"status": "ready", "models": {"esm2-mini": "ready"}}
    assert compared > 5000  # numbers


def assert_close(one: Any, other: Any) -> int:
    """Equal but for rounding; how many numbers there were."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        return sum(assert_close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        assert len(one) == len(other)
        return sum(assert_close(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, float):
        assert one == pytest.approx(other, abs=1e-4, rel=1e-4)
        return 1
    assert one == other
    return 0


def test_killed_replicas_under_load_cost_no_request(cluster: RayCluster, plain: Model) -> None:
    cluster.serve(*SMALL, "--ray-replicas", "2-2")
    with load_of(cluster, 8, sequences) as load:
        for _ in range(3):
            load.more(40)
            os.kill(cluster.replicas("esm2-mini")[0], signal.SIGKILL)
            load.more(40)
            until(lambda: cluster.ready() == 2)
    assert load.failed == []
    assert_answers_are_right(load.answers[::7], plain)


def test_a_killed_controller_and_board_cost_no_request(cluster: RayCluster) -> None:
    cluster.serve(*SMALL, "--ray-replicas", "2-2")
    with load_of(cluster, 4, sequences) as load:
        load.more(40)
        os.kill(cluster.pids("ray::ServeController")[0], signal.SIGKILL)
        os.kill(cluster.replicas("board")[0], signal.SIGKILL)
        load.more(200)
        until(lambda: len(cluster.replicas("board")) == 1)
        until(cluster.is_ready)
        until(lambda: cluster.ready() == 2)
    assert load.failed == []


def test_an_update_of_the_weights_under_load_drops_no_request(cluster: RayCluster, tmp_path: Path) -> None:
    """Both versions have the same slug; every answer says which weights made it, and the old ones end."""
    old, new = tmp_path / "old" / "mine", tmp_path / "new" / "mine"
    for folder in (old, new):
        shutil.copytree(EMBEDDED, folder)
        config = json.loads((folder / "config.json").read_text())
        del config["esmkit"]
        (folder / "config.json").write_text(json.dumps(config))
    perturb(new)
    flags = (*SMALL, "--ray-replicas", "1-1")
    cluster.serve(*flags, "--model", str(old))
    with load_of(cluster, 4, sequences, slug="mine") as load:
        load.more()
        before = load.answers[-1]
        cluster.serve(*flags, "--model", str(new))
        load.more()
    assert load.failed == []
    with cluster.client() as client:
        path, body = "/api/v3/mine/encode/", items(*before[0])
        after = client.post(path, json=body).json()
    first, last = (each["results"][0]["embeddings"][0]["embedding"] for each in (before[2], after))
    assert not np.allclose(first, last)
    expected = load_model(str(new), threads=1).embed([before[0][0]])[0]
    np.testing.assert_allclose(last, expected, atol=1e-4, rtol=1e-4)


def perturb(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    (path,) = folder.glob("*.safetensors")
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("emb_layer_norm_after.weight"))
    tensors[name] = 2 * tensors[name]
    save_file(tensors, path, metadata={"format": "pt"})


def test_scales_from_none_to_several_to_none_without_a_failed_request(cluster: RayCluster, plain: Model) -> None:
    cluster.serve(*SMALL, "--ray-replicas", "0-3", "--ray-target-tokens", "500", "--ray-idle-s", "8")
    assert cluster.ready() == 0
    assert cluster.replicas("esm2-mini") == []
    with load_of(cluster, 12, lambda turn: [PROTEIN[turn % 20 :] * 20]) as load:
        until(lambda: cluster.ready() >= 2)
        load.more(100)
    until(lambda: cluster.replicas("esm2-mini") == [])
    until(lambda: cluster.ready() == 0)
    assert load.failed == []
    assert_answers_are_right(load.answers[::50], plain)


def test_a_cold_start_answers_within_the_deadline_or_says_when_to_come_back(cluster: RayCluster) -> None:
    cluster.serve(*SMALL, "--ray-replicas", "0-1", "--ray-idle-s", "5", "--ray-cold-start-s", "60")
    with cluster.client() as client:
        short = client.post(ENCODE, json=items("MKT", deadline_s=0.5))
        assert (short.status_code, short.headers["retry-after"]) == (503, "10")
        assert "esm2-mini is being started" in short.json()["error"]
        assert client.post(ENCODE, json=items("MKT", deadline_s=60)).status_code == 200
    cluster.serve(*SMALL, "--ray-replicas", "0-1", "--ray-idle-s", "5", "--ray-cold-start-s", "0")
    until(lambda: cluster.replicas("esm2-mini") == [])
    until(lambda: cluster.ready() == 0)
    with cluster.client() as client:
        started = time.monotonic()
        assert client.post(ENCODE, json=items("MKT")).status_code == 503
        assert time.monotonic() - started < 2
        until(lambda: cluster.ready() == 1)  # the refused request has started it
        assert client.post(ENCODE, json=items("MKT")).status_code == 200


def test_models_take_turns_in_shared_replicas(cluster: RayCluster, tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(3)]
    for name in names:
        shutil.copytree(EMBEDDED, tmp_path / name)
        config = json.loads((tmp_path / name / "config.json").read_text())
        del config["esmkit"]
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    models = [flag for name in names for flag in ("--model", str(tmp_path / name), "--ray-shared", name)]
    cluster.serve(*SMALL, *models, "--ray-shared-models", "2", "--ray-replicas", "1-1")
    with cluster.client() as client:
        for name in [*names, *names]:
            assert client.post(f"/api/v3/{name}/encode/", json=items(PROTEIN)).status_code == 200
        assert len(cluster.replicas("shared")) == 1
        until(lambda: sum(cluster.ready(name) for name in names) == 2)
    batches = [f'esmkit_batches_total{{model="{name}"}}' for name in names]
    until(lambda: [cluster.metrics()[each] for each in batches] == [2, 2, 2])


def test_a_client_that_leaves_is_noticed_by_the_replica(cluster: RayCluster) -> None:
    cluster.serve(*SMALL, "--ray-replicas", "1-1")
    cancelled = 'esmkit_cancelled_total{model="esm2-mini"}'
    body = items(*["MKTAYIAKQR" * 200] * 8, include=["contacts"])
    with cluster.client() as client:
        assert client.post(ENCODE, json=items("MKT")).status_code == 200
        before = cluster.metrics()[cancelled]
        with pytest.raises(httpx.ReadTimeout):
            client.post(ENCODE, json=body, timeout=1)
        until(lambda: cluster.metrics()[cancelled] == before + 1)
        assert client.post(ENCODE, json=items("MKT")).status_code == 200


def test_keys_and_limits_hold_across_applications(cluster: RayCluster, tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server")
    key = json.loads(cluster.cli("keys", "create", "lab", "--json").stdout)["secret"]
    redis = Redis(tmp_path)
    try:
        flags = ("--auth", "on", "--limit-residues-per-minute", "1000", "--limits-storage-url", redis.url)
        cluster.serve(*SMALL, *flags, "--ray-replicas", "1-1", "--ray-ingress", "2", "--metrics-open")
        with cluster.client() as client:
            assert client.post(ENCODE, json=items("MKT")).status_code == 401
        given = []
        for _ in range(14):  # each on a connection of its own: Ray chooses one of the two applications
            with cluster.client(headers={"Authorization": f"Token {key}"}) as client:
                given.append(ask(client)[0])
        assert given == [200] * 10 + [429] * 4
        until(lambda: sum(name.startswith("esmkit_limits_shared{") for name in cluster.metrics()) == 2)
    finally:
        redis.stop()
    refused = cluster.cli(
        *("serve", "--ray", cluster.address, "--ray-ingress", "2", "--limit-requests-per-s", "5", "--port", "9")
    )
    assert (refused.returncode, "limits_storage_url" in refused.stderr) == (2, True)


def test_a_store_that_is_down_is_told_as_by_the_plain_server(cluster: RayCluster) -> None:
    """Without keys, calls are answered all the same; what needs the store says so, and works again afterwards."""
    cluster.serve(*SMALL, "--ray-replicas", "1-1")
    store = cluster.home / "esmkit.db"
    away = store.with_suffix(".away")
    with cluster.client() as client:
        store.rename(away)
        store.mkdir()
        try:
            assert client.post(ENCODE, json=items("MKT")).status_code == 200
            assert client.get("/health/ready").status_code == 200
        finally:
            store.rmdir()
            away.rename(store)
        assert client.get("/status.json").status_code == 200


def test_a_head_that_dies_is_said_and_its_successor_keeps_the_store(cluster: RayCluster) -> None:
    key = json.loads(cluster.cli("keys", "create", "kept", "--json").stdout)["secret"]
    cluster.stop()
    gone = cluster.cli("serve", "--ray", cluster.address, "--port", str(cluster.port))
    assert gone.returncode == 3
    assert f"no Ray cluster answers at '{cluster.address}'" in gone.stderr
    with pytest.raises(httpx.TransportError), cluster.client() as client:
        client.get("/")
    cluster.start()
    cluster.serve(*SMALL, "--ray-replicas", "1-1", "--auth", "on")
    with cluster.client(headers={"Authorization": f"Token {key}"}) as client:
        assert client.post(ENCODE, json=items("MKT")).status_code == 200
