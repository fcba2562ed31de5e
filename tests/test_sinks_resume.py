"""A run may be killed at any moment: run again it gives the same files, and finished shards are not made again.

Run as a program, this file is the run that gets killed: `python test_sinks_resume.py OUT SECONDS_PER_RECORD LOG`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esmkit.errors import InvalidConfigError, InvalidInputError, InvalidSequenceError
from esmkit.sinks import Summary, formats, open_target
from esmkit.sinks.files import FolderLock
from esmkit.types import Column, Failure, Record, Result

COLUMNS = (Column("vector", "float", (8,)), Column("score", "float", ()))
SINGLE = sorted(f"out{form.suffixes[0]}" for form in formats().values() if form.single_file)
TARGETS = [*SINGLE, "run"]
RECORDS = [Record(i, f"P{i}", "MKTAYI"[: 1 + i % 6]) for i in range(20)]
RECORDS_PER_SHARD = 4


def answer(record: Record) -> Result | Failure:
    if record.index % 7 == 3:
        error = InvalidSequenceError("a bad residue", record_id=record.id, position=1, residue="J")
        return Failure(record.index, record.id, error)
    vector = np.random.default_rng(record.index).standard_normal(8)
    return Result(record.index, record.id, {"vector": vector, "score": 0.5}, {"length": len(record.sequence)})


def run(
    out: Path,
    records: Iterable[Record | Failure] = RECORDS,
    *,
    seconds: float = 0.0,
    computed: list[int] | None = None,
    **options: Any,
) -> Summary:
    settings: dict[str, Any] = {
        "columns": COLUMNS,
        "arguments": {"layers": [33], "include": ("mean",)},
        "provenance": {"model": "esm2-8m", "versions": {"torch": "2.11"}},
        "shard_records": RECORDS_PER_SHARD,
        "shard_residues": 1000,
        **options,
    }
    with open_target(out, **settings) as target:
        for shard in target.pending(records):
            for record in shard.records:
                if computed is not None:
                    computed.append(record.index)
                time.sleep(seconds)
                shard.write(answer(record) if isinstance(record, Record) else record)
            shard.commit()
        return target.finish()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def finished_shards(out: Path) -> dict[str, tuple[int, int]]:
    """inode and mtime of the shards that the manifest of an unfinished run lists."""
    folder = out if out.is_dir() else out.with_name(f".{out.name}.partial")
    try:
        shards = json.loads((folder / "manifest.json").read_text())["shards"]
        status = {shard["file"]: (folder / shard["file"]).stat() for shard in shards}
    except FileNotFoundError:
        return {}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in status.items()}


# ---- killed ---------------------------------------------------------------------------------------------------------


def start(out: Path, seconds: float, log: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, str(out), str(seconds), str(log)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    return process


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


@pytest.mark.parametrize("call", ["kill_at_every_step", "kill_at_every_step_of_overwrite"])
@pytest.mark.parametrize("name", ["run", "out.jsonl"])
def test_a_run_killed_at_any_step_resumes_to_equal_result(name: str, call: str, tmp_path: Path) -> None:
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
        "manifest.json",
        "failures.jsonl",
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


def in_program(call: str, out: Path) -> subprocess.CompletedProcess[str]:
    """Call a function of this file with a path in a process of its own."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import pathlib; "
        f"from {Path(__file__).stem} import {call}; print({call}(pathlib.Path({str(out)!r})))"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", SINGLE)
def test_a_disk_too_full_to_assemble_is_an_error_and_keeps_the_shards(name: str, tmp_path: Path) -> None:
    done = in_program("assemble_on_a_full_disk", tmp_path / name)
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    folder, suffix = f".{name}.partial", Path(name).suffix
    assert set(contents(tmp_path)) == {
        f"{folder}/manifest.json",
        *(f"{folder}/shard-{i:05d}{suffix}" for i in range(20)),
    }


