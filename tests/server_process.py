"""`esmkit serve` as a process of its own, for tests that need sockets and signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx

START_S = 120


class ServedProcess:
    """A running `esmkit serve` on a free port.

    Attributes:
        process: the operating system's process.
        url: where it listens.
        port: the port of that.
    """

    def __init__(self, folder: Path, *flags: str) -> None:
        self._log = folder / "serve.log"
        command = [sys.executable, "-m", "esmkit", "serve", "--port", "0", *flags]
        environment = {**os.environ, "ESMKIT_HOME": str(folder), "ESMKIT_OFFLINE": "1"}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log, env=environment)
        self.url = self._announced()
        self.port = int(self.url.rpartition(":")[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

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
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def client(self) -> httpx.Client:
        """A client with patience."""
        return httpx.Client(base_url=self.url, timeout=120)

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def peak_bytes(self) -> int:
        """The most memory that the process has had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]

    def children(self) -> list[int]:
        """Processes it started: the runners."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]
