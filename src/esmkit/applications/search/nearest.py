"""The nearest vectors by cosine, exactly, in one pass over all of them; ties are in the order of ids.

Shapes: Q queries, N vectors of a batch, F numbers of a vector.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from esmkit.types import FloatArray

DECIMALS = 9
"""Of a cosine: sums of products differ in the last digits with the size of a batch, and equal vectors shall tie."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A protein near a query.

    Attributes:
        id: of the protein.
        cosine: of the angle between both vectors, -1 to 1.
        about: what the index knows of it: `sequence` (None if built from embeddings), `length`, and its metadata.
    """

    id: str
    cosine: float
    about: Mapping[str, Any]


def unit(vectors: FloatArray) -> FloatArray:
    """Vectors scaled to length 1, float64; one of zeros stays.

    Args:
        vectors: [n, F].
    """
    wide = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    scaled: FloatArray = wide / np.where(norms > 0, norms, 1.0)
    return scaled


def nearest(units: FloatArray, batches: Iterable[pa.RecordBatch], k: int) -> list[list[Hit]]:
    """The k nearest vectors of each query, nearest first.

    Args:
        units: [Q, F], of length 1.
        batches: with the columns `id`, `vector` (of length 1) and what goes into `Hit.about`.
        k: how many.
    """
    best: list[list[Hit]] = [[] for _ in units]
    for batch in batches:
        cosines_QN = np.round(units @ vectors_of(batch).T, DECIMALS)
        about = batch.drop_columns(["vector"])
        for hits, cosines in zip(best, cosines_QN, strict=True):
            _offer(hits, cosines, about, k)
    return best


def _offer(hits: list[Hit], cosines: FloatArray, about: pa.RecordBatch, k: int) -> None:
    """Puts what is near enough in a batch among the k best so far."""
    floor = hits[-1].cosine if len(hits) == k else -math.inf
    near = np.flatnonzero(cosines >= floor)
    if len(near) > k:
        near = near[cosines[near] >= np.partition(cosines[near], -k)[-k]]
    if len(near) == 0:
        return
    rows = about.take(pa.array(near)).to_pylist()
    found = [Hit(row.pop("id"), float(cosines[at]), row) for at, row in zip(near, rows, strict=True)]
    hits[:] = heapq.nsmallest(k, hits + found, key=lambda hit: (-hit.cosine, hit.id))


def vectors_of(batch: pa.RecordBatch) -> FloatArray:
    """The vectors of a batch, float64 [N, F]."""
    column = batch.column("vector")
    flat = column.flatten().to_numpy(zero_copy_only=False)
    vectors: FloatArray = flat.reshape(len(column), column.type.list_size).astype(np.float64)
    return vectors


def recall(found: Sequence[Sequence[Hit]], exact: Sequence[Sequence[Hit]]) -> float:
    """The share of the true neighbours that were found; one as near as the last true one counts as it; 1 of none."""
    pairs = [(hits, true) for hits, true in zip(found, exact, strict=True) if true]
    good = sum(sum(hit.cosine >= true[-1].cosine for hit in hits[: len(true)]) for hits, true in pairs)
    wanted = sum(len(true) for _, true in pairs)
    return good / wanted if wanted else 1.0
