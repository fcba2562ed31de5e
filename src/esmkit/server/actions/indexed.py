"""What `search` and `annotate` share: an index that the operator put on the server, and queries for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from esmkit.applications.search import Comparison, Entry, Index, Sequences
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError
from esmkit.server.actions.base import Item, Resources
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire import esm2
from esmkit.types import FloatArray, Record

MOST_HITS = 100


class IndexParams(esm2.Params):
    """Which index."""

    index: str = Field(description="The name of its folder.", examples=["reviewed"])


def wrong(field: str, message: str) -> InvalidRequestError:
    """The error for a parameter."""
    return InvalidRequestError([Issue(("params", field), message, field)])


def opened(name: str, model: Model, resources: Resources) -> Index:
    """The index of a name.

    Raises:
        InvalidRequestError: there is none, or it was built with another model.
    """
    if name not in resources.indexes:
        raise wrong("index", f"no index {name[:60]!r} is served here; choose from {', '.join(resources.indexes)}")
    index = resources.indexes[name]
    space, found = index.card.space, model.provenance
    if space.weights_sha256 != found["weights_sha256"]:
        raise wrong(
            "index",
            f"{name!r} was built with {space.slug} with weights of sha256 {space.weights_sha256[:12]}..., not with "
            f"{found['slug']} with {found['weights_sha256'][:12]}...; ask the model that it was built with",
        )
    return index


def conditions(index: Index, where: str | None) -> tuple[Comparison, ...]:
    """The conditions of a filter.

    Raises:
        InvalidRequestError: it is no filter for this index.
    """
    try:
        return index.where(where)
    except InvalidConfigError as error:
        raise wrong("where", error.message.removeprefix("--")) from error


def queries(items: Sequence[Item], index: Index, model: Model) -> list[Entry]:
    """The proteins with their vectors, in the space of the index."""
    records = [Record(at, f"items__{at}", item.sequence) for at, item in enumerate(items)]
    found = Sequences(model, lambda: records, index.card.space).entries(())
    return [entry for entry in found if isinstance(entry, Entry)]  # what fails has raised


def stacked(entries: Sequence[Entry]) -> FloatArray:
    """Their vectors, float32 [n, F]."""
    return np.stack([entry.vector for entry in entries])
