"""BioLM's own Python clients, each installed in a virtual environment of its own and run as a process."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "clients"
_CONSTRAINTS = FOLDER / "constraints.txt"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "esmkit-tests" / "clients"
TOKEN_VARIABLES = ("BIOLMAI_TOKEN", "BIOLM_TOKEN")
_THREADS = {"BIOLMAI_THREADS": "4", "BIOLM_THREADS": "4"}
"""With fewer than four cores the default of 16 is an error at import."""


@dataclass(frozen=True, slots=True)
class Client:
    """One version of a client, pointed at a server in one way.

    Attributes:
        requirement: what pip installs.
        package: what Python imports.
        command: its command line.
        version: of the API that it speaks.
        settings: environment; `{url}` stands for the server.
    """

    requirement: str
    package: str
    command: str
    version: str
    settings: dict[str, str]

    @property
    def name(self) -> str:
        """For people and recordings."""
        return f"{self.requirement.replace('==', ' ')}, {self.version}"

    @property
    def is_legacy(self) -> bool:
        """Whether it is of 0.1, with one class per model."""
        return "0.1." in self.requirement

    @property
    def asks_elsewhere(self) -> bool:
        """Whether it asks biolm.ai for schemas, whatever it is pointed at."""
        return self.package == "biolm"


LEGACY = Client("biolmai==0.1.10", "biolmai", "biolmai", "v2", {"BIOLMAI_LOCAL": "1"})
HUB = Client("biolm-sdk==1.7.0", "biolm", "biolm", "v1", {"BIOLM_BASE_DOMAIN": "{url}"})
CLIENTS = (
    LEGACY,
    Client("biolmai==0.2.18", "biolmai", "biolmai", "v3", {"BIOLMAI_BASE_DOMAIN": "{url}"}),
    Client("biolmai==0.4.0", "biolmai", "biolmai", "v3", {"BIOLMAI_BASE_DOMAIN": "{url}"}),
    HUB,
    Client(
        "biolm-sdk==1.7.0",
        "biolm",
        "biolm",
        "v3",
        {"BIOLM_BASE_API_URL": "{url}/api/v3", "BIOLM_BASE_DOMAIN": "{url}"},
    ),
)


def installed(requirement: str) -> Path:
    """The environment that has it, made if it is not there as wanted; about ten seconds each."""
    folder = _CACHE / requirement.replace("==", "-")
    made_from = f"{requirement} {sys.version} {hashlib.sha256(_CONSTRAINTS.read_bytes()).hexdigest()}"
    state = folder / "made-from"
    if state.is_file() and state.read_text() == made_from:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", str(python), "install"]
    for command in (
        [sys.executable, "-m", "venv", "--without-pip", str(folder)],
        [*pip, "--no-compile", "--constraint", str(_CONSTRAINTS), requirement],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    state.write_text(made_from)  # last, so that one cut short is made again
    return folder


@dataclass(frozen=True, slots=True)
class Installed:
    """A client that can be run against a server.

    Attributes:
        client: which.
        folder: its environment.
        url: the server.
        token: a key of it.
        home: where it looks for settings and credentials.
    """

    client: Client
    folder: Path
    url: str
    token: str
    home: Path

    def environment(self, *, with_token: bool = True) -> dict[str, str]:
        """All that it knows."""
        settings = {name: value.format(url=self.url) for name, value in self.client.settings.items()}
        tokens = dict.fromkeys(TOKEN_VARIABLES, self.token) if with_token else {}
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "COLUMNS": "200", **_THREADS, **settings, **tokens}

    def start(self, calls: Sequence[dict[str, Any]]) -> subprocess.Popen[str]:
        """Begins with the calls; see `clients/legacy.py` and `clients/modern.py`."""
        driver = ["legacy.py"] if self.client.is_legacy else ["modern.py", self.client.package]
        return subprocess.Popen(
            [str(self.folder / "bin" / "python"), str(FOLDER / driver[0]), *driver[1:], json.dumps(calls)],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, calls: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What the calls gave, by name."""
        return answers(self.start(calls))

    def run(self, *arguments: str, with_token: bool = True) -> str:
        """What its command line prints."""
        command = [str(self.folder / "bin" / self.client.command), *arguments]
        done = subprocess.run(
            command, env=self.environment(with_token=with_token), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def answers(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the calls of a started client gave, by name."""
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    found: dict[str, Any] = json.loads(printed)
    return found
