"""What the tests of search share: vectors that are made up, and the plain search that all is measured against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.applications.search import Entry, Index, Metadata, Space, build
from esmkit.applications.search.entries import Wanted, everything
from esmkit.applications.search.nearest import unit
from esmkit.types import Failure, FloatArray, Record

DIMENSION = 24


@dataclass
class MadeUp:
    """A source of vectors that no model made.

    Attributes:
        vectors: [n, DIMENSION], of any length.
        cells: of each protein.
        ids: of each protein; by default `p0000`, `p0001`, ...
        stop_after: fails after so many proteins.
    """

    vectors: FloatArray
    cells: Sequence[tuple[Any, ...]] = ()
    ids: Sequence[str] = ()
    stop_after: int | None = None
    space: Space = field(default=Space("made-up", "nowhere", "0" * 64, (3,), "mean", DIMENSION))
    provenance: Mapping[str, Any] = field(default_factory=lambda: {"slug": "made-up"})
    batch_residues: int = 1000

    def entries(self, columns: Sequence[Metadata], wanted: Wanted = everything) -> Iterator[Entry | Failure]:
        for at, vector in enumerate(unit(self.vectors).astype(np.float32)):
            if at == self.stop_after:
                raise RuntimeError("the power is gone")
            record_id = self.ids[at] if self.ids else f"p{at:04}"
            digest = int(np.frombuffer(vector.tobytes(), np.int64)[0])
            cells, sequence = self.cells[at] if self.cells else (), "M" * (at % 7 + 1)
            if wanted(Record(at, record_id, sequence), digest):
                yield Entry(record_id, sequence, len(sequence), cells, digest, vector)


def clustered(count: int, clusters: int = 20, *, seed: int = 0) -> FloatArray:
    """Vectors around a few centres, as those of families are."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((clusters, DIMENSION))
    vectors: FloatArray = centres[draw.integers(0, clusters, count)] + 0.3 * draw.standard_normal((count, DIMENSION))
    return vectors


def made(folder: Path, source: MadeUp, **options: Any) -> Index:
    """The index of a source, open."""
    build(folder, source, **options)
    return Index.open(folder)


def plain_search(queries: FloatArray, vectors: FloatArray, ids: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
    """Every cosine, sorted; equal ones by id."""
    stored = unit(vectors).astype(np.float32).astype(np.float64)
    found = []
    for cosines in unit(queries) @ stored.T:
        order = sorted(range(len(ids)), key=lambda at: (-round(cosines[at], 9), ids[at]))
        found.append([(ids[at], float(cosines[at])) for at in order[:k]])
    return found
