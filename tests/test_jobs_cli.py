"""`esmkit jobs` against a server on a socket: what people and scripts see, and downloads that break off."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pyarrow.parquet as pq
import pytest
import uvicorn

from esmkit.cli import jobs_service, jobs_shown
from esmkit.engine import Model, load
from esmkit.server.jobs import worker
from tests.cli_calls import Esmkit, in_process
from tests.jobs_stand_in import JobsApi, fasta
from tests.server_stand_in import SLUG


class Served(JobsApi):
    """A server with jobs on a socket.

    Attributes:
        port: of it.
        url: of it.
    """

    def __init__(self, model: Model, folder: Path, **settings: Any) -> None:
        super().__init__(model, folder, **settings)
        self._server = uvicorn.Server(uvicorn.Config(self.app, port=0, log_config=None, lifespan="on", ws="none"))
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.01)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        super().__exit__()


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "POLL_S", 0.05)
    monkeypatch.setattr(jobs_shown, "POLL_S", 0.02)
    monkeypatch.setattr(jobs_service, "RETRY_S", 0.02)
    monkeypatch.delenv("ESMKIT_API_KEY", raising=False)


@pytest.fixture
def served(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with Served(model, tmp_path) as running:
        monkeypatch.setenv("ESMKIT_SERVER", running.url)
        yield running


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


@pytest.fixture
def proteins(tmp_path: Path) -> Path:
    path = tmp_path / "proteins.fasta"
    path.write_bytes(fasta(30))
    return path


def test_a_job_is_sent_watched_and_brought(served: Served, esmkit: Esmkit, proteins: Path, tmp_path: Path) -> None:
    sent = esmkit("jobs", "submit", str(proteins), "--include", "mean,log_prob", "--format", "parquet")
    assert (sent.code, sent.err) == (0, "esmkit: sent 30 proteins with 1,200 residues as job\n")
    job = sent.out.strip()
    assert re.fullmatch(r"job_[\w-]{22}", job)
    watched = esmkit("jobs", "watch", job)
    assert (watched.code, watched.err.splitlines()[-1]) == (0, "esmkit: done: 30 of 30 proteins")
    out = tmp_path / "results.parquet"
    brought = esmkit("jobs", "get", job, "--out", str(out), "--json")
    assert brought.code == 0
    assert json.loads(brought.out)["name"] == "proteins.fasta"
    found = pq.read_table(out)
    assert found.num_rows == 30
    assert {"id", "mean_6", "log_prob"} <= set(found.column_names)
    listed = esmkit("jobs", "list")
    assert all(word in listed.out for word in (job, "proteins.fasta", "esm2-mini", "done"))
    assert [path.name for path in tmp_path.glob("*.partial")] == []


def test_a_bad_record_ends_the_command_or_is_counted(served: Served, esmkit: Esmkit, tmp_path: Path) -> None:
    path = tmp_path / "bad.fasta"
    path.write_text(">a\nMK\n>b\nM9\n")
    refused = esmkit("jobs", "submit", str(path))
    assert (refused.code, refused.out) == (2, "")
    assert "record 'b' (input, line 4), position 2: found '9'" in refused.err
    job = esmkit("jobs", "submit", str(path), "--on-error", "skip").out.strip()
    got = esmkit("jobs", "get", job, "--out", str(tmp_path / "out.parquet"))
    assert (got.code, "2 of 2 proteins, 1 failed" in got.err) == (1, True)


def test_the_same_file_with_the_same_key_is_one_job(served: Served, esmkit: Esmkit, proteins: Path) -> None:
    first, second = (esmkit("jobs", "submit", str(proteins), "--idempotency-key", "x").out for _ in range(2))
    assert first == second
    assert len(json.loads(esmkit("jobs", "list", "--json").out)) == 1


def test_a_cancelled_job_has_no_result(served: Served, esmkit: Esmkit, proteins: Path, tmp_path: Path) -> None:
    served.queue.gate.clear()
    job = esmkit("jobs", "submit", str(proteins), "--quiet").out.strip()
    assert esmkit("jobs", "cancel", job).code == 0
    got = esmkit("jobs", "get", job, "--out", str(tmp_path / "out.parquet"))
    assert (got.code, got.err) == (1, "esmkit: cancelled: 0 of 30 proteins\n")
    assert not (tmp_path / "out.parquet").exists()


def test_a_key_is_asked_for_and_sent(
    model: Model, tmp_path: Path, esmkit: Esmkit, proteins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Served(model, tmp_path, auth="on") as guarded:
        refused = esmkit("jobs", "submit", str(proteins), "--server", guarded.url)
        assert (refused.code, "put the key into ESMKIT_API_KEY" in refused.err) == (2, True)
        monkeypatch.setenv("ESMKIT_API_KEY", guarded.store.keys.create("me")[1])
        assert esmkit("jobs", "submit", str(proteins), "--server", guarded.url).code == 0
        unknown = esmkit("jobs", "watch", "job_" + "a" * 22, "--server", guarded.url)
        assert (unknown.code, "there is no such job" in unknown.err) == (2, True)


def test_without_a_server_the_command_says_where_it_looked(esmkit: Esmkit, proteins: Path) -> None:
    nobody = esmkit("jobs", "submit", str(proteins), "--server", "http://127.0.0.1:9")
    assert (nobody.code, "no esmkit server answers at http://127.0.0.1:9" in nobody.err) == (3, True)
    wrong = esmkit("jobs", "list", "--server", "localhost:8000")
    assert (wrong.code, "write https://HOST or http://HOST:PORT" in wrong.err) == (2, True)


class Cutter:
    """A port in front of a server that ends every connection after so many bytes of answers.

    Attributes:
        url: where it listens.
        ranges: that were asked for.
    """

    def __init__(self, target: int, cut_bytes: int) -> None:
        self._target, self._cut = target, cut_bytes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.ranges: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            with near, socket.create_connection(("127.0.0.1", self._target)) as far, suppress(OSError):
                asked = near.recv(65_536)
                self.ranges += re.findall(r"(?i)\r\nrange: (\S+)", asked.decode())
                far.sendall(asked.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                left = self._cut
                while left and (piece := far.recv(left)):
                    near.sendall(piece)
                    left -= len(piece)


def test_a_download_that_breaks_off_goes_on_where_it_stopped(
    served: Served, esmkit: Esmkit, proteins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = esmkit("jobs", "submit", str(proteins), "--include", "per_residue").out.strip()
    esmkit("jobs", "get", job, "--out", str(tmp_path / "whole.parquet"))
    whole = (tmp_path / "whole.parquet").read_bytes()
    monkeypatch.setattr(jobs_service, "_PIECE", 1000)
    cutter = Cutter(served.port, len(whole) // 4)
    out = tmp_path / "out.parquet"
    got = esmkit("jobs", "get", job, "--out", str(out), "--server", cutter.url)
    assert (got.code, out.read_bytes() == whole) == (0, True), got.err
    starts = [int(each.removeprefix("bytes=").rstrip("-")) for each in cutter.ranges]
    assert len(starts) >= 3
    assert starts == sorted(set(starts))
    assert [path.name for path in tmp_path.glob(".*.partial")] == []
