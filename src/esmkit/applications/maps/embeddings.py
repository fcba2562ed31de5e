"""Embeddings that `esmkit embed` wrote: a Parquet file, or a directory of them.

Shapes: n proteins, D width of the embeddings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.errors import InvalidInputError
from esmkit.sinks.files import MANIFEST, sha256_of
from esmkit.sinks.manifest import Manifest
from esmkit.types import FloatArray, Origin, Record

_SUFFIXES = (".parquet", ".pq")
_PROVENANCE = b"esmkit"
_BATCH_ROWS = 2048


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What a file of embeddings holds.

    Attributes:
        records: the proteins, without their sequences.
        lengths: residues of each.
        long: what a length policy did to each, or None.
        vectors: float32 [n, D].
        column: where they stood, such as `mean_33`.
        provenance: what made them.
        sha256: digests of the files.
    """

    records: list[Record]
    lengths: list[int]
    long: list[str | None]
    vectors: FloatArray
    column: str
    provenance: Mapping[str, Any]
    sha256: list[str]


def is_embeddings(source: str) -> bool:
    """Whether a run of esmkit wrote these Parquet files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return any(_PROVENANCE in (pq.read_schema(file).metadata or {}) for file in _files(source)[:1])
    except (OSError, pa.ArrowException):
        return False


def read_embeddings(source: str, *, column: str | None = None) -> Embeddings:
    """Reads one vector per protein; memory holds them once.

    Args:
        source: a Parquet file or a directory of shards, written by `esmkit embed`.
        column: which embeddings, such as `mean_33`; needed only where there are several.

    Raises:
        InvalidInputError: it holds no embeddings, or several and none was chosen, or its run is not finished.
    """
    import pyarrow.parquet as pq

    _demand_complete(source)
    files = _files(source)
    schema = pq.read_schema(files[0])
    name = _vector_column(source, schema, column)
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    vectors = np.empty((rows, schema.field(name).type.list_size), dtype=np.float32)
    ids: list[str] = []
    lengths: list[int] = []
    long: list[str | None] = []
    for file in files:
        with pq.ParquetFile(file, pre_buffer=False) as table:
            for batch in table.iter_batches(_BATCH_ROWS, columns=["id", "length", "long", name]):
                values = batch.column(name).flatten().to_numpy(zero_copy_only=False)
                vectors[len(ids) : len(ids) + batch.num_rows] = values.reshape(batch.num_rows, -1)
                ids += batch.column("id").to_pylist()
                lengths += batch.column("length").to_pylist()
                long += batch.column("long").to_pylist()
    records = [Record(index, name, "", origin=Origin(source, index + 2)) for index, name in enumerate(ids)]
    provenance = json.loads(schema.metadata[_PROVENANCE])
    return Embeddings(records, lengths, long, vectors, name, provenance, [sha256_of(file) for file in files])


def _files(source: str) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        return sorted(path.glob("shard-*.parquet"))
    return [path] if path.suffix.lower() in _SUFFIXES else []


def _demand_complete(source: str) -> None:
    manifest = Manifest.read(Path(source) / MANIFEST) if Path(source).is_dir() else None
    if manifest is not None and not manifest.complete:
        raise InvalidInputError(f"the run in {source} is not finished; run its command again to the end", source=source)


def _vector_column(source: str, schema: Any, wanted: str | None) -> str:
    import pyarrow as pa

    found: list[str] = [
        field.name
        for field in schema
        if pa.types.is_fixed_size_list(field.type) and pa.types.is_floating(field.type.value_type)
    ]
    if wanted is None and len(found) == 1:
        return found[0]
    if wanted is not None and wanted in found:
        return wanted
    if not found:
        raise InvalidInputError(
            f"{source} has no column of embeddings, only {', '.join(map(repr, schema.names))}; write them with 'esmkit "
            "embed', or give sequences",
            source=source,
        )
    choices = f"choose one of {', '.join(map(repr, found))} with --embedding-column"
    reason = "has several embeddings" if wanted is None else f"has no embeddings {wanted!r}"
    raise InvalidInputError(f"{source} {reason}; {choices}", source=source)
