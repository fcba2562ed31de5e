"""schemathesis: requests made up from the OpenAPI document, right and wrong ones, and a look at every answer."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from esmkit.store import Store
from tests.server_process import ServedProcess

CONFIG = Path(__file__).parent / "data" / "schemathesis.toml"
SMALL = ("--max-items", "2", "--max-residues", "32", "--max-long-residues", "64")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[ServedProcess, str]]:
    """A server that asks for keys, with small limits so that requests are quick, and a key for everything."""
    store = Store.open(f"sqlite:///{tmp_path}/esmkit.db")
    store.migrate()
    _, secret = store.keys.create("tests", admin=True)
    store.close()
    with ServedProcess(tmp_path, "--auth", "on", *SMALL) as server:
        yield server, secret


@pytest.mark.parametrize(("examples", "at_least"), [(2, 1000), pytest.param(100, 3000, marks=pytest.mark.slow)])
def test_no_made_up_request_gets_an_answer_that_is_not_documented(
    guarded: tuple[ServedProcess, str], tmp_path: Path, examples: int, at_least: int
) -> None:
    server, secret = guarded
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", f"{server.url}/openapi.json"),
        *("--header", f"Authorization: Token {secret}", "--max-examples", str(examples), "--no-color"),
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    generated = re.search(r"(\d+) generated", run.stdout)
    assert generated, run.stdout
    assert int(generated[1]) >= at_least
    with server.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    assert f"Tested: {sum(map(len, paths.values()))}" in run.stdout
