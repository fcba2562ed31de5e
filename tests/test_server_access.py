"""Who may call, how much, what is counted, and what happens when a client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esmkit.engine import Model, load
from esmkit.errors import InvalidConfigError
from esmkit.server.wire.esm2_docs import ErrorBody
from tests.server_stand_in import SLUG, Api


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture
def guarded(model: Model, tmp_path: Path) -> Iterator[Api]:
    """A server that asks for keys."""
    with Api(model, tmp_path, host="0.0.0.0") as api:
        yield api


FORMS = {
    "token": lambda key: {"Authorization": f"Token {key}"},
    "bearer": lambda key: {"Authorization": f"bearer {key}"},
    "header": lambda key: {"X-API-Key": key},
    "cookie": lambda key: {"Cookie": f"access={key};refresh=whatever"},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_header_form_carries_a_key(guarded: Api, form: str) -> None:
    _, secret = guarded.store.keys.create("lab")
    assert guarded.call("encode", "MKT", headers=FORMS[form](secret)).status_code == 200
    wrong = guarded.call("encode", "MKT", headers=FORMS[form]("esk_" + "A" * 43))
    assert wrong.status_code == 401
    assert wrong.json()["error"] == "Unauthorized"
    assert wrong.json()["code"] == "auth_failed"
    ErrorBody.model_validate_json(wrong.content)


def test_without_a_key_nothing_is_computed_or_even_read(guarded: Api) -> None:
    for path in (f"v1/{SLUG}/encode", f"v2/{SLUG}/encode/", "v3/nothing/encode/", f"v1/models/{SLUG}/x/"):
        response = guarded.post(f"/api/{path}", content=b"x" * 100, headers={"Content-Type": "text/plain"})
        assert response.status_code == 401
        assert "WWW-Authenticate" in response.headers
    assert guarded.queue.calls == []


def test_revoked_and_expired_keys_are_refused(guarded: Api) -> None:
    _, secret = guarded.store.keys.create("lab")
    assert guarded.call("encode", "MKT", headers=FORMS["token"](secret)).status_code == 200
    guarded.store.keys.revoke("lab")
    assert guarded.call("encode", "MKT", headers=FORMS["token"](secret)).status_code == 401


def test_scopes_bind_models_and_actions(guarded: Api) -> None:
    _, encoder = guarded.store.keys.create("encoder", actions=["encode"])
    _, other = guarded.store.keys.create("other", models=["esm2-650m"])
    assert guarded.call("Encode", "MKT", headers=FORMS["token"](encoder)).status_code == 200
    for action, secret in (("score", encoder), ("encode", other)):
        response = guarded.call(action, "MKT", headers=FORMS["token"](secret))
        assert response.status_code == 403
        assert "may not use" in response.json()["error"]


def test_public_pages_need_no_key(guarded: Api) -> None:
    for path in ("/", "/health/ready", "/health/live", "/status.json", "/openapi.json", "/docs"):
        assert guarded.get(path).status_code == 200
    assert guarded.get(f"/api/v3/schema/{SLUG}/encode/").status_code == 200
    assert guarded.get("/api/ui/community-api-models/").status_code == 200


def test_metrics_need_an_admin_key_where_keys_are_on(guarded: Api, model: Model, tmp_path: Path) -> None:
    _, admin = guarded.store.keys.create("prometheus", admin=True)
    _, plain = guarded.store.keys.create("lab")
    assert guarded.get("/metrics").status_code == 401
    assert guarded.get("/metrics", headers=FORMS["bearer"](plain)).status_code == 403
    assert guarded.get("/metrics", headers=FORMS["bearer"](admin)).status_code == 200
    (tmp_path / "open").mkdir()
    with Api(model, tmp_path / "open", host="0.0.0.0", metrics_open=True) as api:
        assert api.get("/metrics").status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_loopback_any_token_will_do(model: Model, tmp_path: Path, host: str) -> None:
    with Api(model, tmp_path, host=host) as api:
        for headers in ({}, FORMS["token"]("anything"), FORMS["cookie"]("a.b.c")):
            assert api.call("encode", "MKT", headers=headers).status_code == 200
            assert api.post("/api/v1/auth/login-check/", headers=headers).json() == {
                "status": "ok",
                "username": "anonymous",
            }


def test_login_check_and_user_page(guarded: Api) -> None:
    _, secret = guarded.store.keys.create("lab")
    headers = FORMS["token"](secret)
    answer = guarded.post("/api/v1/auth/login-check/", headers=headers)
    assert answer.json() == {"status": "ok", "username": "lab"}
    assert "code" in guarded.post("/api/v1/auth/login-check/").json()
    guarded.call("encode", "MKT", headers=headers)
    user = guarded.get("/api/users/me/", headers=FORMS["bearer"](secret)).json()
    assert (user["username"], user["api_use_count"]) == ("lab", 1)


# Usage


def test_a_key_sees_its_own_usage(guarded: Api) -> None:
    secrets = {name: guarded.store.keys.create(name)[1] for name in ("a", "b")}
    guarded.call("encode", "MKTAY", "GG", headers=FORMS["token"](secrets["a"]))
    guarded.call("encode", "MKTAY", headers=FORMS["token"](secrets["a"]))
    guarded.call("score", "MK", headers=FORMS["token"](secrets["b"]))
    guarded.call("encode", "bad", headers=FORMS["token"](secrets["a"]))
    usage = guarded.get("/api/usage", headers=FORMS["token"](secrets["a"])).json()
    [row] = usage["usage"]
    assert (row["model"], row["action"], row["requests"], row["residues"]) == (SLUG, "encode", 2, 12)
    assert row["seconds"] > 0
    assert usage["totals"]["residues"] == 12
    [other] = guarded.get("/api/usage", headers=FORMS["token"](secrets["b"])).json()["usage"]
    assert (other["action"], other["residues"]) == ("log_prob", 2)
    nothing = guarded.get("/api/usage?since=2999-01-01", headers=FORMS["token"](secrets["a"])).json()
    assert nothing["usage"] == []
    bad = guarded.get("/api/usage?since=yesterday", headers=FORMS["token"](secrets["a"]))
    assert bad.status_code == 400
    ErrorBody.model_validate_json(bad.content)


def test_usage_that_cannot_be_written_is_kept(guarded: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    _, secret = guarded.store.keys.create("lab")
    ledger, add = guarded.app.state.services.ledger, guarded.store.usage.add

    def broken(rows: Any) -> None:
        raise InvalidConfigError("the disk is full")

    monkeypatch.setattr(guarded.store.usage, "add", broken)
    for _ in range(2):
        guarded.call("encode", "MKT", headers=FORMS["token"](secret))
        guarded.loop.run(ledger.flush())
    monkeypatch.setattr(guarded.store.usage, "add", add)
    guarded.loop.run(ledger.flush())
    guarded.loop.run(ledger.flush())
    [row] = guarded.store.usage.report()
    assert (row.requests, row.residues) == (2, 6)


# Rates


def limited(model: Model, folder: Path, **limits: int) -> Api:
    return Api(model, folder, host="0.0.0.0", **limits)


def test_requests_per_second_are_limited_per_key(model: Model, tmp_path: Path) -> None:
    with limited(model, tmp_path, limit_requests_per_s=2) as api:
        secrets = [api.store.keys.create(name)[1] for name in ("a", "b")]
        codes = [api.call("encode", "MKT", headers=FORMS["token"](secrets[0])).status_code for _ in range(8)]
        assert codes[:2] == [200, 200]
        assert 429 in codes
        last = api.call("encode", "MKT", headers=FORMS["token"](secrets[0]))
        while last.status_code != 429:
            last = api.call("encode", "MKT", headers=FORMS["token"](secrets[0]))
        assert last.json()["code"] == "rate_limited"
        assert int(last.headers["retry-after"]) >= 1
        assert last.headers["ratelimit-limit"] == "2"
        other = api.call("encode", "MKT", headers=FORMS["token"](secrets[1]))
        assert other.status_code == 200
        assert (other.headers["ratelimit-limit"], other.headers["ratelimit-remaining"]) == ("2", "1")
        assert api.get(f"/api/v3/schema/{SLUG}/encode").json()["throttle_rate"] == "2/second"


@pytest.mark.parametrize(
    ("setting", "code"), [("limit_residues_per_minute", "rate_limited"), ("limit_residues_per_day", "quota_exceeded")]
)
def test_residues_are_limited_in_biolms_codes(model: Model, tmp_path: Path, setting: str, code: str) -> None:
    with limited(model, tmp_path, **{setting: 100}) as api:
        headers = FORMS["token"](api.store.keys.create("a")[1])
        first = api.call("encode", "A" * 60, headers=headers)
        assert (first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == ("100", "40")
        refused = api.call("encode", "A" * 60, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (429, code)
        assert int(refused.headers["retry-after"]) > 10
        assert "this request needs 60" in refused.json()["error"]
        assert api.call("encode", "A" * 30, headers=headers).status_code == 200
        assert api.call("encode", "A" * 101, headers=headers).status_code == 429


def test_requests_at_a_time_are_limited(model: Model, tmp_path: Path) -> None:
    with limited(model, tmp_path, limit_concurrent=2) as api:
        headers = FORMS["token"](api.store.keys.create("a")[1])
        codes = api.loop.run(_burst(api, 5, headers))
        assert sorted(codes) == [200, 200, 429, 429, 429]
        assert sorted(api.loop.run(_burst(api, 2, headers))) == [200, 200]


async def _burst(api: Api, number: int, headers: dict[str, str]) -> list[int]:
    api.queue.gate.clear()
    async with api.client() as client:
        body = {"items": [{"sequence": "MKT"}]}
        tasks = [
            asyncio.create_task(client.post(f"/api/v3/{SLUG}/encode", json=body, headers=headers))
            for _ in range(number)
        ]
        done = 0
        while done + api.queue.waiting < number:
            await asyncio.sleep(0.01)
            done = sum(task.done() for task in tasks)
        api.queue.gate.set()
        return [(await task).status_code for task in tasks]


def test_large_answers_are_refused_or_wait_their_turn(model: Model, tmp_path: Path) -> None:
    one = 4 * 100 * model.width
    with Api(model, tmp_path, max_answer_bytes=one, max_answers_bytes=2 * 4 * one) as api:
        too_large = api.call("encode", "A" * 101, include=["per_token"])
        assert too_large.status_code == 413
        assert "fewer" in too_large.json()["error"]

        async def several() -> list[int]:
            api.queue.gate.clear()
            body = {"items": [{"sequence": "A" * 100}], "params": {"include": ["per_token"]}}
            async with api.client() as client:
                tasks = [asyncio.create_task(client.post(f"/api/v3/{SLUG}/encode", json=body)) for _ in range(3)]
                while sum(task.done() for task in tasks) + api.queue.waiting < 3:
                    await asyncio.sleep(0.01)
                api.queue.gate.set()
                return sorted([(await task).status_code for task in tasks])

        assert api.loop.run(several()) == [200, 200, 429]
        assert api.loop.run(several()) == [200, 200, 429]


def test_bodies_share_the_memory_while_they_are_sent(model: Model, tmp_path: Path) -> None:
    may_end = asyncio.Event()
    begun = 0

    async def slow() -> Any:
        nonlocal begun
        yield b" " * 60_000
        begun += 1
        await may_end.wait()
        yield b'{"items": [{"sequence": "MKT"}]}'

    async def two() -> list[Any]:
        async with api.client() as client:
            path, headers = f"/api/v3/{SLUG}/encode", {"Content-Type": "application/json"}
            first = asyncio.create_task(client.post(path, content=slow(), headers=headers))
            while not begun:
                await asyncio.sleep(0.01)
            second = await client.post(path, content=slow(), headers=headers)
            may_end.set()
            return [await first, second, await client.post(path, content=slow(), headers=headers)]

    with Api(model, tmp_path, max_answers_bytes=100_000) as api:
        answers = api.loop.run(two())
        assert [answer.status_code for answer in answers] == [200, 429, 200]
        assert int(answers[1].headers["retry-after"]) >= 1


def test_rates_that_cannot_be_counted_are_refused_at_start(model: Model, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="limits_storage_url"):
        Api(model, tmp_path, limits_storage_url="nonsense://")


# Clients that go away, or are slow


def test_a_client_that_leaves_takes_its_work_along(model: Model, tmp_path: Path) -> None:
    with Api(model, tmp_path) as api:
        sent = api.loop.run(_leave(api, after="body"))
        assert sent == []
        assert api.queue.cancelled == 1
        assert api.queue.waiting == 0
        assert api.call("encode", "MKT").status_code == 200
        assert 'status="499"' in api.get("/metrics").text


def test_a_client_that_leaves_before_the_body_is_here_costs_nothing(model: Model, tmp_path: Path) -> None:
    with Api(model, tmp_path) as api:
        assert api.loop.run(_leave(api, after="head")) == []
        assert api.queue.calls == []


async def _leave(api: Api, *, after: str) -> list[Any]:
    """A raw ASGI request whose client disconnects."""
    sent: list[Any] = []
    api.queue.gate.clear()
    body = b'{"items": [{"sequence": "MKT"}]}'
    messages = [{"type": "http.request", "body": body, "more_body": False}] if after == "body" else []

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        while after == "body" and not api.queue.waiting:
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/api/v3/{SLUG}/encode",
        "raw_path": b"",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": ("1.2.3.4", 5),
        "http_version": "1.1",
        "scheme": "http",
        "server": ("esmkit.test", 80),
        "asgi": {"version": "3.0"},
        "root_path": "",
    }
    await api.app(scope, receive, send)
    api.queue.gate.set()
    return sent


def test_a_slow_body_is_given_up(model: Model, tmp_path: Path) -> None:
    async def drips() -> Any:
        yield b"{"
        await asyncio.sleep(30)

    with Api(model, tmp_path, body_timeout_s=0.1) as api:
        response = api.post(f"/api/v3/{SLUG}/encode", content=drips(), headers={"Content-Type": "application/json"})
        assert response.status_code == 408
        ErrorBody.model_validate_json(response.content)
        assert response.headers["connection"] == "close"
