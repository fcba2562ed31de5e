"""What actions over many proteins at once share: how many, and which of their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, Field

from esmkit.applications.maps.projection import FEWEST
from esmkit.applications.vectors import Pooling, vectors
from esmkit.engine import Model
from esmkit.server.actions.base import Item, request_type
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire import esm2
from esmkit.server.wire.base import Bounds
from esmkit.types import FloatArray, Record

MOST_ITEMS = 2000
"""Proteins of such a request, whatever `max_items` says: what is done with their embeddings takes seconds at most."""


class EmbeddingParams(esm2.Params):
    """Which embeddings."""

    layer: int = Field(-1, ge=-1000, le=1000, description="0 (input embedding) to N, or -(N+1) to -1.")
    pool: Pooling = Field("mean", description="How residues become one embedding.")


def many_type(name: str, bounds: Bounds, params: type[EmbeddingParams], item: type[Item] = Item) -> type[BaseModel]:
    """A request of many items."""
    return request_type(name, replace(bounds, max_items=MOST_ITEMS), params, item)


def check_number(items: Sequence[Item], fewest: int = FEWEST) -> None:
    """Refuses before the work what is too few.

    Raises:
        InvalidRequestError: names the items.
    """
    if len(items) < fewest:
        message = f"{len(items)} proteins are too few, {fewest} to {MOST_ITEMS:,} are allowed"
        raise InvalidRequestError([Issue(("items",), message, "too_short")])


def embeddings(items: Sequence[Item], params: EmbeddingParams, model: Model) -> FloatArray:
    """The embeddings of all items, float32 [n, D]."""
    records = [Record(at, f"items__{at}", item.sequence) for at, item in enumerate(items)]
    found: Any = vectors(model, records, layers=[params.layer], pooling=params.pool)
    return found[:, 0]  # type: ignore[no-any-return]
