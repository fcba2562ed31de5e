"""The input as a data source of Ray Data: one row per shard, cut by whoever reads, one after another."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from ray.data.block import Block, BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from esmkit.cluster.files.work import End, Piece, Records, Seen
from esmkit.errors import EsmkitError
from esmkit.sinks.manifest import FinishedShard
from esmkit.sinks.shard import ShardSize, intakes


@dataclass(frozen=True, slots=True)
class Reader:
    """Cuts the input as a single process does, and leaves out what is finished.

    Attributes:
        records: opens the input.
        size: where shards end.
        finished: shards of an earlier run that are still there.
        is_complete: whether that run reached the end of its input.
        overwrite: whether another input replaces it.
    """

    records: Records
    size: ShardSize
    finished: Mapping[int, FinishedShard]
    is_complete: bool
    overwrite: bool

    def pieces(self) -> Iterator[Piece | End]:
        """What is to be computed, then the end."""
        resumed: list[Seen] = []
        finished, number = self.finished, -1
        try:
            for number, intake in enumerate(intakes(self.records(), self.size)):
                items = list(intake)
                seen = Seen(number, intake.first, intake.records, intake.input_sha256)
                if number in finished and finished[number].is_of(seen):
                    resumed.append(seen)
                    continue
                if number in finished or (self.is_complete and number >= len(self.finished)):
                    if not self.overwrite:
                        yield End(number, resumed, conflict=seen)
                        return
                    finished = {}  # what comes after a changed shard is computed anew, as in a single process
                yield Piece(number, items)
        except (EsmkitError, OSError) as error:
            yield End(number + 1, resumed, error=error)
        else:
            yield End(number + 1, resumed)


class Pieces(Datasource):
    """One read task, because only a whole input shows where its shards end and which ids come twice."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reader = reader

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown before it is read."""
        return None

    def get_name(self) -> str:
        """As Ray shows it."""
        return "esmkit"

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        """The one."""
        reader = self._reader
        metadata = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(lambda: map(as_row, reader.pieces()), metadata)]


def as_row(value: object) -> Block:
    """A table of one cell: Ray Data moves and counts rows, what they hold is ours."""
    return pa.table({"value": pa.array([pickle.dumps(value)], pa.binary())})


def of_row(table: pa.Table) -> Any:
    """The value of such a table, which a process of the same run wrote."""
    return pickle.loads(table["value"][0].as_py())  # noqa: S301
