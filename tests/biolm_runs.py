"""What BioLM's clients are asked to do with a live server, and what they send.

`python -m tests.biolm_runs` records that in tests/data/wire/clients.json: one request of every form that a client
sends, with the answer, so that the ordinary tests replay them without the clients.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esmkit.models.locate import EMBEDDED
from tests import wire_pairs
from tests.biolm_clients import CLIENTS, Client, Installed, installed
from tests.relay import Relay, Sent
from tests.server_process import ServedProcess

SLUG = "esm2-8m"
LEGACY_PORT = 8000
"""biolmai 0.1 knows no other."""
BATCH = 8
SEQUENCES = ["MKTAYIAKQRQISFVKSHFSRQ", "GSHMSLFDFFKNKGSAA", "MKKLLPTAAAGLLLLAAQPAMA"]
MASKED = ["MKT<mask>YIAKQR", "G<mask>HMSL<mask>DFF"]
BAD = [SEQUENCES[0], "MKJT", SEQUENCES[1]]
NINE, HUNDRED, PLAIN, BY_SCHEMA = (
    [start + SEQUENCES[index % 3][index % 7 :] for index in range(count)]
    for start, count in (("GN", 9), ("GH", 100), ("GP", 9), ("GT", 9))
)
"""Each list begins in its own way, to tell apart what was sent for it."""
LAYERS = [-1, 2]
WRONG_KEY = "esk_wrong"
NO_SERVER = "http://127.0.0.1:9/api/v3"


def everything(version: str) -> dict[str, Any]:
    """`params` that ask `encode` for all that it has."""
    per_residue = "per_residue" if version == "v1" else "per_token"
    return {"repr_layers": LAYERS, "include": ["mean", "bos", per_residue, "contacts", "logits", "attentions"]}


def items(sequences: Sequence[str]) -> list[dict[str, str]]:
    """As the API takes them."""
    return [{"sequence": sequence} for sequence in sequences]


def calls(client: Client, url: str) -> list[dict[str, Any]]:
    """What a client does."""
    return _legacy_calls() if client.is_legacy else _modern_calls(client, url)


def _legacy_calls() -> list[dict[str, Any]]:
    def call(name: str, sequences: Any, action: str = "encode", **more: Any) -> dict[str, Any]:
        return {"name": name, "class": "ESM2_8M", "action": action, "sequences": sequences, **more}

    by_eight = {"batch_size": BATCH}
    return [
        call("one", SEQUENCES[0]),
        call("everything", SEQUENCES, params=everything("v2"), changes=by_eight),
        call("predict", MASKED, "predict"),
        call("nine", NINE),
        call("hundred", HUNDRED, changes=by_eight),
        call("bad", BAD, changes=by_eight, unchecked=True),
        call("wrong key", SEQUENCES[0], token=WRONG_KEY),
        call("transform", SEQUENCES, "transform", changes={**by_eight, "slug": SLUG}) | {"class": "BioLMToxV1"},
    ]


def _modern_calls(client: Client, url: str) -> list[dict[str, Any]]:
    needed = {"rate_limit": "1000/second"} if client.asks_elsewhere else {}
    usual = {"unwrap_single": False, "raise_httpx": False, "retry_error_batches": True, **needed}
    shim = {"platform_url": f"{url}/api/v3"} if client.asks_elsewhere else {}

    def batches(sequences: Sequence[str]) -> list[Any]:
        flat = items(sequences)
        return [flat[at : at + BATCH] for at in range(0, len(flat), BATCH)] if client.asks_elsewhere else flat

    def call(name: str, sequences: Sequence[str], action: str = "encode", **more: Any) -> dict[str, Any]:
        return {"name": name, "action": action, "items": batches(sequences), "client": usual, **more}

    return [
        call("one", SEQUENCES[:1]),
        call("everything", SEQUENCES, params=everything(client.version)),
        call("predict", MASKED, "predict"),
        call("score", SEQUENCES, "score"),
        call("log_prob", SEQUENCES, "log_prob") | {"items": items(SEQUENCES)},
        call("nine", NINE),
        call("hundred", HUNDRED),
        call("plain", PLAIN, client={**usual, "compress_requests": False}),
        call("bad", BAD),
        call("bad batch", BAD, client={**usual, "retry_error_batches": False}),
        call("wrong key", SEQUENCES[:1], client={**usual, "api_key": WRONG_KEY}),
        call("raises", BAD[1:2], client={**usual, "raise_httpx": True}),
        call("BioLM", SEQUENCES[:1], type=None, client=needed),
        {"name": "by schema", "action": "encode", "items": items(BY_SCHEMA), **shim},
    ]


COMMANDS = {
    "biolmai==0.1.10": ["status"],
    "biolmai==0.2.18": ["status"],
    "biolmai==0.4.0": ["status", "model list", "model show esm2-8m"],
    "biolm-sdk==1.7.0": ["status", "model list", "model show esm2-8m", "hub status"],
}


@dataclass(frozen=True)
class Run:
    """What one client got and sent.

    Attributes:
        client: which.
        installed: to ask it for more.
        answers: by name of the call.
        printed: by command line.
        sent: its requests.
    """

    client: Client
    installed: Installed
    answers: dict[str, Any]
    printed: dict[str, str]
    sent: list[Sent]

    def batch_sizes(self, sequences: Sequence[str]) -> list[int]:
        """Items per request for these sequences, the largest first."""
        posted = [each.json["items"] for each in self.sent if each.method == "POST" and '"items"' in each.text]
        return sorted((len(batch) for batch in posted if batch[0]["sequence"][:2] == sequences[0][:2]), reverse=True)


@dataclass(frozen=True)
class Served:
    """A server with a model called esm2-8m, keys on, behind a relay.

    Attributes:
        url: of the relay.
        relay: sees what comes.
        server: the process.
        token: a key.
        folder: for files of the test.
    """

    url: str
    relay: Relay
    server: ServedProcess
    token: str
    folder: Path

    def installed(self, client: Client, *, url: str | None = None) -> Installed:
        """A client pointed here."""
        home = Path(tempfile.mkdtemp(dir=self.folder))
        return Installed(client, installed(client.requirement), url or self.url, self.token, home)

    def run(self, client: Client) -> Run:
        """Everything that a client is asked to do."""
        ready = self.installed(client)
        self.relay.forget()
        got = ready.call(calls(client, self.url))
        printed = {command: ready.run(*command.split()) for command in COMMANDS[client.requirement]}
        return Run(client, ready, got, printed, self.relay.requests())


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """The server, on port 8000 if that is free."""
    model = shutil.copytree(EMBEDDED, folder / SLUG)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config["esmkit"]["slug"] = SLUG
    (model / "config.json").write_text(json.dumps(config), encoding="utf-8")
    environment = {**os.environ, "ESMKIT_HOME": str(folder)}
    made = [sys.executable, "-m", "esmkit", "keys", "create", "laboratory"]
    token = subprocess.run(made, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    with ExitStack() as stack:
        server = stack.enter_context(ServedProcess(folder, "--model", str(model), "--auth", "on"))
        relay = stack.enter_context(_relay(server.port))
        yield Served(f"http://localhost:{relay.port}", relay, server, token, folder)


def _relay(target: int) -> Relay:
    with suppress(OSError):
        return Relay(target, port=LEGACY_PORT)
    return Relay(target)


def install_all() -> None:
    """Every environment, two at a time: pip waits about as long as it works."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(installed, dict.fromkeys(client.requirement for client in CLIENTS)))


def forms(run: Run) -> dict[str, dict[str, Any]]:
    """One request of every form that a client sent, by name: the shortest; without what differs from run to run."""
    found: dict[str, dict[str, Any]] = {}
    for sent in sorted(run.sent, key=lambda sent: (len(sent.text), sent.text)):
        if f"Token {WRONG_KEY}" in sent.headers.get("authorization", ""):
            continue
        parts = ", ".join(sorted(sent.json)) if sent.body else "empty"
        name = f"{run.client.name}: {sent.method} {sent.path}, {parts}{', gzip' if sent.compressed else ''}"
        headers = {
            key: value.replace(run.installed.token, "KEY")
            for key, value in sorted(sent.headers.items())
            if key not in ("host", "user-agent", "content-length")
        }
        found.setdefault(name, {"method": sent.method, "path": sent.path, "headers": headers, "body": sent.text})
    return dict(sorted(found.items()))


def record() -> None:
    """Writes the recording."""
    install_all()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as served:
        wire_pairs.record_clients(
            {name: sent for client in CLIENTS for name, sent in forms(served.run(client)).items()}
        )


if __name__ == "__main__":
    record()
