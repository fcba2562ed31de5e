"""Rates counted in redis: shared by servers, and what happens while redis is away. Needs Debian's redis-server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from esmkit.errors import InvalidConfigError
from esmkit.server.limits import Limiter
from esmkit.server.settings import ServerSettings
from tests.server_process import ServedProcess

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server")
URL = "/api/v3/esm2-mini/encode/"
BODY = {"items": [{"sequence": "M" * 100}]}
PASSWORD = "s3cret"


class Redis:
    """A redis server of our own, with a password."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}"
        self._command = [
            *("redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--requirepass", PASSWORD),
            *("--save", "", "--appendonly", "no", "--dir", str(folder)),
        ]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(self._answers)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    running = Redis(tmp_path)
    yield running
    running.stop()


def ask(client: httpx.Client) -> tuple[int, Any]:
    answer = client.post(URL, json=BODY)
    return answer.status_code, answer.headers.get("RateLimit-Remaining")


def is_shared(client: httpx.Client) -> bool:
    return "\nesmkit_limits_shared 1.0\n" in client.get("/metrics").text


def test_servers_share_limits_and_go_on_without_redis(redis: Redis, tmp_path: Path) -> None:
    flags = ("--limits-storage-url", redis.url, "--limit-residues-per-day", "500", "--lazy")
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    with (
        ServedProcess(folders[0], *flags) as first,
        ServedProcess(folders[1], *flags) as second,
        first.client() as one,
        second.client() as two,
    ):
        assert [ask(one), ask(two), ask(one), ask(two)] == [(200, "400"), (200, "300"), (200, "200"), (200, "100")]
        assert [ask(one), ask(two)] == [(200, "0"), (429, "0")]
        assert is_shared(one)

        redis.stop()
        assert [ask(one), ask(two), ask(one)] == [(200, "400"), (200, "400"), (200, "300")]
        assert not is_shared(one)
        started = time.perf_counter()
        assert [ask(one)[0] for _ in range(4)] == [200, 200, 200, 429]
        assert time.perf_counter() - started < 30

        redis.start()
        wait_until(lambda: is_shared(one))
        assert ask(one) == (200, "400")
        first.terminate()
        assert first.process.wait(120) == 0
        lines = [line for line in first.log() if "limits_storage_url" in line["message"]]
        assert [line["level"] for line in lines] == ["error", "info"]
        assert PASSWORD not in str(first.log())


@pytest.mark.parametrize("url", ["http://:s3cret@h:1", "redis://:s3cret@h:port", "s3cret", "memcached://:s3cret@h:1"])
def test_addresses_that_cannot_be_meant_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(InvalidConfigError, match=r"write memory:// or redis://:PASSWORD@HOST:PORT") as caught:
        Limiter(ServerSettings(limits_storage_url=url))
    assert "s3cret" not in caught.value.message
