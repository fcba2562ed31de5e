"""What is refused, how it is said, and what is ignored where BioLM ignores it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import zstandard

from esmkit.engine import load
from esmkit.errors import (
    DeadlineExceededError,
    DeviceMemoryError,
    InvalidSequenceError,
    ModelExecutionError,
    OverloadedError,
    WeightsError,
)
from esmkit.server.wire.esm2_docs import ErrorBody
from tests.embedded import SHAPE
from tests.server_stand_in import SLUG, Api

VERSIONS = ["v1", "v2", "v3"]
URL = f"/api/v3/{SLUG}/encode"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(load(SLUG), tmp_path_factory.mktemp("store"), max_body_bytes=200_000) as running:
        yield running


@pytest.fixture(autouse=True)
def _healthy(api: Api) -> Iterator[None]:
    yield
    api.queue.fails_with = None
    api.queue.breaks = {}


def refused(response: Any, status: int = 400) -> Any:
    """The error of a response, which has the one shape of all errors."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = ErrorBody.model_validate_json(response.content)
    assert body.status_code == status
    return body.error


# Sequences


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bad_item_is_blamed_in_biolms_form(api: Api, version: str) -> None:
    error = refused(api.call("encode", "MKT", "MKJ", "AAA", version=version))
    assert list(error) == ["items__1__sequence"]
    [message] = error["items__1__sequence"]
    assert message.startswith("position 3: found 'J'; allowed are the 20 amino acids")


def test_every_bad_item_is_named(api: Api) -> None:
    error = refused(api.call("encode", "mkt", "AAA", "", "A1"))
    assert {key: messages[0].split(";")[0] for key, messages in error.items()} == {
        "items__0__sequence": "position 1: found 'm'",
        "items__2__sequence": "the sequence is empty",
        "items__3__sequence": "position 2: found '1'",
    }


@pytest.mark.parametrize(
    ("action", "sequence", "message"),
    [
        ("encode", "MK<mask>", "position 3: found '<mask>'"),
        ("encode", "MK.", "position 3: found '.'"),
        ("encode", "MK:T", "position 3: found ':'"),
        ("encode", "MK\0", "position 3: found the character U+0000"),
        ("encode", "MK\u200b", "position 3: found the character U+200B"),
        ("encode", "\x03", "position 1: found the character U+0003"),
        ("encode", "M K", "position 2: found ' '"),
        ("encode", "A" * 2049, "2049 residues, at most 2048 are allowed"),
        ("predict", "MKT", "there is no <mask>"),
        ("predict", "<mask>-", "position 2: found '-'"),
        ("predict", "<mask", "position 1: found '<'"),
        ("predict", "<mask>\x03", "position 2: found the character U+0003"),
        ("predict", "<mask>" * 2049, "2049 residues"),
        ("log_prob", "MK<mask>", "position 3: found '<mask>'"),
        ("log_prob", "XX", "none of the 20 amino acids"),
    ],
)
def test_sequences_are_checked_by_action(api: Api, action: str, sequence: str, message: str) -> None:
    before = len(api.queue.calls)
    error = refused(api.call(action, sequence))
    assert error["items__0__sequence"][0].startswith(message)
    assert len(api.queue.calls) == before


def test_a_mask_counts_as_one_residue(api: Api) -> None:
    assert api.call("predict", "<mask>" * 64 + "A" * 1984).status_code == 200


def test_messages_never_repeat_a_sequence(api: Api) -> None:
    secret = "MKTAYIAKQRQISFVKSHFSRQ"
    for response in (
        api.call("encode", secret * 100),
        api.call("encode", secret.lower()),
        api.call("predict", secret),
        api.post(URL, json={"items": [{"sequence": [secret]}]}),
        api.post(URL, json={"items": [secret]}),
        api.post(URL, json={"items": secret}),
        api.post(URL, json={"items": [{"sequence": "A"}], "params": {"include": [secret]}}),
        api.post(URL, content=b'{"items": "' + secret.encode(), headers=JSON),
    ):
        refused(response)
        assert secret[:6] not in response.text.upper()


def test_a_very_long_sequence_is_refused_at_once(api: Api) -> None:
    error = refused(api.call("encode", "A" * 100_000))
    assert error["items__0__sequence"] == [
        "100000 residues, at most 2048 are allowed; params.long may be window or truncate"
    ]
    assert "32768" in refused(api.call("encode", "A" * 100_000, long="window"))["items__0__sequence"][0]


# Parameters


