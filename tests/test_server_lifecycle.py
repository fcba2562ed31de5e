"""How the process starts and ends, over a queue that does as the test says."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from esmkit.engine import load
from esmkit.errors import ModelExecutionError, WeightsError
from esmkit.server import process
from esmkit.server.process import ServerProcess
from tests.server_process import raw_post
from tests.server_stand_in import SLUG, Api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with Api(load(SLUG), tmp_path, port=0, drain_timeout_s=5) as running:
        yield running


def served(api: Api) -> ServerProcess:
    return ServerProcess(api.app, api.app.state.services.settings)


def meanwhile(server: ServerProcess, act: Callable[[str], None]) -> None:
    """Runs the server here, and in a thread `act` with its URL once it listens."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            while not server.started:
                time.sleep(0.01)
            act(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
        except BaseException as error:
            failures.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=run)
    thread.start()
    server.run()
    thread.join()
    if failures:
        raise failures[0]


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_idle_connections_are_kept_longer_than_biolms_clients_keep_them(api: Api) -> None:
    assert served(api).config.timeout_keep_alive == 75


def test_a_model_that_cannot_be_loaded_ends_the_start(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    error = WeightsError("damaged")

    async def start() -> None:
        raise error

    monkeypatch.setattr(api.queue, "start", start)
    server = served(api)
    server.run()
    assert server.failure is error
    assert not server.started


def test_a_signal_while_loading_ends_the_start(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def start() -> None:
        terminate()
        await asyncio.sleep(60)

    monkeypatch.setattr(api.queue, "start", start)
    server, started = served(api), time.monotonic()
    server.run()
    assert time.monotonic() - started < 20
    assert server.failure is None
    assert not server.started


def test_while_draining_ready_is_red_and_new_requests_get_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    may_end = threading.Event()

    async def drain(timeout_s: float) -> bool:
        assert timeout_s == 5
        await asyncio.to_thread(may_end.wait)
        return True

    def act(url: str) -> None:
        terminate()
        while not api.app.state.services.draining:
            time.sleep(0.01)
        codes.append(httpx.get(f"{url}/health/ready").status_code)
        codes.append(httpx.get(f"{url}/health/live").status_code)
        codes.append(httpx.post(f"{url}/api/v3/{SLUG}/encode", json={"items": [{"sequence": "MKT"}]}).status_code)
        may_end.set()

    monkeypatch.setattr(api.queue, "drain", drain)
    meanwhile(served(api), act)
    assert codes == [503, 200, 503]


def test_a_drain_that_takes_too_long_closes_the_queue(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Any] = []

    async def drain(timeout_s: float) -> bool:
        return False

    async def close() -> None:
        closed.append(None)

    monkeypatch.setattr(api.queue, "drain", drain)
    monkeypatch.setattr(api.queue, "close", close)
    meanwhile(served(api), lambda url: terminate())
    assert len(closed) == 2  # by the drain, and with the application


def test_a_fatal_error_of_the_queue_ends_the_process_with_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    server, error = served(api), ModelExecutionError("died too often")
    drained: list[float] = []

    async def drain(timeout_s: float) -> bool:
        drained.append(timeout_s)
        return True

    monkeypatch.setattr(api.queue, "drain", drain)
    meanwhile(server, lambda url: loop_of(server).call_soon_threadsafe(server.fail, error))
    assert server.failure is error
    assert drained == [5], "other models finish what they accepted"


def loop_of(server: ServerProcess) -> asyncio.AbstractEventLoop:
    assert server._loop is not None
    return server._loop


@pytest.mark.parametrize("moment", ["before the loop", "between loading and listening"])
def test_no_signal_is_lost_at_the_start(api: Api, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    server, closed = served(api), 0

    async def start() -> None:
        if moment != "before the loop":
            asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, terminate)

    async def close() -> None:
        nonlocal closed
        closed += 1

    monkeypatch.setattr(api.queue, "start", start)
    monkeypatch.setattr(api.queue, "close", close)
    if moment == "before the loop":
        server.handle_exit(signal.SIGTERM, None)
    rescue, started = threading.Timer(20, terminate), time.monotonic()
    rescue.start()
    server.run()
    rescue.cancel()
    assert time.monotonic() - started < 20
    assert closed == 1
    assert server.failure is None


def test_who_keeps_a_stopping_server_waiting_gets_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "WRITE_S", 1)
    answers: list[bytes] = []

    def act(url: str) -> None:
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30) as connection:
            connection.sendall(raw_post(f"/api/v3/{SLUG}/encode", b"{", length=9))
            time.sleep(0.5)  # it reads the body when the signal comes
            terminate()
            answers.append(connection.recv(65_536))

    meanwhile(served(api), act)
    assert answers[0].startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(("trusted", "client"), [("127.0.0.1", "1.2.3.4"), ("10.9.9.9", "127.0.0.1")])
def test_only_trusted_proxies_say_who_asks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, trusted: str, client: str
) -> None:
    def act(url: str) -> None:
        httpx.get(f"{url}/", headers={"X-Forwarded-For": "6.6.6.6, 1.2.3.4"})
        terminate()

    caplog.set_level("INFO", "esmkit.access")
    with Api(load(SLUG), tmp_path, port=0, trusted_proxies=trusted) as api:
        meanwhile(served(api), act)
    assert [record.fields["client"] for record in caplog.records if record.name == "esmkit.access"] == [client]  # type: ignore[attr-defined]


def test_usage_is_written_before_the_end(api: Api) -> None:
    def act(url: str) -> None:
        httpx.post(f"{url}/api/v3/{SLUG}/encode", json={"items": [{"sequence": "MKT"}]})
        terminate()

    meanwhile(served(api), act)
    [row] = api.store.usage.report()
    assert (row.requests, row.residues) == (1, 3)
