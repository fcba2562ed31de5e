"""The parts of the chat: pasted proteins as data, conversations of their owners, settings that say where text goes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from esmkit.agent.chat_conversations import Conversations, UnknownConversationError
from esmkit.agent.chat_sequences import Pasted
from esmkit.agent.chat_settings import ChatSettings, how_to_switch_on
from esmkit.errors import InvalidConfigError
from tests.cli_calls import examples

PROTEIN = examples()["P56552"]


# Proteins in messages


@pytest.mark.parametrize(
    ("message", "names", "rest"),
    [
        (f">a b c\n{PROTEIN}", ["a"], []),
        (
            f"Compare:\n>a\n{PROTEIN}\n>b\n{PROTEIN[:20]}\n{PROTEIN[20:50]}\n\nplease",
            ["a", "b"],
            ["Compare:", "", "please"],
        ),
        (f"{PROTEIN[:30]}\n{PROTEIN[30:]}\nIs it long?", ["unnamed"], ["Is it long?"]),
        (f"Is {PROTEIN} long?", ["unnamed"], []),
        (f">a\r\n{PROTEIN.lower()}\r\nTHANKS", ["a"], ["THANKS"]),
        (">a\nMKT<mask>AY\n>b\n", ["a", "b"], []),
        ("> you said\nthat it is so. MKTAYIAK?", [], ["> you said", "that it is so. MKTAYIAK?"]),
    ],
)
def test_proteins_in_a_message_become_lines_of_data(message: str, names: list[str], rest: list[str]) -> None:
    quoted = Pasted().quote(message)
    found, other = [], []
    for line in quoted.split("\n"):
        try:
            found.append(json.loads(line)["name"])
        except ValueError:
            other.append(line)
    if message.startswith("Is "):
        assert quoted == f"Is {Pasted().quote(PROTEIN)} long?"
    else:
        assert (found, other) == (names, rest)


def test_the_same_protein_keeps_its_reference() -> None:
    pasted = Pasted()
    pasted.quote(f">a\n{PROTEIN}\n>b\n{PROTEIN[::-1]}")
    assert json.loads(pasted.quote(f">c\n{PROTEIN}"))["pasted_protein"] == "seq1"
    given = {"proteins": [{"sequence": "seq2", "name": "seq"}], "n": 2, "other": "seq3"}
    assert pasted.resolved(given) == {"proteins": [{"sequence": PROTEIN[::-1], "name": "seq"}], "n": 2, "other": "seq3"}


# Conversations


def test_conversations_belong_to_their_owner_and_expire() -> None:
    now = [0.0]
    kept = Conversations(most=3, expiry_s=10, clock=lambda: now[0])
    mine = kept.start("ada")
    assert kept.find("ada", mine.id) is mine
    with pytest.raises(UnknownConversationError):
        kept.find("eve", mine.id)
    now[0] = 9
    kept.find("ada", mine.id)
    now[0] = 18
    assert kept.find("ada", mine.id) is mine
    now[0] = 28
    with pytest.raises(UnknownConversationError):
        kept.find("ada", mine.id)
    assert len(kept) == 0


def test_conversations_are_bounded_and_can_be_ended() -> None:
    kept = Conversations(most=3, expiry_s=10)
    first, *others = [kept.start(f"user {n}") for n in range(4)]
    assert len(kept) == 3
    with pytest.raises(UnknownConversationError):
        kept.find(first.owner, first.id)
    kept.end(others[0].owner, others[0].id)
    assert len(kept) == 2
    assert len({each.id for each in (first, *others)}) == 4
    assert min(len(each.id) for each in others) >= 32


def test_one_owner_cannot_drive_out_the_others() -> None:
    kept = Conversations(most=1000, expiry_s=10)
    mine = kept.start("ada")
    for _ in range(100):
        kept.start("eve")
    assert kept.find("ada", mine.id) is mine
    assert len(kept) == 21


# Settings


@pytest.mark.parametrize(
    ("model", "base_url", "place", "is_remote"),
    [
        ("openai:gpt", None, ("openai", "gpt", "api.openai.com"), True),
        ("anthropic:claude", None, ("anthropic", "claude", "api.anthropic.com"), True),
        ("ollama:qwen3:8b", None, ("ollama", "qwen3:8b", "127.0.0.1:11434"), False),
        ("ollama:gpt-oss:120b-cloud", None, ("ollama", "gpt-oss:120b-cloud", "127.0.0.1:11434"), True),
        ("qwen3:8b", "http://localhost:8080/v1/", ("compatible", "qwen3:8b", "localhost:8080"), False),
        ("Qwen/Qwen3-8B", "http://[::1]:8000/v1", ("compatible", "Qwen/Qwen3-8B", "[::1]:8000"), False),
        ("x", "http://10.0.0.7:8000/v1", ("compatible", "x", "10.0.0.7:8000"), True),
        ("x", "https://localhost.example.org/v1", ("compatible", "x", "localhost.example.org"), True),
    ],
)
def test_settings_say_where_text_goes(
    model: str, base_url: str | None, place: tuple[str, str, str], is_remote: bool
) -> None:
    settings = ChatSettings.resolve(model, {}, base_url=base_url, api_key="s3cret")
    assert settings is not None
    assert (settings.provider, settings.name, settings.host) == place
    assert settings.is_remote == is_remote
    assert ("leave the machine" in settings.notice) == is_remote
    assert settings.host in settings.notice
    assert ("not encrypted" in settings.notice) == (settings.host == "10.0.0.7:8000")
    assert "s3cret" not in repr(settings) + settings.notice


def test_without_a_model_there_is_no_chat_whatever_keys_there_are() -> None:
    assert ChatSettings.resolve(None, {"OPENAI_API_KEY": "s3cret"}) is None
    assert ChatSettings.resolve("", {}) is None
    assert "--chat-model" in how_to_switch_on()


def test_the_usual_variable_supplies_the_key() -> None:
    for model, variable in (("openai:gpt", "OPENAI_API_KEY"), ("anthropic:claude", "ANTHROPIC_API_KEY")):
        settings = ChatSettings.resolve(model, {variable: "s3cret"})
        assert settings is not None
        assert settings.api_key == "s3cret"
        with pytest.raises(InvalidConfigError, match=f"set chat_api_key or {variable}"):
            ChatSettings.resolve(model, {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "gpt"}, "write openai:NAME, anthropic:NAME, ollama:NAME, or give chat_base_url"),
        ({"model": "x", "base_url": "127.0.0.1:8080"}, "is no address"),
        ({"model": "x", "base_url": "ftp://host/v1"}, "is no address"),
        ({"model": "x", "base_url": "http://host:port/v1"}, "is no address"),
        ({"model": "x", "base_url": "https://me:s3cret@host/v1"}, "put it into chat_api_key"),
        ({"model": None, "base_url": "http://host/v1"}, "chat_model names the language model"),
    ],
)
def test_wrong_settings_are_refused(values: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message) as caught:
        ChatSettings.resolve(environment={}, **values)
    assert "s3cret" not in str(caught.value)
