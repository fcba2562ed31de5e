"""Proteins on their way into an index, or as queries: their vectors come from a model, or from a file of embeddings."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from esmkit.applications.search.card import Metadata, Space
from esmkit.applications.search.nearest import unit
from esmkit.applications.vectors import Pooling, Watcher
from esmkit.engine import Model
from esmkit.engine.budget import shard_residues
from esmkit.errors import EsmkitError, InvalidConfigError, InvalidInputError, InvalidRecordError
from esmkit.inputs import check_unique
from esmkit.outputs import OutputOptions, build
from esmkit.types import Failure, FloatArray, Origin, Record

Cell = str | float | None
POOLINGS: tuple[Pooling, ...] = ("mean", "max", "bos")
_AT_ONCE = 1024


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
                digest = _digest(item.sequence.encode(), cells)
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


@dataclass(frozen=True, slots=True)
class Embeddings:
    """A Parquet file that `esmkit embed` wrote.

    Attributes:
        path: the file.
        names: its columns of embeddings that are put side by side.
        space: in which these are.
        provenance: what made them.
        batch_residues: that are read at once; they cost no work.
    """

    path: Path
    names: tuple[str, ...]
    space: Space
    provenance: Mapping[str, Any]
    batch_residues: int = 10_000_000

    @classmethod
    def open(cls, path: Path, *, layers: Sequence[int] | None = None, pooling: Pooling | None = None) -> Embeddings:
        """Looks at a file.

        Args:
            path: the file.
            layers: those wanted, 0..N; by default the one that the file holds.
            pooling: that wanted; by default the one that the file holds.

        Raises:
            InvalidInputError: the file holds no such embeddings, or does not say what made them.
            InvalidConfigError: it holds several kinds, and none was chosen.
        """
        schema, provenance = _schema_of(path)
        held = {(pool, int(number)): name for name in schema.names for pool, number in [_kind(name)] if pool}
        chosen = {
            key: name
            for key, name in held.items()
            if (pooling is None or key[0] == pooling) and (layers is None or key[1] in layers)
        }
        if not chosen or (layers is not None and {number for _, number in chosen} != set(layers)):
            raise InvalidInputError(
                f"{path} holds no such embeddings; its columns of embeddings: {', '.join(held.values()) or 'none'}. "
                "Layers of a file are counted from 0",
                source=str(path),
            )
        if len(chosen) > 1 and (layers is None or len({pool for pool, _ in chosen}) > 1):
            raise InvalidConfigError(
                f"{path} holds {', '.join(chosen.values())}; choose with --pool and --layers", setting="layers"
            )
        keys = sorted(chosen, key=lambda key: key[1] if layers is None else list(layers).index(key[1]))
        names = tuple(chosen[key] for key in keys)
        pool = cast(Pooling, keys[0][0])
        dimension = sum(schema.field(name).type.list_size for name in names)
        space = Space(
            provenance["slug"],
            provenance["source"],
            provenance["weights_sha256"],
            tuple(number for _, number in keys),
            pool,
            dimension,
        )
        return cls(path, names, space, provenance)

    def entries(self, columns: Sequence[Metadata], wanted: Wanted = everything) -> Iterator[Entry | Failure]:
        """See `Source`; metadata are further columns of the file, where somebody added them."""
        names = [column.name for column in columns]
        records = check_unique(self._records(names))
        vectors = self._vectors()
        for record, (length, vector) in zip(records, vectors, strict=True):
            assert isinstance(record, Record)
            cells = cells_of(record, columns)
            digest = _digest(vector.tobytes(), cells)
            if wanted(record, digest):
                yield Entry(record.id, None, length, cells, digest, vector)

    def _records(self, names: Sequence[str]) -> Iterator[Record]:
        index = 0
        for batch in self._batches(["id", *names]):
            ids, *cells = (column.cast(pa.string()).to_pylist() for column in batch.columns)
            for record_id, *row in zip(ids, *cells, strict=True):
                origin = Origin(str(self.path), index + 2)
                yield Record(index, record_id or "", "", origin=origin, cells=tuple(cell or "" for cell in row))
                index += 1

    def _vectors(self) -> Iterator[tuple[int, FloatArray]]:
        for batch in self._batches(["length", *self.names]):
            lengths, *layers = batch.columns
            joined = np.concatenate(
                [layer.flatten().to_numpy(zero_copy_only=False).reshape(len(lengths), -1) for layer in layers], axis=1
            )
            yield from zip(lengths.to_pylist(), unit(joined).astype(np.float32), strict=True)

    def _batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self.path) as file:
            for name in names:
                if name not in file.schema_arrow.names:
                    raise InvalidInputError(
                        f"{self.path} has no column {name!r}; its columns are "
                        f"{', '.join(map(repr, file.schema_arrow.names))}",
                        source=str(self.path),
                    )
            for batch in file.iter_batches(_AT_ONCE, columns=list(names)):
                yield batch.select(list(names))


def is_embeddings(path: str | Path) -> bool:
    """Whether a file is a Parquet file that esmkit wrote, and no table of sequences."""
    if Path(path).suffix not in (".parquet", ".pq") or not Path(path).is_file():
        return False
    try:
        return b"esmkit" in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False  # whoever reads it as a table says what is wrong


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


def _digest(content: bytes, cells: tuple[Cell, ...]) -> int:
    digest = blake2b(content, digest_size=8)
    digest.update(repr(cells).encode())
    return int.from_bytes(digest.digest(), "big", signed=True)


def _schema_of(path: Path) -> tuple[pa.Schema, dict[str, Any]]:
    try:
        schema = pq.read_schema(path)
        provenance = json.loads((schema.metadata or {})[b"esmkit"])
        if {"slug", "source", "weights_sha256"} <= set(provenance):
            return schema, provenance
        reason = "it does not say which model made it"
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        reason = str(error)
    raise InvalidInputError(f"{path} is no file of 'esmkit embed': {reason}", source=str(path))


def _kind(name: str) -> tuple[str, str]:
    """Pooling and layer of a column of embeddings; empty for others."""
    pool, _, number = name.rpartition("_")
    return (pool, number) if pool in POOLINGS and number.isdigit() else ("", "0")
