"""Files on Ray, on a real cluster of three workers: the same files as one process writes, whatever goes wrong."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from esmkit.cli.ray_run import _proteins
from esmkit.sinks.files import FolderLock
from tests.ray_cluster import ROOT, cluster, environment, wait_for, workers
from tests.ray_faults import TROUBLE, faulty, run_options

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of Ray in this process


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[str, int]]:
    """A cluster, and the process that all of its processes descend from."""
    with cluster() as (found, keeper):
        yield found, keeper.pid


@pytest.fixture
def address(running: tuple[str, int]) -> str:
    return running[0]


@pytest.fixture(scope="module")
def proteins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("input") / "proteins.fasta"
    path.write_bytes(gzip.decompress((ROOT / "tests" / "data" / "proteins.fasta.gz").read_bytes()))
    return path


@pytest.fixture(scope="module")
def single(proteins: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process writes."""
    out = tmp_path_factory.mktemp("single") / "out"
    assert embed(proteins, out).returncode == 0
    return contents(out)


def command(source: Path | str, out: Path | str, *options: str) -> list[str]:
    fixed = ["--threads", "1", "--device", "cpu", "--shard-residues", "2000", "--json"]
    return [sys.executable, "-m", "esmkit", "embed", str(source), "--out", str(out), *fixed, *options]


def embed(source: Path | str, out: Path | str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(source, out, *options), env=environment(), capture_output=True, text=True)


@contextlib.contextmanager
def started(source: Path, out: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A run on its way, which Ctrl-C reaches also where a shell put the tests in its background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command(source, out, *options), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def finished(out: Path) -> int:
    """Shards that the manifest names."""
    try:
        return len(json.loads((out / "_manifest.json").read_text())["shards"])
    except FileNotFoundError:
        return 0


def with_record(proteins: Path, path: Path, line: str, *, at: int = 100) -> Path:
    """The proteins with one more among them."""
    records = proteins.read_text().split(">")[1:]
    records.insert(at, line)
    path.write_text("".join(f">{record}" for record in records))
    return path


def run_here(address: str, source: Path, out: Path, fault: str) -> Any:
    """The same in this process, with work that has a fault."""
    from esmkit.cluster.connection import connect
    from esmkit.cluster.files.pool import Pool
    from esmkit.cluster.files.run import Request, run

    class Silent:
        def described(self, _: object) -> None: ...

        def started(self, _: object) -> None: ...

        def progressed(self, _: object) -> None: ...

    options = run_options(source)
    work, records = partial(faulty, options, fault), partial(_proteins, options)
    request = Request(work=work, records=records, is_here=True, out=str(out))
    with connect(address):
        return run(request, Pool(), Silent())


def test_killed_worker_costs_no_row_and_changes_none(
    running: tuple[str, int], proteins: Path, single: dict[str, bytes], tmp_path: Path
) -> None:
    address, keeper = running
    with started(proteins, tmp_path / "out", "--ray", address) as run:
        wait_for(lambda: finished(tmp_path / "out") and workers(keeper))
        os.kill(workers(keeper)[0], signal.SIGKILL)
        report, errors = run.communicate()
    assert (run.returncode, json.loads(report)["records"]) == (0, 200), errors
    assert contents(tmp_path / "out") == single


def test_interrupted_run_goes_on_where_it_was(
    address: str, proteins: Path, single: dict[str, bytes], tmp_path: Path
) -> None:
    with started(proteins, tmp_path / "out", "--ray", address) as run:
        wait_for(lambda: finished(tmp_path / "out") >= 2)
        run.send_signal(signal.SIGINT)
        assert run.communicate()[1].splitlines()[-1].startswith("esmkit: interrupted; run it again")
        assert run.returncode == 130
    left = finished(tmp_path / "out")
    assert 2 <= left < len(single) - 1
    again = embed(proteins, tmp_path / "out", "--ray", address)
    assert json.loads(again.stdout)["shards_resumed"] == left
    assert contents(tmp_path / "out") == single


def test_one_process_goes_on_with_what_ray_left(
    address: str, proteins: Path, single: dict[str, bytes], tmp_path: Path
) -> None:
    with started(proteins, tmp_path / "out", "--ray", address) as run:
        wait_for(lambda: finished(tmp_path / "out") >= 2)
        run.send_signal(signal.SIGINT)
        run.communicate()
    left = finished(tmp_path / "out")
    assert json.loads(embed(proteins, tmp_path / "out").stdout)["shards_resumed"] == left
    assert contents(tmp_path / "out") == single


def test_second_submission_to_the_same_folder_is_refused(
    address: str, proteins: Path, single: dict[str, bytes], tmp_path: Path
) -> None:
    first = FolderLock(tmp_path / "out")
    second = embed(proteins, tmp_path / "out", "--ray", address)
    assert (second.returncode, f"process {os.getpid()} on" in second.stderr) == (2, True), second.stderr
    first.release()
    assert embed(proteins, tmp_path / "out", "--ray", address).returncode == 0
    assert contents(tmp_path / "out") == single


def test_lost_head_is_an_error_and_the_next_cluster_goes_on(
    proteins: Path, single: dict[str, bytes], tmp_path: Path
) -> None:
    with cluster() as (first, keeper), started(proteins, tmp_path / "out", "--ray", first) as run:
        wait_for(lambda: finished(tmp_path / "out") >= 2)
        assert keeper.stdin is not None
        keeper.stdin.close()
        run.communicate(timeout=200)
        assert run.returncode not in (0, None)
    left = finished(tmp_path / "out")
    assert left < len(single) - 1
    with cluster() as (second, _):
        again = embed(proteins, tmp_path / "out", "--ray", second)
    assert json.loads(again.stdout)["shards_resumed"] == left
    assert contents(tmp_path / "out") == single


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_poisoned_record_is_named_as_by_one_process(
    on_error: str, address: str, proteins: Path, tmp_path: Path
) -> None:
    source = with_record(proteins, tmp_path / "poisoned.fasta", "poison\nMKT1YIA\n")
    alone = embed(source, tmp_path / "one", "--on-error", on_error)
    on_ray = embed(source, tmp_path / "several", "--on-error", on_error, "--ray", address)
    assert alone.returncode == on_ray.returncode == {"stop": 2, "skip": 1}[on_error]
    if on_error == "stop":
        assert alone.stderr.splitlines()[-1] == on_ray.stderr.splitlines()[-1]
        assert "position 4" in on_ray.stderr
        assert finished(tmp_path / "several") >= finished(tmp_path / "one") > 0
    else:
        assert contents(tmp_path / "one") == contents(tmp_path / "several")


def test_record_that_kills_its_worker_again_and_again_ends_the_run_with_its_shard_named(
    address: str, proteins: Path, tmp_path: Path
) -> None:
    from esmkit.cluster.connection import ClusterError

    source = with_record(proteins, tmp_path / "deadly.fasta", f"{TROUBLE}\nMKTAYIA\n", at=20)
    with pytest.raises(ClusterError, match=r"ended its worker 4 times.*too little memory"):
        run_here(address, source, tmp_path / "out", "killed")
    assert finished(tmp_path / "out") >= 2


def test_memory_error_is_met_with_smaller_batches(address: str, proteins: Path, tmp_path: Path) -> None:
    source = with_record(proteins, tmp_path / "large.fasta", f"{TROUBLE}\nMKTAYIA\n", at=20)
    assert run_here(address, source, tmp_path / "out", "memory").records == 201


def test_memory_error_that_stays_is_an_error_with_its_shard_named(address: str, proteins: Path, tmp_path: Path) -> None:
    from esmkit.cluster.connection import ClusterError

    source = with_record(proteins, tmp_path / "larger.fasta", f"{TROUBLE}\nMKTAYIA\n", at=20)
    with pytest.raises(ClusterError, match="too little memory"):
        run_here(address, source, tmp_path / "out", "memory_always")


def test_full_disk_is_a_clear_error_and_the_run_goes_on_later(address: str, proteins: Path, tmp_path: Path) -> None:
    source = with_record(proteins, tmp_path / "full.fasta", f"{TROUBLE}\nMKTAYIA\n", at=20)
    with pytest.raises(OSError, match="No space left on device"):
        run_here(address, source, tmp_path / "out", "disk")
    left = finished(tmp_path / "out")
    again = json.loads(embed(source, tmp_path / "out", "--ray", address).stdout)
    assert (again["records"], again["shards_resumed"]) == (201, left)
    assert embed(source, tmp_path / "one").returncode == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "one")


