"""`map`: where many proteins are in few dimensions, and which are nearest to each."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from esmkit.applications.maps import Projection, pca, umap
from esmkit.applications.maps.projection import demand_sklearn, demand_umap, unit
from esmkit.engine import Model
from esmkit.server.actions.base import Action, Cost, Resources, checked_residues
from esmkit.server.actions.many import MOST_ITEMS, EmbeddingParams, check_number, embeddings, many_type
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire.base import Bounds
from esmkit.server.wire.esm2_docs import Matrix, Shown, answer_type
from esmkit.types import FloatArray

MOST_NEAREST = 50
_NEAR_NUMBERS = 4
"""What a neighbour takes in an answer."""
_DECIMALS = 6
"""Of a cosine: float32 has no more, and equal embeddings shall tie."""
_UMAP_ALONE = threading.Lock()
"""Not every threading layer of numba, which UMAP is compiled with, survives two callers at a time."""


class MapParams(EmbeddingParams):
    """How the proteins are laid out."""

    method: Literal["pca", "umap"] = Field(
        "pca", description="Principal components, or a map of neighbourhoods (where umap-learn is installed)."
    )
    components: int = Field(
        2,
        ge=1,
        le=50,
        description="pca: how many; fewer than there are items, at most the width of the model. umap has 2.",
    )
    neighbors: int = Field(15, ge=2, le=100, description="umap: of each protein; more show the larger structure.")
    min_distance: float = Field(0.1, ge=0, lt=1, description="umap: how close points may come to each other.")
    seed: int = Field(0, ge=0, lt=2**32, description="umap: of its random numbers.")
    nearest: int = Field(0, ge=0, le=MOST_NEAREST, description="How many other items nearest to each are listed.")


class NearItem(Shown):
    """Another item of the request."""

    item: int = Field(description="Its 0-based number.")
    cosine: float = Field(description="Of the angle between both embeddings, all of their numbers.")


class MapResult(Shown):
    """Where the proteins are."""

    coordinates: Matrix = Field(description="Items x components, items in the order of the request.")
    axes: list[str] = Field(description="Names of the components.")
    explained: list[float] | None = Field(description="pca: the share of the variance that lies along each component.")
    nearest: list[list[NearItem]] | None = Field(
        None, description="With params.nearest: for each item the others, nearest first."
    )


def _request(bounds: Bounds) -> type[BaseModel]:
    return many_type("Map", bounds, MapParams)


def _cost(asked: Any, bounds: Bounds) -> Cost:
    check_number(asked.items)
    params: MapParams = asked.params
    if params.method == "umap" and params.components != 2:
        message = f"umap has 2 components, not {params.components}"
        raise InvalidRequestError([Issue(("params", "components"), message, "umap")])
    items = len(asked.items)
    numbers = (items + 2) * params.components + _NEAR_NUMBERS * items * params.nearest
    return Cost(items, checked_residues(asked.items, params, bounds), numbers)


def _run(asked: Any, model: Model, resources: Resources) -> Sequence[Mapping[str, Any]]:
    params: MapParams = asked.params
    demand_sklearn()
    if params.method == "umap":
        demand_umap()
    vectors_nD = embeddings(asked.items, params, model)
    found = _laid_out(vectors_nD, params)
    shown: dict[str, Any] = {
        "coordinates": found.coordinates,
        "axes": list(found.axes),
        "explained": list(found.explained) if params.method == "pca" else None,
    }
    if params.nearest:
        shown["nearest"] = _nearest(vectors_nD, params.nearest)
    return [shown]


def _laid_out(vectors_nD: FloatArray, params: MapParams) -> Projection:
    if params.method == "pca":
        return pca(vectors_nD, params.components)
    with _UMAP_ALONE:
        return umap(vectors_nD, neighbors=params.neighbors, min_distance=params.min_distance, seed=params.seed)


def _nearest(vectors_nD: FloatArray, count: int) -> list[list[dict[str, Any]]]:
    """The other items by the cosine, nearest first; equally near ones in the order of the request."""
    units_nD = unit(vectors_nD)
    cosines_nn = np.round((units_nD @ units_nD.T).astype(np.float64), _DECIMALS)
    np.fill_diagonal(cosines_nn, -np.inf)  # no item is a neighbour of itself
    count = min(count, len(units_nD) - 1)
    order_nk = np.argsort(-cosines_nn, axis=1, kind="stable")[:, :count]
    near_nk = np.take_along_axis(cosines_nn, order_nk, axis=1)
    return [
        [{"item": item, "cosine": cosine} for item, cosine in zip(items, cosines, strict=True)]
        for items, cosines in zip(order_nk.tolist(), near_nk.tolist(), strict=True)
    ]


ACTION = Action(
    name="map",
    title="a map of proteins",
    description=f"Principal components of the embeddings of 3 to {MOST_ITEMS:,} proteins, scaled to length 1, or a UMAP"
    " of them; with `nearest` also the neighbours of each by the cosine.",
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
