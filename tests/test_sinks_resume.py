"""What is found at the target decides: go on, do nothing, do again, or refuse and say why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from esmkit.errors import InvalidConfigError, InvalidInputError, InvalidSequenceError
from esmkit.types import Failure, Record
from tests.sinks_run import COLUMNS, RECORDS, TARGETS, contents, leave_unfinished, run


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
        (out / "_failures.jsonl").unlink()
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
    manifest = json.loads((out / "_manifest.json").read_text())
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
    assert {path.name for path in out.iterdir()} == {"_manifest.json", "_failures.jsonl", *(s["file"] for s in shards)}


def test_a_directory_reads_as_one_table_beside_its_manifest_and_failures(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(out).failures == 3
    assert pq.read_table(out)["index"].to_pylist() == [i for i in range(20) if i % 7 != 3]


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
@pytest.mark.parametrize("name", ["notes.txt", "shard-00000.parquet", "_manifest.json", "sub/notes.txt"])
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
    assert set(contents(out)) == {"_manifest.json", "shard-00000.parquet", *mine}


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
