"""A run that stops at any moment leaves whole files: run again it gives the same, and no shard is made twice."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esmkit.errors import InvalidConfigError
from esmkit.sinks import formats, open_target
from esmkit.sinks.files import FolderLock
from esmkit.types import Column, Record, Result
from tests.sinks_run import (
    RECORDS,
    RECORDS_PER_SHARD,
    SINGLE,
    TARGETS,
    contents,
    finished_shards,
    in_program,
    run,
    start,
)


@pytest.mark.parametrize("name", ["run", "out.parquet", "out.h5"])
def test_killed_run_resumes_to_equal_result(name: str, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    run(whole / name)
    chance = random.Random(name)
    killed_with = []
    for attempt in range(3):
        before = finished_shards(broken / name)
        log = tmp_path / f"computed-{attempt}"
        with start(broken / name, 0.01, log) as process:
            goal = chance.randint(5, 7)
            while len(log.read_text().split()) < goal and process.poll() is None:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.01))
            process.kill()
        assert process.returncode == -signal.SIGKILL
        after = finished_shards(broken / name)
        assert before.items() <= after.items()
        computed = {int(line) for line in log.read_text().split()}
        assert computed.isdisjoint(range(len(before) * RECORDS_PER_SHARD))
        killed_with.append(len(after))
    assert killed_with[0] < killed_with[1] < killed_with[2] < 5
    computed_last: list[int] = []
    remaining = list(range(killed_with[-1] * RECORDS_PER_SHARD, len(RECORDS)))
    summary = run(broken / name, computed=computed_last)
    assert computed_last == remaining
    assert summary.shards_resumed == killed_with[-1]
    assert (summary.records, summary.failures, summary.shards) == (20, 3, 5)
    assert contents(broken) == contents(whole)


def die_after(steps: int) -> None:
    """Let this process kill itself at the given step of those that change what is on the disk."""
    left = [steps]

    def dying(call: Any) -> Any:
        def counted(*arguments: Any, **options: Any) -> Any:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return call(*arguments, **options)

        return counted

    for owner, names in ((os, ("fsync", "rmdir")), (Path, ("replace", "unlink", "rmdir", "mkdir"))):
        for each in names:
            setattr(owner, each, dying(getattr(owner, each)))


def in_child(out: Path, steps: int | None, *, overwrite: bool) -> int:
    """Run in a forked process and give back how it ended: 0, or minus the signal."""
    child = os.fork()
    if child == 0:
        if steps is not None:
            die_after(steps)
        run(out, RECORDS[:6], overwrite=overwrite)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at_every_step(out: Path, *, overwrite: bool = False) -> int:
    """Kill a run before each step that changes the disk, run it again, compare; the number of steps."""
    folder, name = out.parent, out.name
    whole = folder / "whole"
    whole.mkdir()
    run(whole / name, RECORDS[:6])
    wanted = contents(whole)
    for step in range(1000):
        place = folder / str(step)
        place.mkdir()
        if overwrite:
            run(place / name, RECORDS[:5], arguments={"older": True})
        ended = in_child(place / name, step, overwrite=overwrite)
        assert in_child(place / name, None, overwrite=overwrite) == 0, step
        assert contents(place) == wanted, step
        if ended == 0:
            return step
        assert ended == -signal.SIGKILL
    raise AssertionError("the run never ended by itself")


def kill_at_every_step_of_overwrite(out: Path) -> int:
    """The same over a complete run of other arguments."""
    return kill_at_every_step(out, overwrite=True)


@pytest.mark.parametrize("call", [kill_at_every_step, kill_at_every_step_of_overwrite])
@pytest.mark.parametrize("name", ["run", "out.jsonl"])
def test_a_run_killed_at_any_step_resumes_to_equal_result(
    name: str, call: Callable[[Path], int], tmp_path: Path
) -> None:
    """In a program of its own: there, forking comes before any thread is started."""
    done = in_program(call, tmp_path / name)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


@pytest.mark.parametrize("name", TARGETS)
def test_an_exception_leaves_finished_shards_and_no_half_file(name: str, tmp_path: Path) -> None:
    def broken() -> Iterator[Record]:
        yield from RECORDS[:10]
        raise OSError("the input is gone")

    with pytest.raises(OSError, match="the input is gone"):
        run(tmp_path / name, broken())
    folder = tmp_path / name if name == "run" else tmp_path / f".{name}.partial"
    suffix = ".parquet" if name == "run" else Path(name).suffix
    assert set(contents(folder)) == {
        "_manifest.json",
        "_failures.jsonl",
        f"shard-00000{suffix}",
        f"shard-00001{suffix}",
    }
    computed: list[int] = []
    assert run(tmp_path / name, computed=computed).shards_resumed == 2
    assert computed == list(range(8, 20))


def write_large_values(out: Path, size: int, **options: Any) -> None:
    """Run where no file may grow beyond 20 kB, which every library meets as a failing write."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    noise = np.random.default_rng(0)
    as_text = options.get("format") == "csv" or out.suffix == ".csv"
    columns = [Column("large", "str", ()) if as_text else Column("large", "float", (size,))]
    with open_target(out, columns=columns, arguments={}, provenance={}, shard_residues=1000, **options) as target:
        for shard in target.pending(RECORDS):
            for record in shard.records:
                value = (
                    "".join(noise.choice([*"ACDEFGHIKLMNPQRS"], 2 * size)) if as_text else noise.standard_normal(size)
                )
                shard.write(Result(record.index, record.id, {"large": value}, {"length": 1}))
            shard.commit()
        target.finish()


def write_on_a_full_disk(out: Path) -> None:
    """Five values already are too large for a file."""
    write_large_values(out / "run", 4000, format=out.name, shard_records=20)


def assemble_on_a_full_disk(out: Path) -> None:
    """Shards of one value fit, the assembled file does not."""
    write_large_values(out, 800, shard_records=1)


@pytest.mark.parametrize("name", SINGLE)
def test_a_disk_too_full_to_assemble_is_an_error_and_keeps_the_shards(name: str, tmp_path: Path) -> None:
    done = in_program(assemble_on_a_full_disk, tmp_path / name)
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    folder, suffix = f".{name}.partial", Path(name).suffix
    assert set(contents(tmp_path)) == {
        f"{folder}/_manifest.json",
        *(f"{folder}/shard-{i:05d}{suffix}" for i in range(20)),
    }


@pytest.mark.parametrize("name", sorted(formats()))
def test_a_full_disk_is_an_error_and_leaves_no_half_file(name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    out.mkdir()
    done = in_program(write_on_a_full_disk, out)
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    assert set(contents(out)) == {"run/_manifest.json"}
    assert json.loads((out / "run" / "_manifest.json").read_text())["shards"] == []


@pytest.mark.parametrize("name", ["run", "out.parquet"])
def test_two_runs_on_one_target_at_once_are_refused(name: str, tmp_path: Path) -> None:
    process = start(tmp_path / name, 0.05, tmp_path / "log")
    with process:
        with pytest.raises(InvalidConfigError, match=f"process {process.pid} on .* is writing to .*{name}"):
            run(tmp_path / name)
        assert process.wait() == 0
    assert run(tmp_path / name).shards_resumed == 5


def test_a_lock_whose_file_was_deleted_by_its_holder_is_taken_anew(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = FolderLock(folder)
    (folder / ".lock").unlink()
    second = FolderLock(folder)
    with pytest.raises(InvalidConfigError, match=f"process {os.getpid()}"):
        FolderLock(folder)
    second.release()
    first.release()
    FolderLock(folder).release()
    assert list(folder.iterdir()) == []
