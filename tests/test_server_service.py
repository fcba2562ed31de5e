"""Catalogue, schema, OpenAPI, health, status, metrics, logs, headers: what is around the model calls."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from esmkit.engine import load
from esmkit.errors import InvalidConfigError, ModelExecutionError
from esmkit.server import logs
from esmkit.server.catalog import Catalog, served_model
from esmkit.server.wire.esm2_docs import ErrorBody
from tests.server_stand_in import SLUG, Api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(load(SLUG), tmp_path_factory.mktemp("store"), models=(SLUG, "esm2-8m")) as running:
        yield running


def test_root_says_ok_as_the_hub_does(api: Api) -> None:
    body = api.get("/").json()
    assert body["status"] == "ok"
    assert body["message"].startswith("esmkit ")
    assert body["supported_models"] == [SLUG, "esm2-8m"]


@pytest.mark.parametrize("path", ["/api/ui/community-api-models/", "/ui/community-api-models"])
def test_catalogue_has_what_biolms_clients_read(api: Api, path: str) -> None:
    entries = api.get(path).json()
    assert [entry["model_slug"] for entry in entries] == [SLUG, "esm2-8m"]
    assert [entry["model_name"] for entry in entries] == ["ESM-2 mini", "ESM-2 8M"]
    for entry in entries:
        assert entry["actions"] == ["encode", "predict", "score", "log_prob"]
        assert entry["encoder"] is entry["predictor"] is True
    page = api.get(f"{path.rstrip('/')}/ESM2-8M/?code_examples=true&exclude_docs_html=true").json()
    assert set(page["code_examples"]) == set(page["actions"])
    assert api.get(f"{path.rstrip('/')}/nothing/").status_code == 404


def test_checkpoint_names_are_slugs_too(api: Api) -> None:
    response = api.post("/api/v1/models/esm2_t6_8M_UR50D/transform/", json={"instances": [{"data": {"text": "MKTAY"}}]})
    assert len(response.json()["predictions"]) == 1
    assert api.queue.calls[-1]["model"] == "esm2-8m"


def test_two_models_in_one_place_are_refused(api: Api) -> None:
    models = [served_model(name, api.queue.info(name)) for name in ("a/protein", "b/Protein")]
    with pytest.raises(InvalidConfigError, match="two models would be served as 'protein'"):
        Catalog(models)


def test_catalogue_pages_of_the_open_gateway_are_the_page_of_models(api: Api) -> None:
    for path in ("/catalog", "/catalog/ESM2-8m/"):
        moved = api.get(path, follow_redirects=False)
        assert (moved.status_code, moved.headers["location"]) == (308, "/models")


def test_catalogue_commands_run_as_they_stand(api: Api) -> None:
    page = api.get(f"/api/ui/community-api-models/{SLUG}/").json()
    for action, command in page["code_examples"].items():
        _, url, *_, data = shlex.split(command)
        assert api.post(url, json=json.loads(data)).status_code == 200, action


def test_resource_specs_tell_memory_and_time_per_model(api: Api) -> None:
    specs = api.get("/resource-specs").json()
    assert list(specs) == [SLUG, "esm2-8m"]
    assert specs[SLUG] | {"memory": 1, "timeout": 1200, "gpu": None, "max_containers": 1} == specs[SLUG]


@pytest.mark.parametrize("name", ["esm2", SLUG, "ESM2_T6_8M_UR50D"])
def test_knowledge_is_that_of_the_family(api: Api, name: str) -> None:
    known = api.get(f"/api/v1/{name}/knowledge").json()
    assert (known["slug"], known["display_name"]) == ("esm2", "ESM2")
    assert known["strengths"]
    assert known["dont_use_when"]
    page = api.get(f"/api/v1/{name}/knowledge/?format=md")
    assert page.headers["content-type"].startswith("text/markdown")
    assert page.text.startswith("# ESM2\n")


def test_knowledge_of_others_is_a_404_and_no_model_call(api: Api) -> None:
    assert api.get("/api/v1/evo/knowledge").status_code == 404
    assert api.get("/api/v1/esm2/knowledge?format=pdf").status_code == 400
    assert api.post(f"/api/v1/{SLUG}/knowledge", json={}).status_code == 404
    assert api.request("OPTIONS", "/api/v1/esm2/knowledge").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path", ["/", "/health/live", "/docs", "/openapi.json", "/metrics", f"/api/v3/schema/{SLUG}/encode/", "/nothing"]
)
def test_head_says_what_get_says_without_the_body(api: Api, path: str) -> None:
    got, head = api.get(path), api.request("HEAD", path)
    assert head.content == b""
    assert head.status_code == got.status_code
    for name in ("content-type", "content-security-policy", "content-length"):
        assert (name == "content-length" and path == "/metrics") or head.headers[name] == got.headers[name]


def test_head_of_a_model_call_is_refused(api: Api) -> None:
    response = api.request("HEAD", f"/api/v3/{SLUG}/encode")
    assert (response.status_code, response.headers["allow"], response.content) == (405, "POST", b"")
    assert api.request("DELETE", "/health/live").headers["allow"] == "GET, HEAD"


# Schema and documentation


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
@pytest.mark.parametrize(("action", "aliased"), [("encode", "encode"), ("predict", "predict"), ("score", "log_prob")])
def test_schema_has_what_biolms_clients_read(api: Api, version: str, action: str, aliased: str) -> None:
    schema = api.get(f"/api/{version}/schema/{SLUG.upper()}/{action}/").json()
    assert schema["properties"]["items"]["maxItems"] == 8
    assert re.fullmatch(r"\d+/(second|minute)", schema["throttle_rate"])
    sequence = schema["properties"]["items"]["items"]["properties"]["sequence"]
    characters = 2048 * (len("<mask>") if action == "predict" else 1)
    assert (sequence["minLength"], sequence["maxLength"]) == (1, characters)
    assert "2048 residues" in sequence["description"]
    assert re.fullmatch(sequence["pattern"], "MKT<mask>A" if action == "predict" else "MKTA")
    assert ("include" in schema["properties"]["params"]["properties"]) == (action == "encode")
    assert "$ref" not in json.dumps(schema)
    assert schema.get("additionalProperties", True) == (version != "v1")
    assert schema == api.get(f"/api/{version}/schema/{SLUG}/{aliased}").json()


def test_schema_of_what_is_not_there_is_a_404(api: Api) -> None:
    assert api.get("/api/v3/schema/esm9/encode/").status_code == 404
    assert api.get(f"/api/v3/schema/{SLUG}/fold/").status_code == 404


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_documentation_pages_load_nothing_from_elsewhere(api: Api, path: str) -> None:
    page = api.get(path)
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(sources) >= 2
    for source in sources:
        assert source.startswith(("/", "#"))
        if source.startswith(("/static-offline-docs/", "/static/")):
            assert api.get(source).status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]


# Health, status, metrics


def test_health_follows_the_queue(api: Api) -> None:
    assert api.get("/health/live").json() == {"status": "alive"}
    assert api.get("/health/ready").json() == {"status": "ready", "models": {SLUG: "ready", "esm2-8m": "ready"}}
    api.queue.is_ready = False
    try:
        for path in ("/health/ready", "/health"):
            response = api.get(path)
            assert (response.status_code, response.json()["status"]) == (503, "not ready")
        assert api.get("/health/live").status_code == 200
        assert api.get("/status.json").json()["status"] == "down"
    finally:
        api.queue.is_ready = True


def test_draining_refuses_new_work_and_says_so(api: Api) -> None:
    api.app.state.services.draining = True
    try:
        response = api.call("encode", "MKT")
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        ErrorBody.model_validate_json(response.content)
        assert api.get("/health/ready").json()["status"] == "draining"
        assert api.get("/health/ready").status_code == 503
    finally:
        api.app.state.services.draining = False


def test_status_tells_probes_and_incidents(tmp_path: Path) -> None:
    with Api(load(SLUG), tmp_path) as api:
        status = api.app.state.services.status
        assert api.loop.run(status.probe(SLUG, SLUG)) is True
        api.queue.fails_with = ModelExecutionError("broken")
        assert api.loop.run(status.probe(SLUG, SLUG)) is False
        api.store.incidents.open("slow disk", models=[SLUG])
        page = api.get("/status.json").json()
        [model] = page["models"]
        assert (model["model"], model["state"], model["uptime"], model["last_ok"]) == (SLUG, "ready", 0.5, False)
        assert model["p50_ms"] > 0
        assert model["p95_ms"] > 0
        assert len(model["days"]) == page["days"] == 90
        assert model["days"][-1]["probes"] == 2
        assert page["status"] == "degraded"
        assert [incident["title"] for incident in page["incidents"]] == ["slow disk"]


@pytest.mark.parametrize(
    ("state", "is_down", "probes"),
    [("ready", False, 1), ("failed", False, 1), ("unloaded", False, 0), ("loading", False, 0), ("loading", True, 1)],
)
def test_only_models_that_are_loaded_or_should_be_are_probed(
    tmp_path: Path, state: str, is_down: bool, probes: int
) -> None:
    with Api(load(SLUG), tmp_path) as api:
        api.queue.state, api.queue.is_down = state, is_down

        async def first_round() -> None:
            task = asyncio.create_task(api.app.state.services.status.run(1000))
            await asyncio.sleep(0.5 if probes else 0.05)
            task.cancel()

        api.loop.run(first_round())
        assert len(api.queue.calls) == probes


def test_metrics_count_requests_and_read_the_queue(tmp_path: Path) -> None:
    with Api(load(SLUG), tmp_path) as api:
        api.call("encode", "MKTAY", "GG")
        api.call("encode", "bad")
        api.get("/nothing")
        text = api.get("/metrics").text
        for line in (
            'esmkit_http_requests_total{route="/api/v3/{slug}/{action}",status="200"} 1.0',
            'esmkit_http_requests_total{route="/api/v3/{slug}/{action}",status="400"} 1.0',
            'esmkit_http_requests_total{route="unmatched",status="404"} 1.0',
            'esmkit_residues_total{action="encode",model="esm2-mini"} 7.0',
            'esmkit_errors_total{code="user.validation"} 1.0',
            'esmkit_request_seconds_count{action="encode",model="esm2-mini"} 2.0',
            'esmkit_queue_tokens{model="esm2-mini"} 3.0',
            'esmkit_batches_total{model="esm2-mini"} 5.0',
            "esmkit_cache_hits_total 0.0",
        ):
            assert line in text.splitlines()


# Headers and logs


def test_every_answer_has_security_headers_and_a_request_id(api: Api) -> None:
    for response in (api.get("/"), api.get("/nothing"), api.call("encode", "MKT"), api.call("encode", "bad")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert response.headers["cache-control"] == "no-store"
        assert len(response.headers["x-request-id"]) == 32
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(("given", "kept"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False)])
def test_a_sensible_request_id_is_kept(api: Api, given: str, kept: bool) -> None:
    assert (api.get("/", headers={"X-Request-ID": given}).headers["x-request-id"] == given) == kept


def test_cors_only_for_configured_origins(tmp_path: Path) -> None:
    with Api(load(SLUG), tmp_path, cors_origins=("https://lab.example",)) as api:
        good = api.get("/", headers={"Origin": "https://lab.example"})
        assert good.headers["access-control-allow-origin"] == "https://lab.example"
        assert "access-control-allow-origin" not in api.get("/", headers={"Origin": "https://evil.example"}).headers
        asked = {"Origin": "https://lab.example", "Access-Control-Request-Method": "POST"}
        headers = asked | {"Access-Control-Request-Headers": "authorization, content-type"}
        assert api.request("OPTIONS", f"/api/v3/{SLUG}/encode", headers=headers).status_code == 200


@pytest.fixture
def log() -> io.StringIO:
    """The log of the process, as `esmkit serve` configures it."""
    stream = io.StringIO()
    logs.configure("info", stream)
    return stream


def test_both_proteins_of_a_pair_are_logged_where_asked(tmp_path: Path, log: io.StringIO) -> None:
    with Api(load(SLUG), tmp_path, log_sequences=True) as api:
        body = {"items": [{"a": "MKTAY", "b": "GSHML"}], "params": {"shuffles": 0}}
        assert api.post(f"/api/v3/{SLUG}/compare/", json=body).status_code == 200
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    [request] = [line for line in lines if line["message"] == "request"]
    assert (request["items"], request["residues"]) == (2, 10)
    assert request["sequences"] == ["MKTAY", "GSHML"]


@pytest.mark.parametrize("asked", [False, True])
def test_logs_are_json_lines_without_sequences_unless_asked(tmp_path: Path, log: io.StringIO, asked: bool) -> None:
    secret = "MKTAYIAKQRQISFVK"
    with Api(load(SLUG), tmp_path, log_sequences=asked) as api:
        response = api.call("encode", secret)
        api.call("encode", secret.lower())
        api.queue.fails_with = RuntimeError("a bug")
        api.call("encode", secret)
        api.get("/health/live")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    requests = [line for line in lines if line["message"] == "request"]
    assert [line["status"] for line in requests] == [200, 400, 500]
    first = requests[0]
    assert first["request_id"] == response.headers["x-request-id"]
    assert (first["model"], first["action"], first["items"], first["residues"]) == (SLUG, "encode", 1, 16)
    assert any("a bug" in line.get("exception", "") for line in lines)
    assert (secret in log.getvalue()) == asked
    assert secret.lower() not in log.getvalue()
