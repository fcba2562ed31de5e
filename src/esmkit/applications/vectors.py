"""Pooled embeddings of many proteins in one array, kept on disk so that no protein is computed twice.

Shapes: n proteins, l layers, D width of the model.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol, Self

import numpy as np

from esmkit.alphabet import num_residues
from esmkit.config import Settings
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError
from esmkit.outputs import OutputOptions, build
from esmkit.types import FloatArray, Record, Result

Pooling = Literal["mean", "max", "bos"]
Vectors = dict[int, FloatArray]
"""Of one protein: layer -> float32 [D]."""

AT_ONCE = 500
"""Proteins that are computed or looked up together: what a killed run loses at most."""


class Watcher(Protocol):
    """Counts what went through the model."""

    def tokens(self, done: int) -> None:
        """So many tokens more."""

    def record(self, length: int) -> None:
        """One protein more, of so many residues."""


@dataclass(frozen=True, slots=True)
class VectorCache:
    """Pooled embeddings on disk: a SQLite file for each model and number format, which may be deleted at any time.

    Several processes may use it at once.

    Attributes:
        folder: where the files are; made when the first vector is kept.
    """

    folder: Path

    @classmethod
    def default(cls, settings: Settings) -> Self:
        """The one in the user's cache, `ESMKIT_HOME/vectors`."""
        return cls(settings.home / "vectors")

    def open(self, model: Model) -> _Shelf:
        """The vectors of one model.

        Raises:
            InvalidConfigError: the file cannot be opened, or is no cache.
        """
        dtype = str(model.engine.runner.dtype).removeprefix("torch.")
        path = self.folder / f"{model.provenance['weights_sha256'][:32]}-{dtype}.sqlite"
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            return _Shelf(path)
        except sqlite3.DatabaseError as error:
            raise InvalidConfigError(
                f"{path}: {error}; delete this file, it is only a cache", setting="cache"
            ) from error


def vectors(
    model: Model,
    records: Sequence[Record],
    *,
    layers: Sequence[int] = (-1,),
    pooling: Pooling = "mean",
    cache: VectorCache | None = None,
    watcher: Watcher | None = None,
) -> FloatArray:
    """Pooled embeddings of proteins, each sequence computed once.

    Args:
        model: the model; its policies for lengths and residues hold.
        records: the proteins.
        layers: which layers, 0 (input embedding) to N, or counted from the end.
        pooling: how residues become one vector.
        cache: where vectors are looked up and kept; a run that was killed goes on from there.
        watcher: sees how far it is.

    Returns:
        float32 [n, l, D], layers in the order in which they were asked for.

    Raises:
        EsmkitError: a sequence has no answer; it names the record.

    Example:
        >>> import esmkit
        >>> from esmkit.inputs import from_sequences
        >>> vectors(esmkit.load(), list(from_sequences(["MKTAYIAK", "GSHMLE"])), layers=[0, -1]).shape[:2]
        (2, 2)
    """
    numbers = [model.shape.layer(layer) for layer in layers]
    table = np.empty((len(records), len(numbers), model.width), dtype=np.float32)
    work = _Work(model, pooling, tuple(sorted(set(numbers))), watcher)
    lines: dict[bytes, list[int]] = {}
    for line, record in enumerate(records):
        lines.setdefault(work.key(record), []).append(line)
    with nullcontext() if cache is None else closing(cache.open(model)) as shelf:
        for key, found in work.each({key: records[same[0]] for key, same in lines.items()}, shelf):
            table[lines[key]] = np.stack([found[number] for number in numbers])
    return table


@dataclass(frozen=True, slots=True)
class _Work:
    """One call of `vectors`."""

    model: Model
    pooling: Pooling
    layers: tuple[int, ...]
    watcher: Watcher | None = field(compare=False)

    def key(self, record: Record) -> bytes:
        """What decides the vectors of a record, apart from model, layer and pooling."""
        length = self.model.length if num_residues(record.sequence) > self.model.length.limit else None
        return hashlib.sha256(repr((record.sequence, self.model.residues, length)).encode()).digest()

    def each(self, records: Mapping[bytes, Record], shelf: _Shelf | None) -> Iterator[tuple[bytes, Vectors]]:
        """Vectors of every record, those on the shelf first; what had to be computed is kept there."""
        missing: dict[bytes, Record] = {}
        for keys in _groups(records, AT_ONCE):
            for key in keys:
                found = {} if shelf is None else shelf.get(key, self.pooling)
                if set(self.layers) <= set(found):
                    self._tell(records[key], computed=False)
                    yield key, found
                else:
                    missing[key] = records[key]
        for keys in _groups(missing, AT_ONCE):
            computed = dict(zip(keys, self._compute([missing[key] for key in keys]), strict=True))
            if shelf is not None:
                shelf.put(computed, self.pooling)
            yield from computed.items()

    def _compute(self, records: list[Record]) -> Iterator[Vectors]:
        (output,) = build([self.pooling], self.model.shape, OutputOptions(layers=self.layers))
        columns = {layer: column.name for layer, column in zip(self.layers, output.columns(), strict=True)}
        results = self.model.engine.run(
            [replace(record, index=index) for index, record in enumerate(records)],
            [output],
            length=self.model.length,
            residues=self.model.residues,
            on_progress=None if self.watcher is None else self.watcher.tokens,
        )
        for record, result in zip(records, results, strict=True):
            assert isinstance(result, Result)
            self._tell(record, computed=True)
            yield {layer: result.arrays[name] for layer, name in columns.items()}

    def _tell(self, record: Record, *, computed: bool) -> None:
        if self.watcher is not None:
            length = num_residues(record.sequence)
            if not computed:
                self.watcher.tokens(length + 2)
            self.watcher.record(length)


class _Shelf:
    """An open file of vectors."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=60)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS vectors (sequence BLOB, pooling TEXT, layer INTEGER, vector BLOB NOT NULL, "
            "PRIMARY KEY (sequence, pooling, layer)) WITHOUT ROWID"
        )

    def get(self, key: bytes, pooling: str) -> Vectors:
        """Every layer that is kept of a sequence."""
        question = "SELECT layer, vector FROM vectors WHERE sequence = ? AND pooling = ?"
        found = self._connection.execute(question, (key, pooling))
        return {layer: np.frombuffer(vector, dtype="<f4") for layer, vector in found}

    def put(self, computed: Mapping[bytes, Vectors], pooling: str) -> None:
        """Keeps vectors: all of them, or none if the process dies."""
        lines = (
            (key, pooling, layer, vector.astype("<f4").tobytes())
            for key, found in computed.items()
            for layer, vector in found.items()
        )
        with self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?, ?)", lines)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


def _groups(keys: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    iterator = iter(keys)
    while group := list(islice(iterator, size)):
        yield group
