"""`esmkit serve` as a process: real sockets, the real queue with its runner process, hostile clients, signals."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from esmkit.engine import load
from esmkit.server.wire.esm2_docs import ErrorBody
from tests.server_process import ServedProcess

URL = "/api/v3/esm2-mini/encode/"
MB = 1_000_000
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    folder = tmp_path_factory.mktemp("served")
    with ServedProcess(folder, "--header-timeout-s", "1", "--body-timeout-s", "1", "--restarts", "3") as running:
        yield running


def items(*sequences: str) -> dict[str, Any]:
    return {"items": [{"sequence": sequence} for sequence in sequences]}


def test_many_clients_each_get_the_answer_to_their_own_sequence(server: ServedProcess) -> None:
    model = load("esm2-mini")
    letters = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"
    sequences = [letters[start : start + 4 + start % 7] * (1 + start % 3) for start in range(24)]
    with server.client() as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda sequence: client.post(URL, json=items(sequence, "G")), sequences))
    assert len(answers) == 24
    for answer, expected in zip(answers, model.embed(sequences), strict=True):
        found = answer.json()["results"][0]["embeddings"][0]["embedding"]
        np.testing.assert_allclose(np.float32(found), expected, atol=1e-5, rtol=1e-5)


def test_no_redirect_with_or_without_slash(server: ServedProcess) -> None:
    with server.client() as client:
        for path in (URL, URL.rstrip("/")):
            assert client.post(path, json=items("MKT")).status_code == 200


def test_large_and_endless_bodies_are_refused_with_flat_memory(server: ServedProcess) -> None:
    with server.client() as client:
        client.post(URL, json=items("MKT"))
        before = server.peak_bytes()
        kind = {"Content-Type": "application/json"}
        answers = [client.send(client.build_request("POST", URL, content=endless(), headers=kind))]
        bomb = gzip.compress(b" " * (300 * MB), 1)
        answers.append(client.post(URL, content=bomb, headers={**kind, "Content-Encoding": "gzip"}))
    answers.append(declared_only(server, 1_000 * MB))
    assert [answer.status_code for answer in answers] == [413, 413, 413]
    for answer in answers:
        ErrorBody.model_validate_json(answer.content)
    assert server.peak_bytes() - before < 100 * MB


def endless() -> Iterator[bytes]:
    for _ in range(20_000):
        yield b" " * 100_000


def declared_only(server: ServedProcess, length: int) -> httpx.Response:
    """The answer to a request whose body is announced and never sent."""
    head = f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    text = exchange(server, head.encode())
    status, _, body = text.partition(b"\r\n\r\n")
    return httpx.Response(int(status.split()[1]), content=body)


def exchange(server: ServedProcess, sent: bytes) -> bytes:
    """Everything that comes back until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(sent)
        received = b""
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65_536):
                received += chunk
        return received


@pytest.mark.parametrize(("sent", "status"), [(b"", b""), (b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow", b"HTTP/1.1 408")])
def test_slow_heads_are_cut_off(server: ServedProcess, sent: bytes, status: bytes) -> None:
    started = time.monotonic()
    head, _, body = exchange(server, sent).partition(b"\r\n\r\n")
    assert time.monotonic() - started < 15
    assert head.startswith(status)
    assert not body if not status else ErrorBody.model_validate_json(body).status_code == 408


def test_slow_bodies_get_408(server: ServedProcess) -> None:
    head = f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{{"
    assert exchange(server, head.encode()).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nX: " + b"a" * 400_000 + b"\r\n\r\n"])
def test_broken_http_gets_json(server: ServedProcess, sent: bytes) -> None:
    head, _, body = exchange(server, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    ErrorBody.model_validate_json(body)


def test_idle_connections_outlive_the_timeout_of_a_head(server: ServedProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        for _ in range(2):
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b'{"status":"alive"}'):
                answer += connection.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200")
            time.sleep(2)  # twice the timeout of a head


def test_a_client_that_leaves_is_noticed(server: ServedProcess) -> None:
    body = json.dumps(items(*["MKTAYIAKQR" * 200] * 8) | {"params": {"include": ["contacts"]}}).encode()
    head = f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with server.client() as client:
        before = cancelled(client)
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head.encode() + body)
            time.sleep(0.3)
        deadline = time.monotonic() + 30
        while cancelled(client) == before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert cancelled(client) == before + 1
        assert client.post(URL, json=items("MKT")).status_code == 200


def cancelled(client: httpx.Client) -> float:
    name = 'esmkit_cancelled_total{model="esm2-mini"} '
    [line] = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
    return float(line.removeprefix(name))


def test_a_killed_runner_turns_ready_red_and_comes_back(server: ServedProcess) -> None:
    with server.client() as client:
        [runner] = server.children()
        os.kill(runner, signal.SIGKILL)
        seen = {client.get("/health/ready").status_code}
        deadline = time.monotonic() + 120
        while not (503 in seen and client.get("/health/ready").status_code == 200) and time.monotonic() < deadline:
            seen.add(client.get("/health/ready").status_code)
            time.sleep(0.02)
        assert 503 in seen
        assert client.post(URL, json=items("MKT")).status_code == 200
        assert client.get("/health/live").status_code == 200


def test_a_start_that_fails_is_a_message_and_an_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "esmkit", "serve", "--port", "0", "--model", "esm2-650m"]
    environment = {**os.environ, "ESMKIT_HOME": str(tmp_path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 4
    assert "esmkit models pull esm2-650m" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_sigterm_answers_what_was_accepted_refuses_the_rest_and_exits_with_0(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("drained")
    load_body = items(*["MKTAYIAKQR" * 100] * 8)
    with ServedProcess(folder) as server, server.client() as client, ThreadPoolExecutor(16) as pool:
        client.post(URL, json=items("MKT"))
        running = [pool.submit(client.post, URL, json=load_body) for _ in range(8)]
        with server.client() as other:
            waiting = 0.0
            while waiting < 4:
                [line] = [
                    line
                    for line in other.get("/metrics").text.splitlines()
                    if line.startswith("esmkit_queue_requests{")
                ]
                waiting = float(line.split()[-1])
            server.terminate()
            late = None
            with suppress(httpx.TransportError):
                while (late := other.post(URL, json=items("MKT"))).status_code == 200:
                    pass
        answers = [each.result() for each in running]
        assert server.process.wait(120) == 0
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert sum(answer.status_code == 200 for answer in answers) >= 4
    for answer in answers:
        assert answer.status_code == 503 or len(answer.json()["results"]) == 8
    assert late is None or late.status_code == 503
    assert not any(line["level"] == "error" and "exception" in line for line in server.log())
