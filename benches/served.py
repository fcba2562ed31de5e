"""`esmkit serve` as a process of its own, and what it and its runner take of the machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_S = 120
SAMPLE_S = 1.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Served:
    """A server of one model on a free port of loopback, with default settings but for the flags.

    Attributes:
        port: where it listens.
        pids: its processes by role, `server` and `runner`.
        path: of encode for its model, in the API of today.
    """

    def __init__(self, folder: Path, *, threads: int, home: Path, flags: tuple[str, ...] = ()) -> None:
        self.path = f"/api/v3/{folder.name}/encode"
        log = home / "serve.log"
        command = [sys.executable, "-m", "esmkit", "serve", "--port", "0", "--model", str(folder), "--device", "cpu"]
        command += ["--threads", str(threads), *flags]
        environment = {**os.environ, "ESMKIT_HOME": str(home), "ESMKIT_OFFLINE": "1"}
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(command, stderr=stderr, env=environment)
        try:
            self.port = self._announced_port(log)
        except BaseException:
            self._process.kill()
            raise
        (runner,) = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self.pids = {"server": self._process.pid, "runner": int(runner)}

    def processor_s(self) -> dict[str, float]:
        """Processor time that each process has taken so far, in user and kernel."""
        return {role: _processor_s(pid) for role, pid in self.pids.items()}

    def resident_bytes(self) -> dict[str, int]:
        """Memory that each process has now."""
        pages = {role: Path(f"/proc/{pid}/statm").read_text().split()[1] for role, pid in self.pids.items()}
        return {role: int(number) * _PAGE_BYTES for role, number in pages.items()}

    def stop(self) -> None:
        """Drains it."""
        self._process.terminate()
        try:
            self._process.wait(START_S)
        finally:
            self._process.kill()

    def _announced_port(self, log: Path) -> int:
        give_up_at = time.monotonic() + START_S
        while time.monotonic() < give_up_at and self._process.poll() is None:
            if match := re.search(r"running on http://[\d.]+:(\d+)", log.read_text()):
                return int(match[1])
            time.sleep(0.05)
        raise SystemExit(f"bench: esmkit serve did not start:\n{log.read_text()}")


@contextmanager
def served(folder: Path, *, threads: int, flags: tuple[str, ...] = ()) -> Iterator[Served]:
    """A server for the time of a `with` block, with a store of its own."""
    with tempfile.TemporaryDirectory(prefix="esmkit-bench-") as home:
        server = Served(folder, threads=threads, home=Path(home), flags=flags)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def watched(server: Served) -> Iterator[list[dict[str, float]]]:
    """Samples of memory while the block runs: `at_s` since its start, and bytes by role."""
    samples: list[dict[str, float]] = []
    over, started = threading.Event(), time.monotonic()

    def sample() -> None:
        while not over.wait(SAMPLE_S):
            samples.append({"at_s": round(time.monotonic() - started, 2), **server.resident_bytes()})

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S
