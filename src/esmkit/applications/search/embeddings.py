"""Proteins with vectors from a file that `esmkit embed` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from esmkit.applications.search.card import Metadata, Space
from esmkit.applications.search.entries import Entry, Wanted, cells_of, digest_of, everything
from esmkit.applications.search.nearest import unit
from esmkit.applications.vectors import Pooling
from esmkit.errors import InvalidConfigError, InvalidInputError
from esmkit.inputs import check_unique
from esmkit.types import FloatArray, Origin, Record

POOLINGS: tuple[Pooling, ...] = ("mean", "max", "bos")
SUFFIXES = (".parquet", ".pq")
OTHERS = (".npz", ".safetensors", ".h5", ".hdf5")
"""Formats of embeddings that are not read here."""
_AT_ONCE = 1024


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

    def entries(self, columns: Sequence[Metadata], wanted: Wanted = everything) -> Iterator[Entry]:
        """See `Source`; metadata are further columns of the file, where somebody added them."""
        names = [column.name for column in columns]
        records = check_unique(self._records(names))
        vectors = self._vectors()
        for record, (length, vector) in zip(records, vectors, strict=True):
            assert isinstance(record, Record)
            cells = cells_of(record, columns)
            digest = digest_of(vector.tobytes(), cells)
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
    """Whether a file is one that esmkit wrote, and no table of sequences."""
    if Path(path).suffix in OTHERS:
        return True  # to be refused with the reason
    if Path(path).suffix not in SUFFIXES or not Path(path).is_file():
        return False
    try:
        return b"esmkit" in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False  # whoever reads it as a table says what is wrong


def _schema_of(path: Path) -> tuple[pa.Schema, dict[str, Any]]:
    try:
        if path.suffix not in SUFFIXES:
            raise ValueError(f"embeddings are read from Parquet; give 'esmkit embed' --out {path.stem}.parquet")
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
