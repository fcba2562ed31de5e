"""What a run on Ray is made of, without Ray: cutting, entering in any order, places, the command line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esmkit.cli.ray_run import _workers
from esmkit.cli.run import out_text
from esmkit.cluster.connection import connect, demand_ray
from esmkit.cluster.files.lease import Lease
from esmkit.cluster.files.place import Remote, SharedFolder
from esmkit.cluster.files.target import Held, held
from esmkit.engine.budget import RecordCost
from esmkit.errors import InternalError, InvalidConfigError, InvalidInputError, MissingExtraError
from esmkit.sinks import Target, open_target
from esmkit.sinks.files import LOCK
from esmkit.sinks.shard import ShardSize, intakes
from esmkit.types import Column, Failure, Record, Result
from tests.cli_calls import Esmkit, in_process

RECORDS = [Record(index, f"p{index}", "MKTAYIAKQR"[: 3 + index % 5]) for index in range(10)]
OPTIONS: dict[str, Any] = {
    "columns": (Column("score", "float", ()),),
    "arguments": {},
    "provenance": {},
    "shard_records": 3,
    "shard_residues": 1000,
}


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


def answers(records: Iterator[Record | Failure]) -> Iterator[Result]:
    for record in records:
        assert isinstance(record, Record)
        yield Result(record.index, record.id, {"score": 1.0}, {"length": len(record.sequence)})


def write(target: Target, number: int, *, writer: str) -> None:
    """A shard as another process writes it."""
    for at, intake in enumerate(intakes(RECORDS, target.shards.size)):
        items = list(intake)
        if at == number:
            again = next(iter(intakes(items, target.shards.size)))
            shard = target.shards.open(
                number, again, iter(again), lambda entry, failures: target.enter(number, entry, failures), writer=writer
            )
            for result in answers(shard.records):
                shard.write(result)
            shard.commit()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_shards_entered_in_any_order_are_those_of_one_process(tmp_path: Path) -> None:
    with open_target(tmp_path / "one", **OPTIONS) as target:
        for shard in target.pending(RECORDS):
            for result in answers(shard.records):
                shard.write(result)
            shard.commit()
        target.finish()
    with open_target(tmp_path / "several", **OPTIONS) as target:
        for number in (2, 0, 3, 1):
            write(target, number, writer=f"w{number}")
        target.end(4)
        target.finish()
    assert contents(tmp_path / "several") == contents(tmp_path / "one")


def test_gaps_of_an_interrupted_run_are_all_that_is_left(tmp_path: Path) -> None:
    with open_target(tmp_path / "out", **OPTIONS) as target:
        for number in (3, 1):
            write(target, number, writer="w")
    with open_target(tmp_path / "out", **OPTIONS) as target:
        assert sorted(target.intact()) == [1, 3]
        computed = []
        for shard in target.pending(RECORDS):
            computed.append(shard.first)
            for result in answers(shard.records):
                shard.write(result)
            shard.commit()
        assert (computed, target.finish().shards_resumed) == ([0, 6], 2)


def test_input_that_ended_with_a_gap_is_not_complete(tmp_path: Path) -> None:
    with open_target(tmp_path / "out", **OPTIONS) as target:
        write(target, 1, writer="w")
        with pytest.raises(InternalError, match="1 of 4 shards"):
            target.end(4)


def test_unfinished_files_of_every_writer_are_swept(tmp_path: Path) -> None:
    with open_target(tmp_path / "out", **OPTIONS) as target:
        write(target, 0, writer="w")
        (tmp_path / "out" / ".shard-00001.parquet.host_17.tmp").touch()
    assert sorted(contents(tmp_path / "out")) == ["_manifest.json", "shard-00000.parquet"]


def test_cost_of_a_long_protein_grows_faster_than_its_length_and_a_masked_one_by_its_square() -> None:
    plain = RecordCost(width=320, plain=True, masked=False, limit=2048)
    both = RecordCost(width=320, plain=True, masked=True, limit=2048)
    assert plain(510) == 510
    assert 3 * plain(510) < plain(1530) < 6 * plain(510)
    assert both(510) == 511 * plain(510)


def test_shards_of_equal_cost_hold_fewer_long_proteins() -> None:
    size = ShardSize(100, 2000, RecordCost(width=320, plain=True, masked=False, limit=2048))
    short, long = ([Record(index, str(index), "M" * length) for index in range(100)] for length in (100, 1000))
    first_short, first_long = (next(iter(intakes(records, size))) for records in (short, long))
    assert (len(list(first_short)), len(list(first_long))) == (25, 2)


def test_reader_leaves_out_what_is_finished_and_stops_at_another_input(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from esmkit.cluster.files.reading import Reader
    from esmkit.cluster.files.work import End, Piece

    with open_target(tmp_path / "out", **OPTIONS) as target:
        write(target, 1, writer="w")
        size, finished = target.shards.size, target.intact()
    *pieces, end = Reader(lambda: iter(RECORDS), size, finished, False, False).pieces()
    assert [piece.number for piece in pieces if isinstance(piece, Piece)] == [0, 2, 3]
    assert isinstance(end, End)
    assert (end.number, [seen.number for seen in end.resumed]) == (4, [1])
    other = [*RECORDS[:4], Record(4, "p4", "WWW"), *RECORDS[5:]]
    *_, end = Reader(lambda: iter(other), size, finished, False, False).pieces()
    assert isinstance(end, End)
    assert end.conflict is not None
    *pieces, end = Reader(lambda: iter(other), size, finished, False, True).pieces()
    assert [piece.number for piece in pieces if isinstance(piece, Piece)] == [0, 1, 2, 3]


def test_reader_hands_on_an_error_after_the_shards_before_it(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from esmkit.cluster.files.reading import Reader
    from esmkit.cluster.files.work import End

    def broken() -> Iterator[Record]:
        yield from RECORDS[:4]
        raise InvalidInputError("line 9 is no FASTA", source="x", line=9)

    *pieces, end = Reader(broken, ShardSize(3, 1000), {}, False, False).pieces()
    assert len(pieces) == 1
    assert isinstance(end, End)
    assert isinstance(end.error, InvalidInputError)


def test_url_is_one_writers_at_a_time(tmp_path: Path) -> None:
    remote = Remote(f"file://{tmp_path / 'run'}")
    with Lease(remote):
        with pytest.raises(InvalidConfigError, match=r"is writing to file:.*its lock ends in \d+ s"), Lease(remote):
            pass
        assert remote.has(LOCK)
    assert not remote.has(LOCK)


def test_uploaded_file_is_the_same_file_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(b"no gzip")
    remote = Remote(f"file://{tmp_path / 'run'}")
    remote.upload(tmp_path / "a.gz")
    assert (tmp_path / "run" / "a.gz").read_bytes() == b"no gzip"
    remote.download("a.gz", tmp_path)
    assert (tmp_path / "a.gz").read_bytes() == b"no gzip"
    assert remote.names() == {"a.gz"}


def test_lock_of_a_dead_writer_ends(tmp_path: Path) -> None:
    remote = Remote(f"file://{tmp_path / 'run'}")
    (tmp_path / "run").mkdir()
    held_until = {"token": "x", "holder": "process 1 on a", "until": time.time() - 1}
    (tmp_path / "run" / LOCK).write_text(json.dumps(held_until))
    with Lease(remote):
        assert json.loads((tmp_path / "run" / LOCK).read_text())["token"] != "x"


def shards_behind(place: Held, numbers: tuple[int, ...]) -> None:
    with place.place.shards(place.target.shards) as shards:
        for number, intake in enumerate(intakes(RECORDS, shards.size)):
            items = list(intake)
            if number in numbers:
                again = next(iter(intakes(items, shards.size)))
                shard = shards.open(
                    number, again, iter(again), lambda entry, failed, at=number: place.target.enter(at, entry, failed)
                )
                for result in answers(shard.records):
                    shard.write(result)
                shard.commit()
    place.publish()


def test_run_behind_a_url_is_resumed_and_equal_to_one_in_a_folder(tmp_path: Path) -> None:
    url = f"file://{tmp_path / 'remote'}"
    with held(url, **OPTIONS) as place:
        shards_behind(place, (0, 2))
    (tmp_path / "remote" / "shard-00009.parquet").touch()
    with held(url, **OPTIONS) as place:
        assert sorted(place.finished) == [0, 2]
        place.place.demand_visible()
        shards_behind(place, (1, 3))
        place.target.end(4)
        place.target.finish()
        place.publish()
    with held(str(tmp_path / "local"), **OPTIONS) as place:
        shards_behind(place, (0, 1, 2, 3))
        place.target.end(4)
        place.target.finish()
    assert contents(tmp_path / "remote") == contents(tmp_path / "local")


def test_url_with_other_files_or_for_one_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with (
        pytest.raises(InvalidConfigError, match=r"holds no run of esmkit.*'mine.txt'"),
        held(f"file://{tmp_path}", **OPTIONS),
    ):
        pass
    with (
        pytest.raises(InvalidConfigError, match="folder of shards, not one file"),
        held("s3://bucket/out.parquet", **OPTIONS),
    ):
        pass


def test_machine_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match=r"does not see the run in .*a URL such as s3"):
        SharedFolder(tmp_path).demand_visible()


def test_missing_ray_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"esmkit\[cluster\]"):
        demand_ray()


def test_ray_client_is_refused() -> None:
    pytest.importorskip("ray")
    with pytest.raises(InvalidConfigError, match="Ray Client"), connect("ray://head:10001"):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["proteins.fasta"], "for the results: --out"),
        (["-", "--out", "out"], "not standard input"),
        (["proteins.fasta", "--out", "out", "--ray-workers", "3-2"], "--ray-workers '3-2'"),
    ],
)
def test_command_line_that_ray_cannot_serve_is_refused(options: list[str], message: str, esmkit: Esmkit) -> None:
    done = esmkit("embed", *options, "--ray", "local")
    assert (done.code, message in done.err) == (2, True), done.err


def test_url_as_out_needs_ray(esmkit: Esmkit) -> None:
    done = esmkit("embed", "--sequence", "MKT", "--out", "s3://bucket/run")
    assert (done.code, "s3://bucket/run: results go to a URL with --ray only" in done.err) == (2, True), done.err


def test_offline_reads_no_url(esmkit: Esmkit) -> None:
    done = esmkit("embed", "s3://bucket/proteins.fasta", "--out", "out", "--offline")
    assert (done.code, "through the network" in done.err) == (2, True), done.err


def test_options_mean_what_they_say() -> None:
    assert (_workers("8"), _workers("2-8"), _workers(None)) == ((1, 8), (2, 8), (1, None))
    assert out_text(Path("s3://bucket/run")) == "s3://bucket/run"
    assert out_text(Path("file:///tmp/run")) == "file:///tmp/run"
