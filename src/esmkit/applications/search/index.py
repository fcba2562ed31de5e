"""An index that is open for search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from esmkit.applications.search.card import Approximate, IndexCard
from esmkit.applications.search.filters import Comparison, parse_filter
from esmkit.applications.search.nearest import Hit, nearest, recall, unit, vectors_of
from esmkit.applications.search.table import VectorTable
from esmkit.errors import InvalidConfigError, InvalidInputError
from esmkit.types import FloatArray, IntArray

MEASURED_QUERIES, MEASURED_NEIGHBOURS = 200, 10
_SEED = 0
_SPARE, _CANDIDATES = 2, 64
"""Candidates of an approximate search for k, whose true cosines decide: 2 k, and at least so many."""
_BREADTH, _IN_VIEW = 8, 512
"""Vectors that it keeps in view while it looks: 8 k, and at least so many. With 128, 44 % of the neighbours of new
queries were missed where vectors have no structure, with 512 it is 7 %, 2 ms slower (20,000 vectors of 320 numbers)."""


@dataclass(frozen=True, slots=True)
class Index:
    """Proteins with their vectors, on disk.

    Attributes:
        folder: where it is.
        card: what it says of itself.
        table: its rows.
    """

    folder: Path
    card: IndexCard
    table: VectorTable

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """Opens a finished index.

        Raises:
            InvalidInputError: there is none, or its build was not finished.
            MissingExtraError: lancedb is not installed.
        """
        folder = Path(folder)
        card = IndexCard.read(folder)
        if not card.complete:
            raise InvalidInputError(
                f"{folder} is not finished; run the 'esmkit index build' that began it again", source=str(folder)
            )
        return cls(folder, card, VectorTable.open(folder, card))

    def where(self, text: str | None) -> tuple[Comparison, ...]:
        """The conditions of a filter, see `parse_filter`."""
        return () if text is None else parse_filter(text, self.card)

    def search(
        self, vectors: FloatArray, *, k: int = 10, where: Sequence[Comparison] = (), exact: bool = False
    ) -> list[list[Hit]]:
        """The nearest proteins of each query, nearest first; equally near ones in the order of their ids.

        Search is exact, one pass over all vectors for all queries, unless the index has an approximate one; with a
        filter it is exact among the proteins that meet it.

        Args:
            vectors: float [Q, F], of the space of the index and any length.
            k: how many; fewer where there are no more.
            where: conditions that hits must meet.
            exact: never approximate.

        Raises:
            InvalidConfigError: the vectors have another dimension, or k is no positive number.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.card.space.dimension:
            raise InvalidConfigError(
                f"queries should be [n, {self.card.space.dimension}], found {list(vectors.shape)}", setting="vectors"
            )
        if k < 1:
            raise InvalidConfigError(f"k must be at least 1, not {k}", setting="k")
        units = unit(vectors)
        names = ["id", "vector", "sequence", "length", *(column.name for column in self.card.columns)]
        if exact or where or self.card.approximate is None:
            return nearest(units, self.table.scan(names, where), k)
        count, breadth = max(_CANDIDATES, _SPARE * k), max(_IN_VIEW, _BREADTH * k)
        near = (self.table.candidates(query.astype(np.float32), names, count, breadth) for query in units)
        return [nearest(query[None], [batch], k)[0] for query, batch in zip(units, near, strict=True)]

    def sample(self, offsets: IntArray) -> tuple[list[str], FloatArray]:
        """Ids and vectors of the proteins at these places, in ascending order of the places."""
        batch = self.table.take(np.sort(offsets), ["id", "vector"])
        return batch.column("id").to_pylist(), vectors_of(batch)

    def measured(self) -> Approximate:
        """The recall of the approximate index: proteins of its own as queries, themselves not counted as hits."""
        proteins = len(self.table)
        drawn = np.random.default_rng(_SEED).choice(proteins, min(MEASURED_QUERIES, proteins), replace=False)
        ids, vectors = self.sample(drawn)
        kind = self.table.index_kind()
        assert kind is not None
        claimed = Approximate(kind, proteins, len(ids), MEASURED_NEIGHBOURS, 0.0)
        searched = replace(self, card=replace(self.card, approximate=claimed))
        found = searched.others(ids, vectors, MEASURED_NEIGHBOURS)
        exact = searched.others(ids, vectors, MEASURED_NEIGHBOURS, exact=True)
        return replace(claimed, recall=recall(found, exact))

    def others(
        self,
        ids: Sequence[str],
        vectors: FloatArray,
        k: int,
        *,
        where: Sequence[Comparison] = (),
        exact: bool = False,
    ) -> list[list[Hit]]:
        """The nearest proteins of proteins of the index, each without itself."""
        found = self.search(vectors, k=k + 1, where=where, exact=exact)
        return [[hit for hit in hits if hit.id != own][:k] for own, hits in zip(ids, found, strict=True)]
