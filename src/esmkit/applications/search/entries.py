"""Proteins on their way into an index, or as queries, with the vectors that a model gives them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, Protocol

import numpy as np

from esmkit.applications.search.card import Metadata, Space
from esmkit.applications.search.nearest import unit
from esmkit.applications.vectors import Watcher
from esmkit.engine import Model
from esmkit.engine.budget import shard_residues
from esmkit.errors import EsmkitError, InvalidRecordError
from esmkit.inputs import check_unique
from esmkit.outputs import OutputOptions, build
from esmkit.types import Failure, FloatArray, Record

Cell = str | float | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A protein with its vector.

    Attributes:
        id: of its own.
        sequence: None if it came from embeddings.
        length: residues.
        cells: its metadata, in the order of the columns.
        digest: of what decides its vector and of the cells: two entries are the same if id and digest are.
        vector: float32 [F], of length 1.
    """

    id: str
    sequence: str | None
    length: int
    cells: tuple[Cell, ...]
    digest: int
    vector: FloatArray


Wanted = Callable[[Record, int], bool]
"""Whether a protein, given with its digest, is to be computed at all; raises if it must not be there."""


def everything(record: Record, digest: int) -> bool:
    """Every protein is wanted."""
    return True


class Source(Protocol):
    """Where proteins with vectors come from."""

    @property
    def space(self) -> Space:
        """In which the vectors are."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What makes them."""

    @property
    def batch_residues(self) -> int:
        """Residues of about a minute of work."""

    def entries(self, columns: Sequence[Metadata], wanted: Wanted = everything) -> Iterator[Entry | Failure]:
        """The proteins in order, with these columns as cells; a Failure in place of one that cannot be used."""


@dataclass(frozen=True, slots=True)
class Sequences:
    """Sequences, which a model turns into vectors, as a stream.

    Attributes:
        model: the model; its policies for lengths and residues hold.
        records: opens the input from its start; `cells` are the columns of metadata.
        space: of the model.
        on_error: what a bad record does.
        watcher: sees how far it is.
    """

    model: Model
    records: Callable[[], Iterable[Record]]
    space: Space
    on_error: Literal["stop", "skip"] = "stop"
    watcher: Watcher | None = None

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What makes the vectors."""
        return self.model.provenance

    @property
    def batch_residues(self) -> int:
        """Residues of about a minute of work."""
        return shard_residues(self.model.shape, self.model.engine.runner.device)

    def entries(self, columns: Sequence[Metadata], wanted: Wanted = everything) -> Iterator[Entry | Failure]:
        """See `Source`."""
        (output,) = build([self.space.pooling], self.model.shape, OutputOptions(layers=self.space.layers))
        names = [column.name for column in output.columns()]
        waiting: deque[tuple[Record, tuple[Cell, ...], int] | None] = deque()
        results = self.model.engine.run(
            self._intake(columns, wanted, waiting),
            [output],
            length=self.model.length,
            residues=self.model.residues,
            on_error=self.on_error,
            on_progress=None if self.watcher is None else self.watcher.tokens,
        )
        for result in results:
            came = waiting.popleft()
            if isinstance(result, Failure):
                yield result
                continue
            assert came is not None
            record, cells, digest = came
            length = result.meta["length"]
            if self.watcher is not None:
                self.watcher.record(length)
            vector = unit(np.concatenate([result.arrays[name] for name in names])).astype(np.float32)
            yield Entry(record.id, record.sequence, length, cells, digest, vector)

    def _intake(self, columns: Sequence[Metadata], wanted: Wanted, waiting: deque[Any]) -> Iterator[Record | Failure]:
        """What the model is to see; `waiting` gets one item for each."""
        for item in check_unique(self.records(), on_error=self.on_error):
            if isinstance(item, Failure):
                waiting.append(None)
                yield item
                continue
            try:
                cells = cells_of(item, columns)
                digest = digest_of(item.sequence.encode(), cells)
                if not wanted(item, digest):
                    continue
            except EsmkitError as error:
                if self.on_error == "stop":
                    raise
                waiting.append(None)
                yield Failure(item.index, item.id, error)
                continue
            waiting.append((item, cells, digest))
            yield item


def cells_of(record: Record, columns: Sequence[Metadata]) -> tuple[Cell, ...]:
    """The metadata of a record: text as it is, numbers as numbers, an empty cell of these as None.

    Raises:
        InvalidRecordError: a cell is no finite number.
    """
    return tuple(
        cell if column.kind == "text" else _number(cell, column.name, record)
        for cell, column in zip(record.cells, columns, strict=True)
    )


def place_of(record: Record) -> str:
    """Where a record stands, for the start of a message."""
    return f"{record.origin.source}, line {record.origin.line}, " if record.origin else ""


def refused(record: Record, reason: str) -> InvalidRecordError:
    """The error for a record that cannot be taken."""
    origin = record.origin
    return InvalidRecordError(
        f"{place_of(record)}record {record.id!r}: {reason}",
        record_id=record.id,
        source=origin.source if origin else None,
        line=origin.line if origin else None,
    )


def _number(cell: str, name: str, record: Record) -> float | None:
    if not cell.strip():
        return None
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise refused(record, f"column {name!r} holds {cell!r}, which is no number; mend it, or use --text-column")
    return number


def digest_of(content: bytes, cells: tuple[Cell, ...]) -> int:
    """See `Entry.digest`; `content` is what decides the vector."""
    digest = blake2b(content, digest_size=8)
    digest.update(repr(cells).encode())
    return int.from_bytes(digest.digest(), "big", signed=True)
