"""The table of an index on disk: the only importer of lancedb.

Metadata are stored as `cell_0`, `cell_1`, ...: names of users are looked up in the card and reach no query.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from esmkit.applications.search.card import IndexCard
from esmkit.applications.search.entries import Entry
from esmkit.applications.search.filters import OWN_COLUMNS, Comparison
from esmkit.errors import InvalidInputError, demand_module
from esmkit.types import FloatArray, IntArray

if TYPE_CHECKING:
    from lancedb.expr import Expr

NAME = "esmkit_index"
FOLDER = f"{NAME}.lance"
_AT_ONCE = 8192
"""Rows of a scan that are in memory together."""
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def demand_lancedb() -> None:
    """Finds out before the work whether an index can be opened.

    Raises:
        MissingExtraError: lancedb is not installed.
    """
    os.environ.setdefault("LANCE_LOG", "error")  # its hints are for programmers, and it reads this once
    demand_module("lancedb", reason="an index needs lancedb", extra="search")


class VectorTable:
    """Proteins with their vectors.

    Args:
        table: of lancedb.
        card: of the index, for the columns.
    """

    def __init__(self, table: Any, card: IndexCard) -> None:
        self._table = table
        self._stored: dict[str, str] = dict(zip(OWN_COLUMNS, OWN_COLUMNS, strict=True))
        self._stored |= {column.name: f"cell_{at}" for at, column in enumerate(card.columns)}
        self._names = {stored: name for name, stored in self._stored.items()}

    @classmethod
    def open(cls, folder: Path, card: IndexCard, *, make: bool = False) -> Self:
        """Opens the table.

        Args:
            folder: of the index.
            card: of the index.
            make: makes an empty one where there is none.

        Raises:
            MissingExtraError: lancedb is not installed.
            InvalidInputError: the table is missing or damaged.
        """
        demand_lancedb()
        import lancedb

        database = lancedb.connect(folder)
        try:
            if make and not (folder / FOLDER).exists():
                return cls(database.create_table(NAME, schema=_schema(card)), card)
            return cls(database.open_table(NAME), card)
        except (ValueError, RuntimeError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidInputError(
                f"the table of {folder} cannot be opened: {reason}; build the index again", source=str(folder)
            ) from error

    def __len__(self) -> int:
        return int(self._table.count_rows())

    def add(self, entries: Sequence[Entry]) -> None:
        """Adds proteins: all of them, or none if the process dies."""
        if not entries:
            return
        schema = self._table.schema
        flat = pa.array(np.concatenate([entry.vector for entry in entries]))
        columns: list[Any] = [
            [entry.id for entry in entries],
            [entry.sequence for entry in entries],
            [entry.length for entry in entries],
            [entry.digest for entry in entries],
            pa.FixedSizeListArray.from_arrays(flat, type=schema.field("vector").type),
            *zip(*(entry.cells for entry in entries), strict=True),
        ]
        self._table.add(pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema))

    def scan(self, names: Sequence[str], where: Sequence[Comparison] = ()) -> Iterator[pa.RecordBatch]:
        """Columns of all rows, or of those that meet every condition; metadata under the names of the user."""
        query = self._table.search().select([self._stored.get(name, name) for name in names])
        if where:
            query = query.where(reduce(operator.and_, map(self._condition, where)))
        for batch in query.to_batches(_AT_ONCE):
            yield self._renamed(batch)

    def take(self, offsets: IntArray, names: Sequence[str]) -> pa.RecordBatch:
        """Columns of the rows at these places of a scan of everything; in ascending order of the places."""
        found = self._table.take_offsets(offsets.tolist()).select([self._stored.get(name, name) for name in names])
        return self._renamed(found.to_arrow().combine_chunks().to_batches()[0])

    def candidates(self, vector: FloatArray, names: Sequence[str], count: int, breadth: int) -> pa.RecordBatch:
        """What the approximate index takes for nearest, and of what it does not cover yet the nearest.

        Args:
            vector: float32 [F].
            names: of the columns wanted.
            count: how many rows.
            breadth: how many rows it keeps in view while it looks; at least `count`.
        """
        stored = [self._stored.get(name, name) for name in names]
        query = self._table.search(vector, vector_column_name="vector").distance_type("cosine")
        found = query.ef(breadth).limit(count).select([*stored, "_distance"]).to_arrow().drop_columns(["_distance"])
        return self._renamed(found.combine_chunks().to_batches()[0])

    def index(self) -> None:
        """Makes the approximate index."""
        from lancedb.index import HnswSq

        self._table.create_index("vector", config=HnswSq(distance_type="cosine"), replace=True)

    def index_kind(self) -> str | None:
        """What kind of approximate index there is."""
        return next((str(each.index_type) for each in self._table.list_indices()), None)

    def tidy(self, *, alone: bool) -> None:
        """Puts small files together, and new rows into the approximate index.

        Args:
            alone: nobody else can be reading the table, so older versions of it are deleted at once; otherwise
                after a week.
        """
        self._table.optimize(cleanup_older_than=timedelta(milliseconds=1) if alone else None)

    def _condition(self, comparison: Comparison) -> Expr:
        from lancedb.expr import col, lit

        condition: Expr = _COMPARE[comparison.operator](col(self._stored[comparison.column]), lit(comparison.value))
        return condition

    def _renamed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.rename_columns([self._names.get(name, name) for name in batch.schema.names])


def _schema(card: IndexCard) -> pa.Schema:
    kinds = {"text": pa.string(), "number": pa.float64()}
    return pa.schema(
        [
            ("id", pa.string()),
            ("sequence", pa.string()),
            ("length", pa.int32()),
            ("digest", pa.int64()),
            ("vector", pa.list_(pa.float32(), card.space.dimension)),
            *((f"cell_{at}", kinds[column.kind]) for at, column in enumerate(card.columns)),
        ]
    )