@pytest.mark.parametrize(
    ("params", "key", "message"),
    [
        ({"repr_layers": [7]}, "params__repr_layers", "layer 7 does not exist"),
        ({"repr_layers": [-8]}, "params__repr_layers", "layer -8 does not exist"),
        ({"repr_layers": ["6"]}, "params__repr_layers", "Input should be a valid integer"),
        ({"repr_layers": []}, "params__repr_layers", "there should be at least 1 item"),
        ({"include": ["everything"]}, "params__include", "Input should be 'mean'"),
        ({"include": "mean"}, "params__include", "Input should be a valid array"),
        ({"include": []}, "params__include", "there should be at least 1 item"),
        ({"include": ["attentions"], "layers": [0]}, "params__layers", "layer 0 is the input embedding"),
        ({"include": ["attentions"], "layers": [9]}, "params__layers", "layer 9 does not exist"),
        (
            {"include": ["attentions"], "heads": [SHAPE.num_heads + 1]},
            "params__heads",
            f"head {SHAPE.num_heads + 1} does not exist",
        ),
        ({"heads": [1]}, "params__heads", "layers and heads choose attention maps"),
        ({"pool": "median"}, "params__pool", "Input should be 'mean' or 'max'"),
        ({"long": "cut"}, "params__long", "Input should be 'error'"),
        ({"deadline_s": 0}, "params__deadline_s", "Input should be greater than 0"),
        ({"priority": "high"}, "params__priority", "Input should be 'interactive' or 'bulk'"),
        ({"chains": {"linker": 0}}, "params__chains", "Input should be greater than or equal to 1"),
    ],
)
@pytest.mark.parametrize("version", ["v1", "v3"])
def test_parameters_are_checked(api: Api, version: str, params: dict[str, Any], key: str, message: str) -> None:
    error = refused(api.call("encode", "MKT", version=version, **params))
    assert error[key][0].startswith(message)


def test_windows_cannot_give_maps(api: Api) -> None:
    error = refused(api.call("encode", "A" * 2049, long="window", include=["mean", "contacts"]))
    assert error["params__long"][0].startswith("contacts relate residues")


@pytest.mark.parametrize("sequence", ["MK::T", ":MKT", "MKT:", ":"])
def test_empty_chains_are_refused_in_biolms_words(api: Api, sequence: str) -> None:
    error = refused(api.call("encode", sequence, chains={}))
    assert error["items__0__sequence"][0].startswith("Consecutive occurrences of ':' are not allowed")


def test_chains_are_never_truncated(api: Api) -> None:
    error = refused(api.call("encode", "A" * 1500 + ":" + "A" * 1500, chains={"linker": 5}, long="truncate"))
    assert error["items__0__sequence"][0].startswith("3005 residues, linkers included")


@pytest.mark.parametrize("action", ["encode", "predict", "log_prob"])
def test_v1_refuses_unknown_fields_and_the_others_ignore_them(api: Api, action: str) -> None:
    sequence = "MK<mask>" if action == "predict" else "MKT"
    body = {"items": [{"sequence": sequence, "name": "x"}], "params": {"odd": 1}, "extra": 2}
    error = refused(api.post(f"/api/v1/{SLUG}/{action}", json=body))
    assert set(error) == {"items__0__name", "params__odd", "extra"}
    for version in ("v2", "v3"):
        assert api.post(f"/api/{version}/{SLUG}/{action}", json=body).status_code == 200


def test_v2_and_v3_predict_ignore_the_params_of_biolms_docs(api: Api) -> None:
    body = {"items": [{"sequence": "MK<mask>"}], "params": {"repr_layers": [-1], "include": ["mean"]}}
    assert api.post(f"/api/v2/{SLUG}/predict/", json=body).status_code == 200
    refused(api.post(f"/api/v1/{SLUG}/predict/", json=body))


def test_params_may_be_null(api: Api) -> None:
    for version in VERSIONS:
        body = {"items": [{"sequence": "MKT"}], "params": None}
        assert api.post(f"/api/{version}/{SLUG}/encode", json=body).status_code == 200


# Bodies


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({}, "items"),
        ({"items": []}, "items"),
        ({"items": [{"sequence": "A"}] * 9}, "items"),
        ({"items": [{"sequence": "A"}] * 10_000}, "items"),
        ({"items": None}, "items"),
        ({"items": {"sequence": "A"}}, "items"),
        ({"items": [None]}, "items__0"),
        ({"items": [{}]}, "items__0__sequence"),
        ({"items": [{"sequence": None}]}, "items__0__sequence"),
        ({"items": [{"sequence": 5}]}, "items__0__sequence"),
        ({"items": [{"sequence": "A"}], "params": []}, "params"),
        ({"items": [{"sequence": "A"}], "params": "mean"}, "params"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_wrong_types_are_named(api: Api, version: str, body: Any, key: str) -> None:
    error = refused(api.post(f"/api/{version}/{SLUG}/encode", json=body))
    assert list(error) == [key]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b"null",
        b'"MKT"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"items": "\x00"}',
        b'{"items": NaN}',
        b"\x00",
    ],
)
@pytest.mark.parametrize("path", [URL, f"/api/v1/models/{SLUG}/encode"])
def test_bad_json_is_one_message(api: Api, path: str, body: bytes) -> None:
    error = refused(api.post(path, content=body, headers=JSON))
    assert isinstance(error, str | dict)
    assert len(str(error)) < 300


def test_many_errors_are_cut_short(api: Api) -> None:
    response = api.post(f"/api/v1/{SLUG}/encode", json={f"field{number}": 1 for number in range(5000)})
    assert len(refused(response)) == 32
    assert len(response.content) < 10_000