@pytest.mark.parametrize("name", sorted(formats()))
def test_a_full_disk_is_an_error_and_leaves_no_half_file(name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    out.mkdir()
    done = in_program("write_on_a_full_disk", out)
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    assert set(contents(out)) == {"run/manifest.json"}
    assert json.loads((out / "run" / "manifest.json").read_text())["shards"] == []


# ---- done already, damaged, changed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TARGETS)
def test_a_complete_run_is_not_computed_again(name: str, tmp_path: Path) -> None:
    first = run(tmp_path / name)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    computed: list[int] = []
    again = run(tmp_path / name, computed=computed)
    assert computed == []
    assert (first.shards, first.shards_resumed, again.shards_resumed) == (5, 0, 5)
    assert (again.records, again.residues, again.failures) == (first.records, first.residues, first.failures)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("damage", ["truncated", "deleted", "failures deleted"])
def test_a_damaged_shard_alone_is_made_again(damage: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(out)
    wanted = contents(out)
    shard = out / "shard-00002.parquet"
    if damage == "truncated":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif damage == "deleted":
        shard.unlink()
    else:
        (out / "failures.jsonl").unlink()
    computed: list[int] = []
    run(out, computed=computed)
    failed = [i // 4 for i in range(20) if i % 7 == 3]
    shards = {2} if damage != "failures deleted" else set(failed)
    assert set(computed) == {i for i in range(20) if i // 4 in shards}
    assert contents(out) == wanted


def test_failures_are_listed_in_input_order_with_their_errors(tmp_path: Path) -> None:
    error = InvalidSequenceError("bad", record_id="P5", position=2, residue="J", source="in.fasta", line=4)
    records = [*RECORDS[:5], Failure(5, "P5", error), *RECORDS[6:]]
    for name in ("run", "out.jsonl"):
        summary = run(tmp_path / name, records)
        assert summary.failures_path
        lines = [json.loads(line) for line in summary.failures_path.read_text().splitlines()]
        assert [line["index"] for line in lines] == [3, 5, 10, 17]
        assert lines[1] == {"index": 5, "id": "P5", "error": error.to_dict()}
        assert (summary.records, summary.failures) == (20, 4)
        assert summary.residues == sum(len(r.sequence) for r in RECORDS if r.index not in (3, 5, 10, 17))
    rows = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(row)["index"] for row in rows] == [i for i in range(20) if i not in (3, 5, 10, 17)]


def test_the_manifest_says_what_made_the_run_and_what_is_in_it(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(out)
    manifest = json.loads((out / "manifest.json").read_text())
    shards = manifest.pop("shards")
    assert manifest == {
        "esmkit_run": 1,
        "status": "complete",
        "arguments": {"layers": [33], "include": ["mean"]},
        "provenance": {"model": "esm2-8m", "versions": {"torch": "2.11"}},
        "format": "parquet",
        "dtype": "float32",
        "columns": [
            {"name": "vector", "dtype": "float", "shape": [8]},
            {"name": "score", "dtype": "float", "shape": []},
        ],
        "shard_records": 4,
        "shard_residues": 1000,
        "counts": {"records": 20, "residues": 51, "failures": 3},
    }
    assert [shard["first"] for shard in shards] == [0, 4, 8, 12, 16]
    assert {path.name for path in out.iterdir()} == {"manifest.json", "failures.jsonl", *(s["file"] for s in shards)}


@pytest.mark.parametrize("finished", [False, True], ids=["unfinished", "finished"])
@pytest.mark.parametrize("name", ["run", "out.parquet"])
@pytest.mark.parametrize(
    ("change", "setting", "message"),
    [
        ({"arguments": {"layers": [12], "include": ("mean",)}}, "layers", r"layers was \[33\], is \[12\]"),
        ({"arguments": {"layers": [33]}}, "include", r"include was \[\"mean\"\], is absent"),
        (
            {"provenance": {"model": "esm2-8m", "versions": {"torch": "2.12"}}},
            "versions.torch",
            r'versions.torch was "2.11", is "2.12"',
        ),
        ({"dtype": "float16"}, "dtype", r'dtype was "float32", is "float16"'),
        ({"shard_records": 5}, "shard_records", r"shard_records was 4, is 5"),
        ({"columns": COLUMNS[:1]}, "columns", r"columns was vector float\[8\], score float\[\], is vector float\[8\]"),
    ],
)
def test_other_arguments_are_refused_by_name(
    name: str, finished: bool, change: dict[str, Any], setting: str, message: str, tmp_path: Path
) -> None:
    if finished:
        run(tmp_path / name)
    else:
        leave_unfinished(tmp_path / name)
    before = contents(tmp_path)
    with pytest.raises(InvalidConfigError, match=message + ".*another --out, or --overwrite") as caught:
        run(tmp_path / name, **change)
    assert caught.value.setting == setting
    assert contents(tmp_path) == before


def leave_unfinished(out: Path, **options: Any) -> None:
    """Three finished shards, of which the last is the last one of this input."""

    def endless() -> Iterator[Record]:
        yield from RECORDS[:12]
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        run(out, endless(), **options)


def changed(index: int) -> list[Record]:
    return [Record(r.index, r.id, r.sequence + "W" * (r.index == index)) for r in RECORDS]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (changed(5), "shard-00001.*, records 4 to 7 changed"),
        (
            [Record(r.index, r.id + "x" * (r.index == 11), r.sequence) for r in RECORDS],
            "shard-00002.*, records 8 to 11",
        ),
        (RECORDS[:8], "shard-00002.*, records from 8 on are missing"),
        (RECORDS[:10], "shard-00002.*, records 8 to 9 changed"),
    ],
)
@pytest.mark.parametrize("name", ["run", "out.parquet"])
def test_changed_input_is_refused_with_the_shard(
    name: str, records: list[Record], message: str, tmp_path: Path
) -> None:
    leave_unfinished(tmp_path / name)
    with pytest.raises(InvalidInputError, match=message):
        run(tmp_path / name, records)
    assert run(tmp_path / name).shards_resumed == 3


@pytest.mark.parametrize("name", ["run", "out.parquet"])
def test_records_added_to_the_input_of_a_complete_run_are_refused(name: str, tmp_path: Path) -> None:
    run(tmp_path / name)
    with pytest.raises(InvalidInputError, match=r"shard-00005.*, records from 20 on are new"):
        run(tmp_path / name, [*RECORDS, Record(20, "new", "MK")])


@pytest.mark.parametrize("name", ["run", "out.parquet"])
@pytest.mark.parametrize("records", [changed(5), RECORDS[:8], RECORDS[:10], RECORDS], ids=len)
def test_overwrite_of_an_unfinished_run_keeps_what_is_the_same(
    name: str, records: list[Record], tmp_path: Path
) -> None:
    whole, again = tmp_path / "whole", tmp_path / "again"
    for folder in (whole, again):
        folder.mkdir()
    run(whole / name, records)
    leave_unfinished(again / name)
    computed: list[int] = []
    run(again / name, records, overwrite=True, computed=computed)
    assert contents(again) == contents(whole)
    if records == RECORDS:
        assert computed == list(range(12, 20))


@pytest.mark.parametrize("name", ["run", "out.parquet"])
def test_overwrite_replaces_a_complete_run(name: str, tmp_path: Path) -> None:
    whole, again = tmp_path / "whole", tmp_path / "again"
    for folder in (whole, again):
        folder.mkdir()
    run(whole / name, RECORDS[:3])
    run(again / name, arguments={"other": 1})
    computed: list[int] = []
    for _ in range(2):
        run(again / name, RECORDS[:3], overwrite=True, computed=computed)
        assert contents(again) == contents(whole)
    assert computed == [0, 1, 2] * 2


def test_overwrite_keeps_the_old_file_until_the_new_one_is_ready(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    run(out, provenance={"model": "older"})
    old = out.read_bytes()
    leave_unfinished(out, overwrite=True)
    assert out.read_bytes() == old
    assert run(out, overwrite=True).shards_resumed == 3
    assert out.read_bytes() != old


# ---- not ours -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["notes.txt", "shard-00000.parquet", "manifest.json", "sub/notes.txt"])
def test_a_directory_that_is_not_ours_stays_as_it_is(name: str, overwrite: bool, tmp_path: Path) -> None:
    mine = tmp_path / "run" / name
    mine.parent.mkdir(parents=True)
    mine.write_text('{"name": "mine"}')
    with pytest.raises(InvalidConfigError, match=r"no run of esmkit|was not written by esmkit"):
        run(tmp_path / "run", overwrite=overwrite)
    assert contents(tmp_path) == {f"run/{name}": b'{"name": "mine"}'}


def test_files_of_the_user_in_a_directory_of_ours_survive_overwrite(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(out)
    mine = ["notes.txt", "shard-1.parquet", ".other.tmp", "shard-00000.parquet.bak"]
    for name in mine:
        (out / name).write_text("mine")
    run(out, RECORDS[:3], arguments={}, overwrite=True)
    assert set(contents(out)) == {"manifest.json", "shard-00000.parquet", *mine}


@pytest.mark.parametrize("name", ["out.parquet", "out.parquet.failures.jsonl", "out.parquet.manifest.json"])
def test_a_file_that_is_not_ours_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(InvalidConfigError, match=f"{name} .*not written by esmkit"):
        run(tmp_path / "out.parquet")
    assert contents(tmp_path) == {name: b"mine"}


def test_a_file_of_ours_that_was_changed_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    run(out)
    with out.open("a") as file:
        file.write("a line of mine\n")
    with pytest.raises(InvalidConfigError, match=r"out.csv has changed since the run that wrote it"):
        run(out)
    assert out.read_text().endswith("a line of mine\n")


# ---- two at once ----------------------------------------------------------------------------------------------------


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


if __name__ == "__main__":
    seen: Any = Path(sys.argv[3]).open("w", buffering=1)  # noqa: SIM115 - it lives as long as the program

    def slowly() -> Iterator[Record]:
        print("started", flush=True)  # noqa: T201
        yield from RECORDS

    class _Seen(list[int]):
        def append(self, index: int) -> None:
            seen.write(f"{index}\n")

    run(Path(sys.argv[1]), slowly(), seconds=float(sys.argv[2]), computed=_Seen())
