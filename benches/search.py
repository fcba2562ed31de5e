"""`scripts/bench search`: approximate search beside exact search, in an index of vectors that are made up.

Either the vectors lie around centres, as proteins of families do, or they have no structure at all, which is the worst
case of an approximate search. The queries are others of the same kind, none of them in the index.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benches.results import say
from esmkit.applications.search import Entry, Index, Metadata, Space, build
from esmkit.applications.search.entries import Wanted, everything
from esmkit.applications.search.nearest import recall, unit
from esmkit.types import FloatArray, Record

PROTEINS = {"families": 100_000, "no_structure": 20_000}
QUICK_PROTEINS = 2_000
DIMENSION = 320
PER_FAMILY = 20
SPREAD = 0.5
QUERIES, K = 256, 10


@dataclass(frozen=True)
class MadeUp:
    """A source of vectors that no model made."""

    vectors: FloatArray
    space: Space = field(default=Space("made-up", "nowhere", "0" * 64, (1,), "mean", DIMENSION))
    provenance: Mapping[str, Any] = field(default_factory=dict)
    batch_residues: int = 10_000_000

    def entries(self, columns: Sequence[Metadata], wanted: Wanted = everything) -> Iterator[Entry]:
        """See `esmkit.applications.search.Source`."""
        for at, vector in enumerate(unit(self.vectors).astype(np.float32)):
            if wanted(Record(at, f"p{at}", ""), at):
                yield Entry(f"p{at}", None, 300, (), at, vector)


def measure(arguments: Namespace) -> dict[str, Any]:
    """An index of each kind; what is written to the result file."""
    facts = {"dimension": DIMENSION, "queries": QUERIES, "k": K}
    cases = {name: QUICK_PROTEINS if arguments.quick else proteins for name, proteins in PROTEINS.items()}
    return {**facts, "cases": {name: _measure(name, proteins) for name, proteins in cases.items()}}


def _measure(name: str, proteins: int) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((proteins // PER_FAMILY, DIMENSION)).astype(np.float32)
    centres *= name == "families"
    vectors, queries = (_around(centres, count, draw) for count in (proteins, QUERIES))
    with tempfile.TemporaryDirectory(prefix="esmkit-bench-") as scratch:
        folder = Path(scratch)
        content: dict[str, Any] = {"proteins": proteins}
        content["written_s"] = _seconds(partial(build, folder, MadeUp(vectors), approximate_from=proteins + 1))
        exact = Index.open(folder)
        content["bytes"] = _size(folder)
        content |= _exact(exact, queries)
        content["indexed_s"] = _seconds(exact.table.index)
        content["index_bytes"] = _size(folder) - content["bytes"]
        content |= _approximate(exact, queries)
    say(f"{name}: {content}")
    return content


def _exact(index: Index, queries: FloatArray) -> dict[str, float]:
    alone = [_seconds(partial(index.search, query[None], k=K)) for query in queries[:20]]
    together = _seconds(partial(index.search, queries, k=K))
    return {"exact_alone_ms": 1e3 * median(alone), "exact_together_ms": 1e3 * together / QUERIES}


def _approximate(exact: Index, queries: FloatArray) -> dict[str, Any]:
    measured = exact.measured()
    index = replace(exact, card=replace(exact.card, approximate=measured))
    found = index.search(queries, k=K)
    seconds = [_seconds(partial(index.search, query[None], k=K)) for query in queries]
    return {
        "kind": measured.kind,
        "approximate_ms": 1e3 * median(seconds),
        "approximate_p99_ms": 1e3 * float(np.quantile(seconds, 0.99)),
        "recall_of_new_queries": recall(found, exact.search(queries, k=K, exact=True)),
        "recall_that_info_shows": measured.recall,
    }


def _around(centres: FloatArray, count: int, draw: np.random.Generator) -> FloatArray:
    noise = draw.standard_normal((count, DIMENSION)).astype(np.float32)
    vectors: FloatArray = centres[draw.integers(0, len(centres), count)] + np.float32(SPREAD) * noise
    return vectors


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
