"""The chat of the web app: who may talk, what goes where, and that a closed page stops the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from esmkit.engine import Model, load
from esmkit.errors import InvalidConfigError
from tests.chat_stand_in import Provider
from tests.cli_calls import examples
from tests.server_process import ServedProcess, until
from tests.server_stand_in import SLUG, Api

PROTEIN = examples()["P56552"]
SCORE = {"score_mutations": {"sequence": "seq1", "variants": [f"{PROTEIN[4]}5W"]}}


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture
def api(model: Model, tmp_path: Path, provider: Provider) -> Iterator[Api]:
    """A server with a chat, keys off."""
    with Api(model, tmp_path, chat_model="stand-in", chat_base_url=provider.url) as running:
        yield running


@pytest.fixture
def guarded(model: Model, tmp_path: Path, provider: Provider) -> Iterator[Api]:
    """The same, but it asks for keys, and its language model is elsewhere."""
    with Api(model, tmp_path, host="0.0.0.0", chat_model="big:cloud", chat_base_url=provider.url) as running:
        yield running


def say(api: Api, message: str, *, headers: Any = None, **rest: Any) -> list[dict[str, Any]]:
    """The events of an answer."""
    response = api.post("/web/chat/messages", json={"message": message, **rest}, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return events_of(response.text)


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(part.removeprefix("data: ")) for part in text.split("\n\n") if part]


def key_of(api: Api, **scopes: Any) -> dict[str, str]:
    _, secret = api.store.keys.create("lab", **scopes)
    return {"Authorization": f"Token {secret}"}


def test_an_answer_comes_as_events_and_the_conversation_goes_on(api: Api, provider: Provider) -> None:
    provider.replies = [SCORE, "Likely harmful.", "Yes."]
    first = say(api, f">P1\n{PROTEIN}\nIs {PROTEIN[4]}5W harmful?")
    kinds = [each["kind"] for each in first]
    assert kinds[:4] == ["conversation", "notice", "tool_call", "tool_result"]
    assert set(kinds[4:-1]) == {"text"}
    assert kinds[-1] == "done"
    second = say(api, "Sure?", conversation=first[0]["id"])
    assert second[0] == first[0]
    assert [each["role"] for each in provider.asked[-1].body["messages"]].count("user") == 2


def test_without_a_model_the_chat_is_off_and_says_how_to_switch_it_on(model: Model, tmp_path: Path) -> None:
    with Api(model, tmp_path) as api:
        page = api.get("/chat", headers={"Accept": "text/html"})
        assert "--chat-model" in page.text
        assert "pages/chat.js" not in page.text
        refused = api.post("/web/chat/messages", json={"message": "Hello"})
        assert refused.status_code == 400
        assert "--chat-model" in refused.json()["detail"]


def test_wrong_settings_stop_the_server_at_its_start(model: Model, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InvalidConfigError, match="OpenAI wants a key"):
        Api(model, tmp_path, chat_model="openai:gpt")


def test_nothing_leaves_the_server_before_the_notice_is_accepted(guarded: Api, provider: Provider) -> None:
    provider.replies = ["Hello."]
    headers = key_of(guarded)
    page = guarded.get("/chat", headers={"Accept": "text/html", **headers})
    assert "leave the machine" in page.text
    assert 'id="accept"' in page.text
    assert "Sequences stay on this server" not in page.text
    asked = say(guarded, f">P1\n{PROTEIN}", headers=headers)
    assert (asked[-1]["kind"], asked[-1]["must_accept"]) == ("notice", True)
    assert provider.asked == []
    assert say(guarded, "Hello", headers=headers, accept_notice=True)[-1]["kind"] == "done"


def test_a_key_is_needed_where_keys_are_on(guarded: Api, provider: Provider) -> None:
    for path, body in (("messages", {"message": "Hello", "accept_notice": True}), ("end", {"conversation": "x"})):
        assert guarded.post(f"/web/chat/{path}", json=body).status_code == 401
    assert guarded.get("/chat", headers={"Accept": "text/html"}).headers["location"] == "/login?next=/chat"
    assert provider.asked == []


def test_tools_work_with_the_callers_key_its_scopes_and_its_usage(guarded: Api, provider: Provider) -> None:
    provider.replies = [SCORE, "Done.", SCORE, "Refused."]
    message = f">P1\n{PROTEIN}"
    allowed, barred = key_of(guarded), guarded.store.keys.create("other", actions=["encode"])[1]
    events = say(guarded, message, headers=allowed, accept_notice=True)
    assert not next(each for each in events if each["kind"] == "tool_result")["is_error"]
    events = say(guarded, message, headers={"X-API-Key": barred}, accept_notice=True)
    refused = next(each for each in events if each["kind"] == "tool_result")
    assert refused["is_error"]
    assert "may not use mutations" in refused["content"]["error"]


def test_conversations_are_private_and_can_be_ended(guarded: Api, provider: Provider) -> None:
    provider.replies = ["Hello."]
    mine, yours = key_of(guarded), {"X-API-Key": guarded.store.keys.create("other")[1]}
    id_ = say(guarded, "Hello", headers=mine, accept_notice=True)[0]["id"]
    for path, body in (("messages", {"message": "Hello", "conversation": id_}), ("end", {"conversation": id_})):
        refused = guarded.post(f"/web/chat/{path}", json=body, headers=yours)
        assert (refused.status_code, refused.json()["errors"][0]["type"]) == (400, "user.unknown_conversation")
    assert guarded.post("/web/chat/end", json={"conversation": id_}, headers=mine).status_code == 200
    again = guarded.post("/web/chat/messages", json={"message": "Hello", "conversation": id_}, headers=mine)
    assert again.status_code == 400
    assert len(provider.asked) == 1


def test_pages_of_other_sites_cannot_talk(api: Api, provider: Provider) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}
    response = api.post("/web/chat/messages", content=b'{"message": "Hello"}', headers=headers)
    assert response.status_code == 403
    assert provider.asked == []


def test_a_session_of_the_web_app_talks_and_its_tools_too(guarded: Api, provider: Provider) -> None:
    provider.replies = [SCORE, "Done."]
    _, secret = guarded.store.keys.create("lab")
    login = guarded.post("/web/login", json={"key": secret})
    cookie = login.headers["set-cookie"].split(";")[0]
    page = guarded.get("/chat", headers={"Accept": "text/html", "Cookie": cookie}).text
    frame = json.loads(page.split('id="frame">')[1].split("</script>")[0])
    body = {"message": f">P1\n{PROTEIN}", "accept_notice": True}
    assert guarded.post("/web/chat/messages", json=body, headers={"Cookie": cookie}).status_code == 403
    headers = {"Cookie": cookie, "X-CSRF-Token": frame["csrf"]}
    result = next(each for each in say(guarded, **body, headers=headers) if each["kind"] == "tool_result")
    assert not result["is_error"]


def test_a_closed_page_stops_the_answer_and_the_log_tells_nothing(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.replies = [None]
    monkeypatch.setenv("ESMKIT_CHAT_API_KEY", "s3cret")
    with ServedProcess(tmp_path, "--chat-model", "stand-in", "--chat-base-url", provider.url) as server:
        with (
            server.client() as client,
            client.stream("POST", "/web/chat/messages", json={"message": "Hello"}) as response,
        ):
            assert "more" in next(line for line in response.iter_lines() if '"text"' in line and "more" in line)
        until(lambda: provider.left == 1, timeout_s=30)
        assert httpx.get(f"{server.url}/chat", headers={"Accept": "text/html"}).status_code == 200
    assert provider.asked[0].headers["authorization"] == "Bearer s3cret"
    assert "s3cret" not in server.log_text()
    assert "Hello" not in server.log_text()
    assert not [line for line in server.log() if line["level"] in ("warning", "error", "critical")]
