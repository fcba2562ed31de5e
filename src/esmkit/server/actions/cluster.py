"""`cluster`: groups of proteins whose embeddings lie close together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from esmkit.applications.maps import NOISE, Clusters, hdbscan, leiden
from esmkit.applications.maps.clusters import COMPONENTS, demand_igraph
from esmkit.applications.maps.projection import demand_sklearn
from esmkit.engine import Model
from esmkit.server.actions.base import Action, Cost, Resources, checked_residues
from esmkit.server.actions.many import MOST_ITEMS, EmbeddingParams, check_number, embeddings, many_type
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire.base import Bounds
from esmkit.server.wire.esm2_docs import Shown, answer_type

_NUMBERS = 8
"""What a protein takes in an answer."""


class ClusterParams(EmbeddingParams):
    """How clusters are found."""

    method: Literal["hdbscan", "leiden"] = Field(
        "hdbscan", description="By density, which leaves noise; or communities of the graph of neighbours."
    )
    components: int = Field(
        COMPONENTS, ge=1, le=COMPONENTS, description="Principal components of the embeddings that are kept, at most."
    )
    min_size: int = Field(5, ge=2, le=MOST_ITEMS, description="hdbscan: proteins of a cluster at least.")
    min_samples: int | None = Field(
        None, ge=1, le=MOST_ITEMS, description="hdbscan: more leaves more noise; by default min_size."
    )
    neighbors: int = Field(15, ge=2, le=100, description="leiden: of each protein in the graph.")
    resolution: float = Field(1.0, gt=0, le=100, description="leiden: more gives more and smaller communities.")
    seed: int = Field(0, ge=0, lt=2**32, description="leiden: of its random numbers.")


class ClusterResult(Shown):
    """Which protein belongs where."""

    clusters: list[str] = Field(description=f"Of each item: 1 for the largest, 2 for the next, or {NOISE}.")
    probabilities: list[float] | None = Field(
        description="hdbscan: how surely each belongs to its cluster, 0 for noise."
    )
    representatives: dict[str, int] = Field(
        description="By cluster, the 0-based number of the item that is closest to all others of it."
    )
    sizes: dict[str, int] = Field(description="By cluster, how many items; the largest first.")
    noise: int = Field(description="Items that belong to no cluster.")


def _request(bounds: Bounds) -> type[BaseModel]:
    return many_type("Cluster", bounds, ClusterParams)


def _cost(asked: Any, bounds: Bounds) -> Cost:
    check_number(asked.items)
    _check_sizes(asked.params, len(asked.items))
    items = len(asked.items)
    return Cost(items, checked_residues(asked.items, asked.params, bounds), _NUMBERS * items)


def _check_sizes(params: ClusterParams, items: int) -> None:
    if params.method != "hdbscan":
        return
    for name in ("min_size", "min_samples"):
        if (getattr(params, name) or 0) > items:
            message = f"{getattr(params, name)} is more than the {items} items"
            raise InvalidRequestError([Issue(("params", name), message, "too_large")])


def _run(asked: Any, model: Model, resources: Resources) -> Sequence[Mapping[str, Any]]:
    params: ClusterParams = asked.params
    demand_sklearn()
    if params.method == "leiden":
        demand_igraph()
    found = _clusters(embeddings(asked.items, params, model), params)
    rows = found.representatives.nonzero()[0].tolist()
    representatives = {found.names[row]: row for row in rows}
    return [
        {
            "clusters": found.names,
            "probabilities": found.probabilities,
            "representatives": {name: representatives[name] for name in found.sizes},
            "sizes": found.sizes,
            "noise": found.noise,
        }
    ]


def _clusters(vectors_nD: Any, params: ClusterParams) -> Clusters:
    if params.method == "hdbscan":
        return hdbscan(
            vectors_nD, min_size=params.min_size, min_samples=params.min_samples, components=params.components
        )
    return leiden(
        vectors_nD,
        neighbors=params.neighbors,
        resolution=params.resolution,
        seed=params.seed,
        components=params.components,
    )


ACTION = Action(
    name="cluster",
    title="clusters of proteins",
    description=f"Groups of 3 to {MOST_ITEMS:,} proteins whose embeddings lie close together.",
    request=_request,
    answer=answer_type(ClusterResult, "One entry: the clusters of all items."),
    cost=_cost,
    run=_run,
    body={
        "items": [
            *({"sequence": sequence} for sequence in ("MKTAYIAKQR", "MKTAYIAKQK", "MKTAYIAKNR")),
            *({"sequence": sequence} for sequence in ("GSHMLEDPVAGGSP", "GSHMLEDPVAGGAP", "GSHMLEEPVAGGSP")),
        ],
        "params": {"min_size": 2},
    },
    result={
        "clusters": ["1", "1", "1", "2", "2", "2"],
        "probabilities": [1.0, 1.0, 0.94, 1.0, 0.65, 1.0],
        "representatives": {"1": 0, "2": 5},
        "sizes": {"1": 3, "2": 3},
        "noise": 0,
    },
)