def test_folder_behind_a_url_holds_the_same_shards(
    address: str, proteins: Path, single: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "bucket" / "out"
    url = f"file://{out}"
    done = embed(f"file://{proteins}", url, "--ray", address)
    assert (done.returncode, json.loads(done.stdout)["out"]) == (0, url), done.stderr
    assert contents(out) == single


def test_variants_are_scored_as_by_one_process(address: str, tmp_path: Path) -> None:
    wild_type = "MKTAYIAKQRQISFVKSHFSRQ"
    table = tmp_path / "variants.csv"
    rows = [f"{residue}{at}A" for at, residue in enumerate(wild_type, 1) if residue != "A"]
    table.write_text("mutant\n" + "\n".join(rows) + "\n")
    command = [sys.executable, "-m", "esmkit", "mutations", "score", str(table), "--wild-type", wild_type]
    fixed = ["--threads", "1", "--device", "cpu", "--json"]
    for out, options in ((tmp_path / "one.csv", []), (tmp_path / "several.csv", ["--ray", address])):
        done = subprocess.run(
            [*command, *fixed, "--out", str(out), *options], env=environment(), capture_output=True, text=True
        )
        assert (done.returncode, json.loads(done.stdout)["variants"]) == (0, len(rows)), done.stderr
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "several.csv").read_bytes()


def test_a_scan_and_its_summary_are_those_of_one_process(address: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "esmkit", "mutations", "scan", "--sequence", "MKTAYIAKQRQISFVKSHFSRQ"]
    for name, options in (("one", []), ("several", ["--ray", address])):
        outs = ["--out", str(tmp_path / f"{name}.csv"), "--summary", str(tmp_path / f"{name}_summary.csv")]
        fixed = ["--threads", "1", "--device", "cpu", "--json"]
        done = subprocess.run([*command, *outs, *fixed, *options], env=environment(), capture_output=True, text=True)
        assert (done.returncode, json.loads(done.stdout)["variants"]) == (0, 22 * 19), done.stderr
    for kind in ("", "_summary"):
        assert (tmp_path / f"one{kind}.csv").read_bytes() == (tmp_path / f"several{kind}.csv").read_bytes()
