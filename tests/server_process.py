"""`esmkit serve` as a process of its own, for tests that need sockets and signals."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx

from esmkit.models.locate import EMBEDDED

START_S = 300
JSON = {"Content-Type": "application/json"}


class ServedProcess:
    """A running `esmkit serve` on a free port.

    Attributes:
        process: the operating system's process.
        url: where it listens.
        port: the port of that.
        folder: its ESMKIT_HOME.
    """

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        self._log = folder / "serve.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(self._command("serve", "--port", "0", *flags), stderr=log, env=self._env)
        try:
            self.url = self._announced()
        except BaseException:
            self.__exit__()
            raise
        self.port = int(self.url.rpartition(":")[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def _env(self) -> dict[str, str]:
        return {**os.environ, "ESMKIT_HOME": str(self.folder), "ESMKIT_OFFLINE": "1"}

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "esmkit", *words]

    def _announced(self) -> str:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            match = re.search(r"running on (https?://[\d.]+:\d+)", self._log.read_text())
            if match:
                return match[1]
            assert self.process.poll() is None, self._log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"no start within {START_S} s: {self._log.read_text()}")

    def log(self) -> list[dict[str, Any]]:
        """What it has logged, every line of it JSON."""
        return [json.loads(line) for line in self.log_text().splitlines()]

    def log_text(self) -> str:
        """The log as it is."""
        return self._log.read_text()

    def cli(self, *words: str) -> str:
        """What another command of esmkit prints that works on the same store."""
        return subprocess.run(self._command(*words), env=self._env, check=True, capture_output=True, text=True).stdout

    def client(self, **options: Any) -> httpx.Client:
        """A client with patience, and as many connections as anybody wants."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        return httpx.Client(base_url=self.url, timeout=120, limits=limits, **options)

    def connect(self, sent: bytes = b"", *, receive_bytes: int | None = None) -> socket.socket:
        """A bare connection that has sent something; with a small receive buffer if the client shall not read."""
        connection = socket.socket()
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(sent)
        return connection

    def exchange(self, sent: bytes) -> bytes:
        """Everything that comes back until the server closes the connection."""
        received = b""
        with self.connect() as connection, suppress(ConnectionError):
            connection.sendall(sent)
            while chunk := connection.recv(65_536):
                received += chunk
        return received

    def metrics(self) -> dict[str, float]:
        """Prometheus' samples by name and labels."""
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def peak_bytes(self) -> int:
        """The most memory that the process has had."""
        return self._memory("VmHWM")

    def resident_bytes(self) -> int:
        """The memory that the process has."""
        return self._memory("VmRSS")

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(rf"{name}:\s+(\d+)", status)[1])  # type: ignore[index]

    def children(self) -> list[int]:
        """Processes it started: the runners."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]


def until(condition: Callable[[], bool], timeout_s: float = 300.0) -> None:
    """Waits until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def copied_model(folder: Path, slug: str) -> str:
    """The path of a copy of the embedded model under a slug of its own."""
    copy = folder / slug
    shutil.copytree(EMBEDDED, copy)
    config = json.loads((copy / "config.json").read_text())
    config["esmkit"]["slug"] = slug
    (copy / "config.json").write_text(json.dumps(config))
    return str(copy)


def items(*sequences: str, **params: Any) -> dict[str, Any]:
    """The body of a model call."""
    body: dict[str, Any] = {"items": [{"sequence": sequence} for sequence in sequences]}
    return body | ({"params": params} if params else {})


def raw_post(path: str, body: bytes, *, length: int | None = None, headers: Mapping[str, str] = JSON) -> bytes:
    """A POST as bytes; its Content-Length may promise more than comes."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
