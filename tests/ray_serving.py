"""A real Ray cluster on this machine for tests, `esmkit serve --ray` on it, and clients that never stop asking."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from tests.server_process import until

START_S = 120
MARK = "ESMKIT_TEST_CLUSTER"


class RayCluster:
    """`ray start --head` in a session of its own; others on this machine are left alone.

    Attributes:
        address: of its head.
        url: where the server on it listens.
        home: its ESMKIT_HOME.
    """

    def __init__(self, home: Path, *, num_cpus: int = 4) -> None:
        self.home, self._num_cpus, self._mark = home, num_cpus, uuid.uuid4().hex
        self.address, self.port = f"127.0.0.1:{free_port()}", free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # Ray's sockets need a short path
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Starts the head."""
        port = self.address.rpartition(":")[2]
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--port", port),
            *("--num-cpus", str(self._num_cpus), "--object-store-memory", "200000000", "--include-dashboard", "false"),
            *("--temp-dir", str(self._folder), "--disable-usage-stats"),
        ]
        subprocess.run(command, check=True, capture_output=True, env=self._env)

    def stop(self) -> None:
        """kill -9 for every process of the cluster."""
        while pids := self.pids():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    @property
    def _env(self) -> dict[str, str]:
        return {
            **os.environ,
            "ESMKIT_HOME": str(self.home),
            "ESMKIT_OFFLINE": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",  # a token that lies in the home of who runs the tests is no part of them
            MARK: self._mark,
        }

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What a command of esmkit says."""
        command = [sys.executable, "-m", "esmkit", *words]
        return subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=300)

    def serve(self, *flags: str) -> None:
        """Gives the cluster a server, or a new version of the one that it has."""
        done = self.cli("serve", "--ray", self.address, "--port", str(self.port), "--threads", "1", *flags)
        assert done.returncode == 0, done.stderr

    def pids(self, title: str = "") -> list[int]:
        """Processes of this cluster whose command line begins so, such as `ray::ServeReplica:esmkit:esm2-mini`."""
        mark, found = f"{MARK}={self._mark}".encode(), []
        for process in Path("/proc").iterdir():
            with suppress(OSError):
                is_ours = process.name.isdigit() and mark in (process / "environ").read_bytes()
                if is_ours and (process / "cmdline").read_bytes().decode(errors="replace").startswith(title):
                    found.append(int(process.name))
        return [pid for pid in found if pid != os.getpid()]

    def replicas(self, name: str) -> list[int]:
        """Processes of the replicas of a deployment."""
        return self.pids(f"ray::ServeReplica:esmkit:{name}")

    def client(self, **options: Any) -> httpx.Client:
        """A client with patience."""
        return httpx.Client(base_url=self.url, timeout=120, limits=httpx.Limits(max_connections=None), **options)

    def metrics(self) -> dict[str, float]:
        """Prometheus' samples by name and labels."""
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def is_ready(self) -> bool:
        """Whether the server says that requests will be answered."""
        with self.client() as client:
            return client.get("/health/ready").status_code == 200

    def ready(self, slug: str = "esm2-mini") -> float:
        """Replicas that have the model loaded, as the server says."""
        return self.metrics()[f'esmkit_replicas{{model="{slug}"}}']


@dataclass
class Load:
    """What became of the requests of clients that ask one after the other.

    Attributes:
        answers: of each request the sequences, status, and body.
        broken: of each request without answer, why.
    """

    answers: list[tuple[Sequence[str], int, Any]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[Any]:
        """Everything but answers with 200."""
        return [*self.broken, *((status, body) for _, status, body in self.answers if status != 200)]

    def more(self, number: int = 10) -> None:
        """Waits until so many more are answered."""
        enough = len(self.answers) + number
        until(lambda: len(self.answers) >= enough)


@contextmanager
def load_of(
    cluster: RayCluster, clients: int, sequences: Callable[[int], Sequence[str]], *, slug: str = "esm2-mini"
) -> Iterator[Load]:
    """So many clients that call without a pause."""
    load, is_over = Load(), threading.Event()

    def call(client: httpx.Client, turn: int) -> None:
        while not is_over.is_set():
            turn += 1
            asked = sequences(turn)
            try:
                answer = client.post(
                    f"/api/v3/{slug}/encode/", json={"items": [{"sequence": sequence} for sequence in asked]}
                )
            except httpx.HTTPError as error:
                load.broken.append(repr(error))
            else:
                load.answers.append((asked, answer.status_code, answer.json()))

    with cluster.client() as client, ThreadPoolExecutor(clients) as pool:
        calls = [pool.submit(call, client, 1000 * number) for number in range(clients)]
        try:
            yield load
        finally:
            is_over.set()
        for each in calls:
            each.result()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
