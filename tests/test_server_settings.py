"""Settings of the server: who wins, what is refused, what is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from esmkit.errors import InvalidConfigError
from esmkit.server.settings import ServerSettings, describe
from tests.cli_calls import Esmkit, in_process

DOCS = Path(__file__).parents[1] / "docs" / "server.md"


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "serve.toml"
    path.write_text('port = 1\nhost = "file"\nmax_items = 16\nmodels = ["esm2-8m", "esm2-35m"]\nlazy = true\n')
    return path


def test_flags_win_over_environment_over_file_over_defaults(file: Path) -> None:
    environment = {"ESMKIT_PORT": "2", "ESMKIT_HOST": "environment", "ESMKIT_LAZY": "", "ESMKIT_AUTH": "on"}
    settings = ServerSettings.resolve({"port": 3, "max_items": None}, environment, path=file)
    assert (settings.port, settings.host, settings.max_items, settings.auth) == (3, "environment", 16, "on")
    assert (settings.models, settings.lazy, settings.max_residues) == (("esm2-8m", "esm2-35m"), True, 2048)


def test_the_environment_names_the_file_and_lists_with_commas(file: Path) -> None:
    environment = {"ESMKIT_CONFIG": str(file), "ESMKIT_MODELS": "esm2-mini, esm2-650m"}
    settings = ServerSettings.resolve({}, environment)
    assert (settings.models, settings.max_items) == (("esm2-mini", "esm2-650m"), 16)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ESMKIT_PORT": "http"}, r"^ESMKIT_PORT='http': .*integer"),
        ({"ESMKIT_MAX_ITEMS": "0"}, "^ESMKIT_MAX_ITEMS must be at least 1, not 0$"),
        ({"ESMKIT_AUTH": "maybe"}, "^ESMKIT_AUTH='maybe': .*'auto', 'on' or 'off'"),
        ({"ESMKIT_MODELS": " , "}, "name at least one model"),
        ({"ESMKIT_SSL_KEYFILE": "key.pem"}, "give ssl_certfile and ssl_keyfile, or neither"),
        ({"ESMKIT_CONFIG": "/nowhere.toml"}, "^/nowhere.toml: No such file"),
    ],
)
def test_wrong_values_are_named_with_their_place(environment: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        ServerSettings.resolve({}, environment)


@pytest.mark.parametrize(
    ("text", "message"), [("prt = 1", "did you mean port"), ("port = ", "is no TOML file"), ('port = "x"', "port='x'")]
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(text)
    with pytest.raises(InvalidConfigError, match=message):
        ServerSettings.resolve({}, {}, path=path)


@pytest.mark.parametrize(
    ("host", "asks"),
    [
        *[("127.0.0.1", False), ("127.9.9.9", False), ("::1", False), ("localhost", False)],
        *[("0.0.0.0", True), ("::", True), ("10.0.0.1", True), ("my.host", True)],
    ],
)
def test_keys_are_asked_for_on_everything_but_loopback(host: str, asks: bool) -> None:
    assert ServerSettings(host=host).asks_for_keys == asks
    assert ServerSettings(host=host, auth="on").asks_for_keys
    assert not ServerSettings(host=host, auth="off").asks_for_keys


def test_printed_settings_hold_no_secret(esmkit: Esmkit, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("ESMKIT_DATABASE_URL", "postgresql://me:s3cret@host/esm")
    call = esmkit("serve", "--print-config", "--config", file, "--limits-storage-url", "redis://:s3cret@h:1")
    assert call.code == 0, call.err
    shown = json.loads(call.out)
    assert "s3cret" not in call.out
    assert shown["database_url"] == "postgresql://me:***@host/esm"
    assert shown["limits_storage_url"] == "redis://:***@h:1"
    assert (shown["port"], shown["models"]) == (1, ["esm2-8m", "esm2-35m"])
    assert tuple(shown) == ServerSettings.names()


@pytest.mark.parametrize(
    ("name", "url", "shown"),
    [
        (
            "database_url",
            "postgresql://host/esm?password=s3cret&sslmode=require",
            "postgresql://host/esm?password=***&sslmode=require",
        ),
        ("limits_storage_url", "redis://:s3cret/of@x@host:1/2", "redis://:***@host:1/2"),
        ("limits_storage_url", "redis://host:1/2", "redis://host:1/2"),
    ],
)
def test_passwords_are_hidden_wherever_a_url_holds_them(name: str, url: str, shown: str) -> None:
    assert ServerSettings(**{name: url}).shown()[name] == shown


def test_a_variable_may_name_a_file_with_the_value(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("postgresql://me:s3cret@host/esm\n")
    environment = {"ESMKIT_DATABASE_URL_FILE": str(tmp_path / "secret")}
    assert ServerSettings.resolve({}, environment).database_url == "postgresql://me:s3cret@host/esm"
    with pytest.raises(InvalidConfigError, match=r"^give ESMKIT_DATABASE_URL or ESMKIT_DATABASE_URL_FILE, not both$"):
        ServerSettings.resolve({}, {**environment, "ESMKIT_DATABASE_URL": "x"})
    with pytest.raises(InvalidConfigError, match=r"^ESMKIT_PORT_FILE=/nowhere: No such file"):
        ServerSettings.resolve({}, {"ESMKIT_PORT_FILE": "/nowhere"})


def test_the_key_of_the_chat_is_shown_nowhere(esmkit: Esmkit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret-key\n")
    monkeypatch.setenv("ESMKIT_CHAT_API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("ESMKIT_CHAT_BASE_URL", "http://me:s3cret@llm:8080/v1")
    call = esmkit("serve", "--print-config", "--chat-model", "qwen3")
    assert call.code == 0, call.err
    shown = json.loads(call.out)
    assert "s3cret" not in call.out
    assert (shown["chat_model"], shown["chat_api_key"]) == ("qwen3", "***")
    assert shown["chat_base_url"] == "http://me:***@llm:8080/v1"
    settings = ServerSettings(chat_model="qwen3", chat_api_key="s3cret-key")
    assert "s3cret" not in repr(settings)
    assert (settings.chat()["api_key"], settings.chat()["model"]) == ("s3cret-key", "qwen3")
    assert ServerSettings().shown()["chat_api_key"] is None


def test_a_wrong_key_of_the_chat_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text('chat_api_key = ["s3cret"]')
    with pytest.raises(InvalidConfigError, match=r"chat_api_key: .*string") as caught:
        ServerSettings.resolve({}, {}, path=path)
    assert "s3cret" not in str(caught.value.to_dict())


def test_help_names_every_flag_whole_within_80_columns(esmkit: Esmkit) -> None:
    shown = esmkit("serve", "--help").out
    assert max(len(line) for line in shown.splitlines()) == 80
    for name in set(ServerSettings.names()) - {"models", "predictors", "indexes", "cors_origins", "webhook_hosts"}:
        assert f" --{name.replace('_', '-')} " in shown
    assert all(f" --{name} " in shown for name in ("model", "predictor", "index", "cors-origin", "webhook-host"))
    assert "(default: 8000)" in " ".join(shown.split())


def test_flags_of_every_kind_are_read(esmkit: Esmkit) -> None:
    call = esmkit(
        *("serve", "--print-config", "--model", "a", "-m", "b", "--lazy", "--no-metrics-open", "--deadline-s", "2.5"),
        *("--cors-origin", "https://x", "--limit-residues-per-day", "9", "--dtype", "float16"),
    )
    shown = json.loads(call.out)
    found = [shown[name] for name in ("models", "lazy", "metrics_open", "deadline_s", "cors_origins", "dtype")]
    assert found == [["a", "b"], True, False, 2.5, ["https://x"], "float16"]
    assert shown["limit_residues_per_day"] == 9


def test_a_wrong_flag_is_an_error_message(esmkit: Esmkit) -> None:
    call = esmkit("serve", "--print-config", "--max-items", "0")
    assert (call.code, call.err) == (2, "esmkit: error: --max-items must be at least 1, not 0\n")


def test_the_page_lists_every_setting() -> None:
    page = DOCS.read_text(encoding="utf-8")
    for name, _, text in describe():
        assert f"| `{name}` |" in page
        assert text in page
