"""`esmkit models`: what it prints, and its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from esmkit.cli.models import app
from esmkit.errors import InvalidConfigError, UnknownModelError, WeightsError
from tests.checkpoint_files import state_of, transformers_model, write_folder
from tests.hub_stand_in import Hub, running


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    folder = write_folder(tmp_path / "published", state_of(transformers_model()))
    hub.repositories["facebook/esm2_t30_150M_UR50D"] = {path.name: path.read_bytes() for path in folder.iterdir()}
    with running(hub):
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("ESMKIT_OFFLINE", "0")
        monkeypatch.setenv("ESMKIT_HOME", str(tmp_path / "home"))
        yield hub


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_list_shows_every_model_in_80_columns() -> None:
    result = run("list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 1 + 1 + 6
    assert max(map(len, lines)) <= 80
    assert "…" not in result.stdout
    assert lines[1].split()[0] == "esm2-mini"
    assert lines[-1].split() == ["esm2-15b", "esm2_t48_15B_UR50D", "48", "5120", "40", "15.1", "G", "60.5", "GB"]


def test_list_as_json_has_true_sizes() -> None:
    rows = {row["slug"]: row for row in json.loads(run("list", "--json").stdout)}
    assert rows["esm2-650m"]["parameters"] == 651_043_254
    assert rows["esm2-650m"]["state"] == "not downloaded"
    assert rows["esm2-mini"]["state"] == "embedded"


def test_info_of_a_public_model_needs_no_download() -> None:
    facts = json.loads(run("info", "esm2_t33_650M_UR50D", "--json").stdout)
    assert (facts["slug"], facts["hub_id"]) == ("esm2-650m", "facebook/esm2_t33_650M_UR50D")
    assert facts["licence"] == "MIT"
    assert "folder" not in facts


def test_pull_info_path_and_verify_of_one_model(hub: Hub, tmp_path: Path) -> None:
    folder = str(tmp_path / "home" / "models" / "esm2-150m")
    assert json.loads(run("pull", "esm2-150m", "--json").stdout)["path"] == folder
    assert len(hub.downloads) == 2
    assert run("path", "esm2-150m").stdout == folder + "\n"
    facts = json.loads(run("info", "esm2-150m", "--json").stdout)
    assert (facts["state"], facts["folder"]) == ("downloaded", folder)
    verified = run("verify", "esm2-150m")
    assert verified.exit_code == 0
    assert "as published" in verified.stdout
    assert "here" in run("list").stdout


def test_verify_of_a_damaged_model_exits_1_and_names_the_file(hub: Hub, tmp_path: Path) -> None:
    run("pull", "esm2-150m")
    weights = tmp_path / "home" / "models" / "esm2-150m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    result = run("verify", "esm2-150m")
    assert result.exit_code == 1
    assert str(weights) in result.stderr


def test_offline_pull_is_refused(hub: Hub) -> None:
    result = run("pull", "esm2-150m", "--offline")
    assert isinstance(result.exception, InvalidConfigError)
    assert hub.downloads == []


@pytest.mark.parametrize("command", ["info", "pull", "path", "verify"])
def test_unknown_model_is_an_error_in_every_command(command: str) -> None:
    assert isinstance(run(command, "esm3").exception, UnknownModelError)


def test_path_of_a_model_that_is_not_here_is_an_error() -> None:
    assert isinstance(run("path", "esm2-8m").exception, WeightsError)


def test_help_imports_neither_torch_nor_the_hub_client() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from esmkit.cli.models import app;"
        "assert CliRunner().invoke(app, ['pull', '--help']).exit_code == 0;"
        "print([name for name in ('torch', 'huggingface_hub', 'safetensors') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
