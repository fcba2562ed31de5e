"""`map`: principal components of the embeddings of many proteins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from esmkit.applications.maps import pca
from esmkit.applications.maps.projection import demand_sklearn
from esmkit.engine import Model
from esmkit.server.actions.base import Action, Cost, Resources, checked_residues
from esmkit.server.actions.many import MOST_ITEMS, EmbeddingParams, check_number, embeddings, many_type
from esmkit.server.wire.base import Bounds
from esmkit.server.wire.esm2_docs import Matrix, Shown, answer_type


class MapParams(EmbeddingParams):
    """How the proteins are laid out."""

    components: int = Field(
        2, ge=1, le=50, description="Principal components; fewer than there are items, at most the width of the model."
    )


class MapResult(Shown):
    """Where the proteins are."""

    coordinates: Matrix = Field(description="Items x components, items in the order of the request.")
    axes: list[str] = Field(description="Names of the components.")
    explained: list[float] = Field(description="The share of the variance that lies along each component.")


def _request(bounds: Bounds) -> type[BaseModel]:
    return many_type("Map", bounds, MapParams)


def _cost(asked: Any, bounds: Bounds) -> Cost:
    check_number(asked.items)
    items = len(asked.items)
    return Cost(items, checked_residues(asked.items, asked.params, bounds), (items + 2) * asked.params.components)


def _run(asked: Any, model: Model, resources: Resources) -> Sequence[Mapping[str, Any]]:
    demand_sklearn()
    found = pca(embeddings(asked.items, asked.params, model), asked.params.components)
    return [{"coordinates": found.coordinates, "axes": list(found.axes), "explained": list(found.explained)}]


ACTION = Action(
    name="map",
    title="a map of proteins",
    description=f"Principal components of the embeddings of 3 to {MOST_ITEMS:,} proteins, scaled to length 1: nothing "
    "is drawn at random.",
    request=_request,
    answer=answer_type(MapResult, "One entry: the map of all items."),
    cost=_cost,
    run=_run,
    body={
        "items": [{"sequence": "MKTAYIAKQRQISFVKSHFSRQ"}, {"sequence": "MKTAYIAKQR"}, {"sequence": "GSHMLEDPVAG"}],
    },
    result={
        "coordinates": [[0.182, 0.221], [0.368, -0.176], [-0.55, -0.045]],
        "axes": ["PC1", "PC2"],
        "explained": [0.852, 0.148],
    },
)
