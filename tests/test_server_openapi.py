"""The OpenAPI document says everything, and what it says is true: every example is sent, every answer is checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from esmkit.engine import load
from esmkit.server.actions import ACTIONS, Resources
from esmkit.server.service_docs import LoginCheck
from esmkit.server.wire.esm2_examples import SHOWN_WIDTH
from tests.server_stand_in import SLUG, Api

JSON = "application/json"
OWN = [action.name for action in ACTIONS.values() if action.is_served(Resources())]
BINARY = {"application/vnd.apache.arrow.stream", "application/x-npz", "application/x-safetensors"}
SERVICE_ROUTES = {
    "/",
    "/api/ui/community-api-models",
    "/api/ui/community-api-models/{slug}",
    "/api/usage",
    "/api/users/me",
    "/api/v1/{slug}/knowledge",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/resource-specs",
    "/status.atom",
    "/status.json",
    "/status/badge.svg",
    *(f"/api/{version}/schema/{{slug}}/{{action}}" for version in ("v1", "v2", "v3")),
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(load(SLUG), tmp_path_factory.mktemp("store"), models=(SLUG, "esm2-8m")) as running:
        yield running


@pytest.fixture(scope="module")
def document(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """What a node or the reference in its place says."""
    while "$ref" in node:
        target: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def checker(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    whole = {**schema, "components": document["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def examples(content: dict[str, Any]) -> dict[str, Any]:
    """Examples of a body by name."""
    if "example" in content:
        return {"": content["example"]}
    return {name: each["value"] for name, each in content.get("examples", {}).items()}


# It says everything


def test_every_route_is_listed(document: dict[str, Any]) -> None:
    actions = ("encode", "predict", "score", "log_prob")
    roots = ("/api/v1", "/api/v2", "/api/v3", "/api/v1/models")
    calls = {f"{root}/{slug}/{action}" for root in roots for slug in (SLUG, "esm2-8m") for action in actions}
    own = {f"/api/v3/{slug}/{name}" for slug in (SLUG, "esm2-8m") for name in ("mutations", *OWN)}
    assert set(document["paths"]) == SERVICE_ROUTES | calls | own
    assert jsonschema_rs.meta.is_valid(document["components"]["schemas"]["StatusPage"])


def test_every_operation_parameter_body_and_answer_is_described(document: dict[str, Any]) -> None:
    known_tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids) == 16 + 2 * (4 * 4 + 1 + len(OWN))
    for path, method, operation in operations(document):
        place = f"{method} {path}"
        assert operation["summary"], place
        assert operation["description"], place
        assert set(operation["tags"]) <= known_tags, place
        for parameter in operation.get("parameters", []):
            assert parameter["description"], f"{place}: {parameter['name']}"
        if method == "post":
            assert operation["requestBody"]["description"], place
    for scheme in document["components"]["securitySchemes"].values():
        assert scheme["description"]
    for header in document["components"]["headers"].values():
        assert header["description"]


def test_every_field_is_described(document: dict[str, Any]) -> None:
    schemas = dict(document["components"]["schemas"])
    for path, _, operation in operations(document):
        for status, answer in operation["responses"].items():
            for media, content in resolved(document, answer)["content"].items():
                schemas[f"{path} {status} {media}"] = content["schema"]
        if "requestBody" in operation:
            schemas[path] = operation["requestBody"]["content"][JSON]["schema"]
    assert len(schemas) > 100
    assert [place for name, schema in schemas.items() for place in undescribed(schema, name)] == []


def undescribed(schema: Any, at: str) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from undescribed(each, at)
    if isinstance(schema, dict):
        for name, field in schema.get("properties", {}).items():
            if not field.get("description"):
                yield f"{at}.{name}"
            yield from undescribed(field, f"{at}.{name}")
        for inner in ("items", "anyOf", "additionalProperties"):
            yield from undescribed(schema.get(inner), at)


def test_every_answer_has_a_schema_and_an_example_that_fits(document: dict[str, Any]) -> None:
    checked = 0
    for path, method, operation in operations(document):
        assert {"200", "500"} <= set(operation["responses"])
        for status, answer in operation["responses"].items():
            place = f"{method} {path} {status}"
            answer = resolved(document, answer)
            assert answer["description"], place
            assert "X-Request-ID" in answer["headers"], place
            for media, content in answer["content"].items():
                assert content["schema"], f"{place} {media}"
                if media in BINARY:
                    continue
                assert examples(content), f"{place} {media}"
                for example in examples(content).values():
                    checker(document, content["schema"]).validate(example)
                    checked += 1
    assert checked > 300


def test_errors_have_the_one_shape_and_the_status_that_they_are_under(document: dict[str, Any]) -> None:
    for status, answer in document["components"]["responses"].items():
        content = answer["content"][JSON]
        assert content["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
        assert f"Error{content['example']['status_code']}" == status
    model_call = document["paths"][f"/api/v3/{SLUG}/encode"]["post"]["responses"]
    assert set(model_call) == {"200", "400", "401", "403", "408", "413", "415", "429", "500", "503", "504"}


def test_model_calls_list_every_media_type(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if method == "post":
            is_plain = "/models/" in path or path.rpartition("/")[2] in OWN
            expected = {JSON} if is_plain else {JSON, *BINARY}
            assert set(operation["responses"]["200"]["content"]) == expected


def test_no_other_post_looks_like_a_model_to_hub_clients(document: dict[str, Any]) -> None:
    hub = re.compile(r"^/api/v1/([^/]+)/([^/]+)/?$")
    found = {
        hub.match(path).groups() for path, method, _ in operations(document) if method == "post" and hub.match(path)
    }  # type: ignore[union-attr]
    assert found == {(slug, name) for slug in (SLUG, "esm2-8m") for name in ("encode", "predict", "score", "log_prob")}


@pytest.mark.parametrize(("settings", "free"), [({}, True), ({"host": "0.0.0.0"}, False)])
def test_security_says_whether_a_key_is_needed(tmp_path: Path, settings: dict[str, Any], free: bool) -> None:
    with Api(load(SLUG), tmp_path, **settings) as api:
        paths = api.get("/openapi.json").json()["paths"]
    for path in (f"/api/v3/{SLUG}/encode", "/api/usage", "/api/users/me", "/metrics"):
        [operation] = paths[path].values()
        assert ({} in operation["security"]) == free
        assert {"token": []} in operation["security"]
    for path in ("/", "/health/ready", "/status.json"):
        assert "security" not in paths[path]["get"]


# What it says is true


def test_every_request_example_gets_what_its_answer_example_says(api: Api, document: dict[str, Any]) -> None:
    sent = 0
    for path, method, operation in operations(document):
        if method != "post":
            continue
        answer = operation["responses"]["200"]["content"][JSON]
        requests = examples(operation["requestBody"]["content"][JSON])
        assert set(requests) == set(examples(answer))
        for name, body in requests.items():
            checker(document, operation["requestBody"]["content"][JSON]["schema"]).validate(body)
            response = api.post(path, json=body)
            assert response.status_code == 200, f"{path} {name}: {response.text}"
            checker(document, answer["schema"]).validate(response.json())
            assert outline(response.json()) == outline(examples(answer)[name]), f"{path} {name}"
            sent += 1
    assert sent == 2 * (4 * (3 + 1 + 1 + 1) + 2 + len(OWN))


def test_every_get_answers_what_it_documents(api: Api, document: dict[str, Any]) -> None:
    api.store.incidents.open("slow disk", message="being replaced")
    api.call("encode", "MKT")
    assert api.loop.run(api.app.state.services.status.probe(SLUG, SLUG))
    sent = 0
    for path, method, operation in operations(document):
        if method != "get":
            continue
        values = {each["name"]: each for each in operation.get("parameters", [])}
        url = path.format(slug=SLUG, action="encode")
        query = {name: each["schema"]["examples"][0] for name, each in values.items() if "examples" in each["schema"]}
        response = api.get(url, params=query)
        content = operation["responses"]["200"]["content"]
        media = response.headers["content-type"].partition(";")[0]
        assert response.status_code == 200, f"{url}: {response.text}"
        assert media in content
        if media == JSON:
            checker(document, content[JSON]["schema"]).validate(response.json())
        sent += 1
    assert sent == 16


def outline(value: Any) -> Any:
    """A body without its numbers, and without the length of vectors, which examples cut short."""
    if isinstance(value, dict):
        return {key: outline(each) for key, each in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(each, float | int) for each in value):
            return "vector" if len(value) >= SHOWN_WIDTH else len(value)
        return [outline(each) for each in value]
    return type(value)


def test_every_error_is_what_is_documented(api: Api, document: dict[str, Any]) -> None:
    url = f"/api/v3/{SLUG}/encode"
    responses = [
        api.post(url, json={}),
        api.post("/api/v3/esm9/encode", json={}),
        api.get(url),
        api.post(url, content=b"{}", headers={"Content-Type": "text/plain"}),
        api.post(url, content=b" " * 20_000_000, headers={"Content-Type": JSON}),
        api.get("/api/usage", params={"since": "yesterday"}),
        api.get("/api/usage", params={"until": "0"}),
        api.get(f"/api/v1/{SLUG}/knowledge", params={"format": "xml"}),
    ]
    assert [response.status_code for response in responses] == [400, 404, 405, 415, 413, 400, 400, 400]
    for response in responses:
        checker(document, document["components"]["schemas"]["ErrorBody"]).validate(response.json())


def test_login_check_answers_what_its_type_says(api: Api) -> None:
    LoginCheck.model_validate_json(api.post("/api/v1/auth/login-check/").content)