def test_a_field_called_error_does_not_look_like_an_error_in_an_error(api: Api) -> None:
    body = {"items": [{"sequence": "A"}], "error": 1, "x" * 1000: 2}
    assert set(refused(api.post(f"/api/v1/{SLUG}/encode", json=body))) == {"body__error", "x" * 64}


def test_legacy_errors_name_legacy_fields(api: Api) -> None:
    body = {"instances": [{"data": {"text": "MKT"}}, {"data": {"text": "MKJ"}}]}
    assert list(refused(api.post(f"/api/v1/models/{SLUG}/encode/", json=body))) == ["instances__1__data__text"]
    assert list(refused(api.post(f"/api/v1/models/{SLUG}/encode/", json={"items": []}))) == ["instances"]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_compressed_bodies_are_read(api: Api, encoding: str) -> None:
    text = orjson.dumps({"items": [{"sequence": "MKT" * 100}]})
    body = gzip.compress(text) if encoding == "gzip" else zstandard.compress(text)
    response = api.post(URL, content=body, headers={**JSON, "Content-Encoding": encoding})
    assert response.status_code == 200
    assert response.json() == api.post(URL, content=text, headers=JSON).json()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_refused(api: Api, encoding: str) -> None:
    text = b" " * 300_000_000
    body = gzip.compress(text, 1) if encoding == "gzip" else zstandard.compress(text)
    if encoding == "gzip":
        body = gzip.compress(text[:100_000_000], 9)
    assert len(body) < 200_000
    error = refused(api.post(URL, content=body, headers={**JSON, "Content-Encoding": encoding}), 413)
    assert "larger than 200000 bytes" in error


@pytest.mark.parametrize("body", [b"", b"no gzip", gzip.compress(b"{}" * 500)[:-9]])
def test_damaged_compression_is_refused(api: Api, body: bytes) -> None:
    error = refused(api.post(URL, content=body, headers={**JSON, "Content-Encoding": "gzip"}))
    assert "damaged" in str(error) or "JSON" in str(error)


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}]
)
def test_other_types_are_refused(api: Api, headers: dict[str, str]) -> None:
    assert "send application/json" in refused(api.post(URL, content=b"{}", headers=headers), 415)


def test_other_encodings_are_refused(api: Api) -> None:
    assert "gzip, zstd" in refused(api.post(URL, content=b"{}", headers={**JSON, "Content-Encoding": "br"}), 415)


@pytest.mark.parametrize("declared", [True, False])
def test_large_bodies_are_refused_before_they_are_read(api: Api, declared: bool) -> None:
    sent = 0

    async def chunks() -> Any:
        nonlocal sent
        for _ in range(1000):
            sent += 50_000
            yield b" " * 50_000

    headers = {**JSON, "Content-Length": "50000000"} if declared else JSON
    response = api.post(URL, content=chunks(), headers=headers)
    refused(response, 413)
    assert response.headers["connection"] == "close"
    assert sent <= 250_000


# Names


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_slash_and_case_do_not_matter(api: Api, version: str, slash: str) -> None:
    body = {"items": [{"sequence": "MKT"}]}
    assert api.post(f"/api/{version}/ESM2-Mini/Encode{slash}", json=body).status_code == 200


def test_unknown_models_and_actions_list_the_choices(api: Api) -> None:
    assert "choose from esm2-mini" in refused(api.post("/api/v3/esm9/encode", json={}), 404)
    assert "encode, predict, log_prob" in refused(api.post(f"/api/v3/{SLUG}/fold", json={}), 404)


def test_other_paths_and_methods_answer_json(api: Api) -> None:
    refused(api.get("/api/v4/x/y"), 404)
    refused(api.post("/api/v3/x"), 404)
    response = api.get(URL)
    refused(response, 405)
    assert response.headers["allow"] == "POST"


# Failures behind the API


def test_failed_items_blame_themselves_and_fail_the_request(api: Api) -> None:
    api.queue.breaks = {1: InvalidSequenceError("odd", record_id="x")}
    assert refused(api.call("encode", "AAA", "GGG")) == {"items__1__sequence": ["odd"]}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OverloadedError("full", retry_after_s=2.5), 429, "rate_limited"),
        (DeadlineExceededError("late"), 504, "system.error"),
        (DeviceMemoryError("large"), 413, "system.model_execution"),
        (ModelExecutionError("cuda assert at /home/me"), 500, "system.model_execution"),
        (WeightsError("/home/me/weights is damaged"), 500, "system.error"),
        (RuntimeError("a bug at /home/me"), 500, "system.error"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_failure_has_a_status_and_hides_what_is_inside(
    api: Api, error: Exception, status: int, code: str
) -> None:
    api.queue.fails_with = error
    response = api.call("encode", "MKT")
    message = refused(response, status)
    assert response.json()["code"] == code
    assert "/home/me" not in response.text
    if status == 429:
        assert response.headers["retry-after"] == "3"
    if status == 500:
        assert response.headers["x-request-id"] in message


def test_one_failed_execution_fails_the_request(api: Api) -> None:
    api.queue.breaks = {0: ModelExecutionError("nan")}
    refused(api.call("encode", "AAA", "GGG"), 500)
