"""What clients of a real server process see when runners die, memory runs out, or the server is told to stop."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from esmkit.engine import load
from esmkit.server.wire.esm2_docs import ErrorBody
from tests.server_process import ServedProcess, copied_model, items, raw_post, until

PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"
RESTARTS = 'esmkit_runner_restarts_total{model="esm2-mini"}'
WAITING = 'esmkit_queue_requests{model="esm2-mini"}'
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def url(slug: str = "esm2-mini") -> str:
    return f"/api/v3/{slug}/encode/"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    with (
        ServedProcess(tmp_path_factory.mktemp("faults"), "--restarts", "100", "--threads", "1") as running,
        running.client() as client,
    ):
        client.post(url(), json=items("MKT"))
        yield running


@contextmanager
def load_of(server: ServedProcess, number: int) -> Iterator[list[tuple[str, int, bytes]]]:
    """So many clients that call without a pause; sequence, status and body of each answer."""
    answers: list[tuple[str, int, bytes]] = []
    is_over = threading.Event()

    def call(client: httpx.Client, turn: int) -> None:
        while not is_over.is_set():
            turn += 1
            sequence = PROTEIN[turn % 20 :] * (1 + turn % 9)
            answer = client.post(url(), json=items(sequence))
            answers.append((sequence, answer.status_code, answer.content))

    with server.client() as client, ThreadPoolExecutor(number) as pool:
        calls = [pool.submit(call, client, 7 * turn) for turn in range(number)]
        try:
            yield answers
        finally:
            is_over.set()
        for each in calls:
            each.result()


def kill_runner(server: ServedProcess) -> None:
    """Kills the runner, sees readiness turn red, and waits until a new one works."""
    [runner] = server.children()
    with server.client() as client:
        os.kill(runner, signal.SIGKILL)
        until(lambda: client.get("/health/ready").status_code == 503)
        until(lambda: client.get("/health/ready").status_code == 200)
    assert server.children() != [runner]


def assert_right(answers: list[tuple[str, int, bytes]]) -> None:
    """Every answer is that of its own sequence."""
    expected = dict(
        zip(
            dict.fromkeys(each[0] for each in answers),
            load("esm2-mini").embed([*dict.fromkeys(each[0] for each in answers)]),
            strict=True,
        )
    )
    for sequence, status, body in answers:
        assert status == 200, body
        [found] = json.loads(body)["results"]
        np.testing.assert_allclose(
            np.float32(found["embeddings"][0]["embedding"]), expected[sequence], atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize(
    ("clients", "kills"), [(8, 2), pytest.param(64, 20, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_a_runner_killed_under_load_costs_nobody_an_answer(server: ServedProcess, clients: int, kills: int) -> None:
    before = server.metrics()[RESTARTS]
    with load_of(server, clients) as answers:
        for _ in range(kills):
            enough = len(answers) + 2 * clients
            until(lambda enough=enough: len(answers) >= enough)  # type: ignore[misc]
            kill_runner(server)
        enough = len(answers) + 2 * clients
        until(lambda: len(answers) >= enough)
    assert len(answers) >= (kills + 1) * 2 * clients
    assert_right(answers)
    assert server.metrics()[RESTARTS] == before + kills
    assert server.metrics()[WAITING] == 0


def test_what_does_not_fit_into_memory_fails_alone(server: ServedProcess) -> None:
    [runner] = server.children()
    with server.client() as client:
        limit = int(Path(f"/proc/{runner}/statm").read_text().split()[0]) * 4096 + 100_000_000
        resource.prlimit(runner, resource.RLIMIT_AS, (limit, limit))
        too_large = client.post(url(), json=items(PROTEIN[:32] * 64, include=["attentions"], layers=[1, 2, 3]))
        assert too_large.status_code in (413, 500), too_large.content[:300]
        ErrorBody.model_validate_json(too_large.content)
        until(lambda: client.get("/health/ready").status_code == 200)
        assert client.post(url(), json=items("MKT")).status_code == 200


def test_used_up_restarts_answer_everybody_and_end_the_process(tmp_path: Path) -> None:
    other = copied_model(tmp_path, "other")
    flags = ("--threads", "1", "--restarts", "1", "--model", "esm2-mini", "--model", other)
    long_work = items(*[PROTEIN * 30] * 8)
    with ServedProcess(tmp_path, *flags) as server, server.client() as client, ThreadPoolExecutor(16) as pool:
        first, second = server.children()
        doomed = [pool.submit(client.post, url(), json=long_work) for _ in range(4)]
        spared = [pool.submit(client.post, url("other"), json=long_work) for _ in range(4)]
        until(lambda: waiting(server) == 8)
        mini = runner_of(server, "esm2-mini")
        assert mini in (first, second)
        os.kill(mini, signal.SIGKILL)
        until(lambda: runner_of(server, "esm2-mini") != mini)
        os.kill(runner_of(server, "esm2-mini"), signal.SIGKILL)
        answers = [each.result() for each in [*doomed, *spared]]
        assert server.process.wait(120) == 4
        assert [answer.status_code for answer in answers[4:]] == [200] * 4, "they asked for another model"
        for answer in answers[:4]:
            if answer.status_code != 200:  # done before the second death
                assert answer.status_code == 500
                assert ErrorBody.model_validate_json(answer.content).code == "system.model_execution"
        with pytest.raises(httpx.ConnectError):
            client.get("/health/live")
    assert "not started again" in server.log_text()


def waiting(server: ServedProcess) -> float:
    return sum(value for name, value in server.metrics().items() if name.startswith("esmkit_queue_requests{"))


def runner_of(server: ServedProcess, slug: str) -> int:
    """The runner that the log names last for a model."""
    lines = [line["message"] for line in server.log() if line["message"].startswith(f"{slug} is loaded, runner ")]
    return int(lines[-1].split()[-1])


@pytest.mark.parametrize("clients", [8, pytest.param(64, marks=pytest.mark.slow)])
def test_sigterm_under_load_answers_what_was_accepted_and_refuses_the_rest(tmp_path: Path, clients: int) -> None:
    body = items(*[PROTEIN * 12] * 8)
    with (
        ServedProcess(tmp_path, "--threads", "1") as server,
        server.client() as client,
        ThreadPoolExecutor(clients) as pool,
    ):
        client.post(url(), json=items("MKT"))
        upload = raw_post(url(), json.dumps(items("MKT")).encode())
        uploads = [server.connect(upload[:-5]) for _ in range(8)]
        running = [pool.submit(client.post, url(), json=body) for _ in range(clients)]
        until(lambda: server.metrics()[WAITING] == clients or any(each.done() for each in running))
        server.terminate()
        late = refused(server)
        for connection in uploads:
            connection.sendall(upload[-5:])
        half = [connection.recv(65_536) for connection in uploads]
        codes = Counter(status_of(each) for each in running)
        assert server.process.wait(120) == 0
    for connection in uploads:
        connection.close()
    assert codes == {200: clients}
    assert late in (503, None)
    assert {answer[:12] for answer in half} <= {b"HTTP/1.1 503", b""}
    assert [line for line in server.log() if "exception" in line] == []


def status_of(answer: Future[httpx.Response]) -> int:
    if answer.result().status_code == 200:
        assert len(answer.result().json()["results"]) == 8
    return answer.result().status_code


def refused(server: ServedProcess) -> int | None:
    """The status of the first call that is not answered; None if the server listens no more."""
    with server.client() as client:
        try:
            while (answer := client.post(url(), json=items("MKT"))).status_code == 200:
                pass
        except httpx.TransportError:
            return None
        ErrorBody.model_validate_json(answer.content)
        return answer.status_code
