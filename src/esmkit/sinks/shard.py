"""One shard of a run: the records that belong to it, and the file that their results go to."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path

from esmkit.errors import InternalError
from esmkit.sinks.files import publish, sha256_of, shard_name, temporary
from esmkit.sinks.format import Format, Layout, formats
from esmkit.sinks.manifest import FinishedShard
from esmkit.types import Failure, Record, Result

Finished = Callable[[FinishedShard, list[Failure]], None]


@dataclass(frozen=True, slots=True)
class ShardSize:
    """Where a shard ends: after the record that brings it to so many records or so many residues.

    Attributes:
        records: at most so many.
        residues: no more records after so many.
        weigh: what a record of so many residues counts for, where a long one costs more than its length; by default
            its length.
    """

    records: int
    residues: int
    weigh: Callable[[int], int] | None = None

    def weight(self, item: Record | Failure) -> int:
        """What a record counts for; one that failed costs nothing."""
        length = len(item.sequence) if isinstance(item, Record) else 0
        return self.weigh(length) if self.weigh else length


def intakes(records: Iterable[Record | Failure], size: ShardSize) -> Iterator[Intake]:
    """Cuts the input into shards; one is to be read to its end before the next is asked for."""
    stream = iter(records)
    while (first := next(stream, None)) is not None:
        yield Intake(first, stream, size)


class Intake:
    """The records of one shard, taken from the stream one by one, counted and digested as they pass.

    It closes after the record that fills it, so the input alone decides where shards end.

    Attributes:
        first: index of the first record.
        records: records passed so far.
        awaited: indices of the records that passed and have no result yet.
        closed: whether the last record passed.
    """

    def __init__(self, first: Record | Failure, rest: Iterator[Record | Failure], size: ShardSize) -> None:
        self.first = first.index
        self.records = 0
        self.awaited: deque[int] = deque()
        self.closed = False
        self._stream = chain([first], rest)
        self._size = size
        self._digest = sha256()

    @property
    def input_sha256(self) -> str:
        """Digest of the ids and sequences that passed; of a failed record, of its id and error."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[Record | Failure]:
        weight, size = 0, self._size
        for item in self._stream:
            self._digest.update(_fingerprint(item))
            self.records += 1
            weight += size.weight(item)
            full = self.records >= size.records or weight >= size.residues
            self.awaited.append(item.index)
            self.closed = full
            yield item
            if full:
                return
        self.closed = True


def _fingerprint(item: Record | Failure) -> bytes:
    """Bytes that differ for every two items that would give different results; lengths keep the parts apart."""
    if isinstance(item, Record):
        return f"record {len(item.id)} {item.id} {len(item.sequence)} {item.sequence}\n".encode()
    # A moved or renamed input file is the same input.
    fields = {name: value for name, value in item.error.fields.items() if name != "source"}
    return f"failure {len(item.id)} {item.id} {item.error.code} {json.dumps(fields)}\n".encode()


class Shard:
    """An unfinished shard: read `records`, `write` an answer to each in order, `commit`.

    Attributes:
        records: the records of this shard, lazily; they end where the shard ends.
        first: index of the first record.
        committed: whether the shard is finished on disk.
    """

    def __init__(
        self,
        intake: Intake,
        records: Iterator[Record | Failure],
        *,
        path: Path,
        form: Format,
        layout: Layout,
        finished: Finished,
        writer: str = "",
    ) -> None:
        self.records, self.first, self.committed = records, intake.first, False
        self._intake, self._path, self._finished = intake, path, finished
        self._residues = 0
        self._failures: list[Failure] = []
        self._temp = temporary(path, writer)
        self._writer = form.open(self._temp, layout)

    def write(self, item: Result | Failure) -> None:
        """Append the answer to the next record.

        Raises:
            InternalError: it is not the answer to the next record.
        """
        awaited = self._intake.awaited
        if not awaited or awaited[0] != item.index:
            wanted = awaited[0] if awaited else "none"
            raise InternalError(f"results must come in input order: awaited index {wanted}, got {item.index}")
        awaited.popleft()
        if isinstance(item, Failure):
            self._failures.append(item)
        else:
            self._writer.write(item)
            self._residues += item.meta["length"]

    def commit(self) -> None:
        """Complete the file, give it its name, and enter the shard into the manifest.

        Raises:
            InternalError: records are left to read, or without a result.
        """
        intake = self._intake
        if not intake.closed or intake.awaited:
            raise InternalError(
                f"{self._path.name} cannot be committed: {len(intake.awaited)} records without result, and "
                f"{'all' if intake.closed else 'not all'} records read"
            )
        self._writer.close()
        digest = sha256_of(self._temp)
        publish(self._temp, self._path)
        entry = FinishedShard(
            file=self._path.name,
            sha256=digest,
            first=intake.first,
            records=intake.records,
            residues=self._residues,
            failures=len(self._failures),
            input_sha256=intake.input_sha256,
        )
        self._finished(entry, self._failures)
        self.committed = True

    def abort(self) -> None:
        """Let go of the file of an uncommitted shard."""
        if not self.committed:
            self._writer.abort()
            self._temp.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Shards:
    """What a process needs to write shards of a run: plain values, for processes that other machines run too.

    Attributes:
        folder: where they stand.
        format: name of their format.
        layout: what a file holds.
        size: where shards end.
    """

    folder: Path
    format: str
    layout: Layout
    size: ShardSize

    def open(
        self,
        number: int,
        intake: Intake,
        records: Iterator[Record | Failure],
        finished: Finished,
        *,
        writer: str = "",
    ) -> Shard:
        """A new shard in the place of whatever has its name.

        Args:
            number: of the shard in the run.
            intake: what its records pass through.
            records: these.
            finished: told of the shard once it has its name.
            writer: who writes, where several processes may be at the same shard.
        """
        form = formats()[self.format]
        path = self.folder / shard_name(number, form.suffixes[0])
        return Shard(intake, records, path=path, form=form, layout=self.layout, finished=finished, writer=writer)
