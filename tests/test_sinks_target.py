"""Shards follow the input alone, hold it lazily, and take every answer exactly once and in order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esmkit.errors import InternalError, InvalidConfigError, InvalidRecordError
from esmkit.sinks import Target, open_target
from esmkit.types import Column, Failure, Record, Result

COLUMNS = (Column("score", "float", ()),)
FAILURE = Failure(1, "bad", InvalidRecordError("empty", record_id="bad"))


def open_here(out: Path, **options: Any) -> Target:
    settings: dict[str, Any] = {"shard_records": 2, "shard_residues": 1000, **options}
    return open_target(out, columns=COLUMNS, arguments={}, provenance={}, **settings)


def answer(item: Record | Failure) -> Result | Failure:
    if isinstance(item, Failure):
        return item
    return Result(item.index, item.id, {"score": 1.0}, {"length": len(item.sequence)})


def write_all(target: Target, items: Iterable[Record | Failure]) -> list[int]:
    """Write everything, and give the number of records of each shard."""
    sizes = []
    for shard in target.pending(items):
        size = 0
        for record in shard.records:
            shard.write(answer(record))
            size += 1
        shard.commit()
        sizes.append(size)
    return sizes


def boundaries(lengths: list[int | None], *, max_records: int, max_residues: int) -> list[int]:
    """The rule in its plainest form; None is a failed record."""
    sizes, records, residues = [], 0, 0
    for length in lengths:
        records, residues = records + 1, residues + (length or 0)
        if records >= max_records or residues >= max_residues:
            sizes.append(records)
            records = residues = 0
    return [*sizes, records] if records else sizes


@settings(deadline=None, max_examples=50)  # every example waits for the disk
@given(
    lengths=st.lists(st.none() | st.integers(1, 30), max_size=25),
    max_records=st.integers(1, 8),
    max_residues=st.integers(1, 60),
)
def test_shards_close_at_the_record_that_reaches_a_limit(
    lengths: list[int | None], max_records: int, max_residues: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.mktemp("sinks") / "out.jsonl"
    items = [
        Failure(i, f"P{i}", FAILURE.error) if length is None else Record(i, f"P{i}", "M" * length)
        for i, length in enumerate(lengths)
    ]
    with open_here(out, shard_records=max_records, shard_residues=max_residues) as target:
        sizes = write_all(target, items)
        summary = target.finish()
    assert sizes == boundaries(lengths, max_records=max_records, max_residues=max_residues)
    assert (summary.records, summary.failures) == (len(lengths), lengths.count(None))
    assert summary.residues == sum(filter(None, lengths))
    rows = [json.loads(line)["index"] for line in out.read_text().splitlines()]
    assert rows == [i for i, length in enumerate(lengths) if length is not None]


def test_records_are_read_one_at_a_time(tmp_path: Path) -> None:
    read = 0

    def counted() -> Iterator[Record]:
        nonlocal read
        for index in range(1000):
            read += 1
            yield Record(index, f"P{index}", "MK")

    with open_here(tmp_path / "run", shard_records=500) as target:
        shard = next(target.pending(counted()))
        assert read == 1
        for number, record in enumerate(shard.records, start=1):
            assert read == number
            shard.write(answer(record))
        assert read == 500


def test_answers_may_come_later_than_the_next_records_are_read(tmp_path: Path) -> None:
    items = [Record(0, "a", "M"), FAILURE, Record(2, "c", "MK")]
    with open_here(tmp_path / "run", shard_records=3) as target:
        for shard in target.pending(items):
            for item in list(shard.records):
                shard.write(answer(item))
            shard.commit()
        assert target.finish().records == 3


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([1], "awaited index 0, got 1"),
        ([0, 0], "awaited index 1, got 0"),
        ([0, 1, 2], "awaited index none, got 2"),
        ([0], "1 records without result"),
    ],
)
def test_a_lost_doubled_or_misplaced_answer_is_an_error(indices: list[int], message: str, tmp_path: Path) -> None:
    records = [Record(0, "a", "M"), Record(1, "b", "M")]

    def answer_wrongly(target: Target) -> None:
        shard = next(target.pending(records))
        list(shard.records)
        for index in indices:
            shard.write(answer(Record(index, "x", "M")))
        shard.commit()

    with open_here(tmp_path / "run") as target, pytest.raises(InternalError, match=message):
        answer_wrongly(target)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"_manifest.json"}


def test_steps_out_of_order_are_errors(tmp_path: Path) -> None:
    records = [Record(i, f"P{i}", "M") for i in range(3)]
    with open_here(tmp_path / "a") as target:
        pending = target.pending(records)
        shard = next(pending)
        with pytest.raises(InternalError, match="not all records read"):
            shard.commit()
        with pytest.raises(InternalError, match="comes after"):
            target.finish()
        list(shard.records)
        with pytest.raises(InternalError, match="commit a shard before asking for the next"):
            next(pending)
    with open_here(tmp_path / "b") as target:
        pending = target.pending(records[:2])
        list(next(pending).records)
        with pytest.raises(InternalError, match="commit the last shard"):
            next(pending)


def test_no_records_and_only_failures_give_empty_files(tmp_path: Path) -> None:
    for name, items in (("none", []), ("failed", [Failure(0, "bad", FAILURE.error)])):
        out = tmp_path / f"{name}.csv"
        with open_here(out) as target:
            write_all(target, items)
            summary = target.finish()
        assert summary.records == summary.failures == len(items)
        assert out.read_text() == "index,id,length,long,score\n"


@pytest.mark.parametrize(("records", "residues"), [(0, 1), (1, 0)])
def test_shards_of_nothing_are_refused(records: int, residues: int, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="at least one record and one residue"):
        open_here(tmp_path / "run", shard_records=records, shard_residues=residues)


def test_the_summary_counts_what_an_earlier_run_finished_at_once(tmp_path: Path) -> None:
    records = [Record(i, f"P{i}", "MK") for i in range(6)]
    with open_here(tmp_path / "run") as target:
        for shard in target.pending(records):
            for record in shard.records:
                shard.write(answer(record))
            shard.commit()
            break
    with open_here(tmp_path / "run") as target:
        assert (target.summary.records, target.summary.residues) == (2, 4)
        assert write_all(target, records) == [2, 2]
        assert target.finish().shards_resumed == 1


def test_a_link_to_a_directory_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with open_here(tmp_path / "link") as target:
        write_all(target, [Record(0, "a", "M")])
        target.finish()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "shard-00000.parquet").is_file()
