"""Groups of proteins whose embeddings lie close together: HDBSCAN by density, Leiden on a graph of neighbours.

Vectors are scaled to length 1, then reduced to their first principal components: in 50 dimensions distances cost a
25th of what they do in 1280, and what is left out is mostly noise.

Shapes: n proteins, D width of the embeddings, C components, k neighbours.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from esmkit.applications.maps.projection import demand_sklearn, pca, unit
from esmkit.errors import InvalidConfigError, demand_module
from esmkit.types import FloatArray, IntArray

NOISE = "noise"
"""The name of what belongs to no cluster."""
COMPONENTS = 50
_RANDOM = Lock()
"""Held while the random numbers of igraph, which all threads share, are those of one call."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which protein belongs where.

    Attributes:
        names: of the cluster of each protein: `1` for the largest, `2` for the next, or `noise`.
        probabilities: float32 [n] how surely each belongs to its cluster, 0 for noise; None from Leiden.
        representatives: bool [n] one protein of each cluster: the one closest to all others by the cosine.
        sizes: cluster -> proteins, the largest first, without noise.
    """

    names: list[str]
    probabilities: FloatArray | None
    representatives: np.ndarray[Any, np.dtype[np.bool]]
    sizes: dict[str, int]

    @property
    def noise(self) -> int:
        """How many belong to no cluster."""
        return len(self.names) - sum(self.sizes.values())


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well clusters are the groups that labels make, both adjusted for chance: 1 is the same, 0 is chance.

    Attributes:
        proteins: how many were compared.
        adjusted_rand: adjusted Rand index (Hubert and Arabie 1985), over pairs of proteins.
        adjusted_mutual_information: (Vinh et al. 2010), which gives small groups more weight.
    """

    proteins: int
    adjusted_rand: float
    adjusted_mutual_information: float


def demand_igraph() -> None:
    """Finds out before the work.

    Raises:
        MissingExtraError: igraph is not installed.
    """
    demand_module("igraph", reason="Leiden needs igraph", extra="leiden")


def hdbscan(
    vectors_nD: FloatArray, *, min_size: int = 5, min_samples: int | None = None, components: int = COMPONENTS
) -> Clusters:
    """Clusters of any shape and density; what lies between them is noise (Campello et al. 2013).

    Time grows with the square of the number of proteins, memory does not. Nothing is random.

    Args:
        vectors_nD: one per protein.
        min_size: of a cluster.
        min_samples: how many proteins near it make a place dense, itself counted; by default `min_size`. Larger values
            leave more noise.
        components: principal components that are kept; 0 keeps the vectors as they are.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        InvalidInputError: there are fewer than three proteins, or a vector has no direction.
        InvalidConfigError: there are fewer proteins than a cluster has.
    """
    demand_sklearn()
    from sklearn.cluster import HDBSCAN

    for setting, value in (("min_size", min_size), ("min_samples", min_samples or min_size)):
        if value > len(vectors_nD):
            raise InvalidConfigError(
                f"{setting.replace('_', '-')} is {value}, but there are only {len(vectors_nD)} proteins",
                setting=setting,
            )
    found = HDBSCAN(min_cluster_size=min_size, min_samples=min_samples, copy=False).fit(
        _reduced(vectors_nD, components)
    )
    return _named(vectors_nD, found.labels_, found.probabilities_.astype(np.float32))


def leiden(
    vectors_nD: FloatArray,
    *,
    neighbors: int = 15,
    resolution: float = 1.0,
    seed: int = 0,
    components: int = COMPONENTS,
) -> Clusters:
    """Communities of the graph of nearest neighbours, by modularity (Traag et al. 2019); every protein belongs to one.

    As in PhenoGraph (Levine et al. 2015) two neighbours are tied by the share of neighbours that they have in common.

    Args:
        vectors_nD: one per protein.
        neighbors: of each protein in the graph.
        resolution: higher values give more and smaller communities.
        seed: of its random numbers.
        components: principal components that are kept; 0 keeps the vectors as they are.

    Raises:
        MissingExtraError: igraph or scikit-learn is not installed.
        InvalidInputError: there are fewer than three proteins, or a vector has no direction.
    """
    demand_sklearn()
    demand_igraph()
    import igraph

    ends, weights = _neighbor_graph(_reduced(vectors_nD, components), neighbors)
    graph = igraph.Graph(n=len(vectors_nD), edges=ends)
    with _RANDOM:
        igraph.set_random_number_generator(random.Random(seed))  # noqa: S311 - nothing secret
        try:
            found = graph.community_leiden("modularity", weights=weights, resolution=resolution, n_iterations=-1)
        finally:
            igraph.set_random_number_generator(random)
    return _named(vectors_nD, np.array(found.membership), None)


def agreement(clusters: Clusters, labels: Sequence[str], *, with_noise: bool = True) -> Agreement | None:
    """Compares clusters with labels.

    Args:
        clusters: what was found.
        labels: of each protein; the empty string where nothing is known, which leaves the protein out.
        with_noise: counts each protein that belongs to no cluster as one of its own; otherwise they are left out.

    Returns:
        None where nothing is left to compare.

    Example:
        >>> clusters = Clusters(["1", "1", "2", "noise"], None, np.zeros(4, bool), {"1": 2, "2": 1})
        >>> agreement(clusters, ["a", "a", "b", ""]).adjusted_rand
        1.0
    """
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

    pairs = [
        (label, f"{NOISE} {row}" if name == NOISE else name)
        for row, (name, label) in enumerate(zip(clusters.names, labels, strict=True))
        if label and (with_noise or name != NOISE)
    ]
    if not pairs:
        return None
    truth, found = zip(*pairs, strict=True)
    return Agreement(
        len(pairs), float(adjusted_rand_score(truth, found)), float(adjusted_mutual_info_score(truth, found))
    )


def _reduced(vectors_nD: FloatArray, components: int) -> FloatArray:
    if components == 0:
        return unit(vectors_nD)
    most = min(len(vectors_nD) - 1, vectors_nD.shape[1])
    return pca(vectors_nD, max(1, min(components, most))).coordinates


def _neighbor_graph(points_nC: FloatArray, neighbors: int) -> tuple[IntArray, FloatArray]:
    """Pairs [edges, 2] of which one is a near neighbour of the other, and the Jaccard index of their neighbours."""
    from scipy.sparse import eye_array, triu
    from sklearn.neighbors import NearestNeighbors

    count = len(points_nC)
    search = NearestNeighbors(n_neighbors=min(neighbors, count - 1), algorithm="brute").fit(points_nC)
    near = (search.kneighbors_graph() + eye_array(count)).tocsr()
    ends = np.stack(triu(near.maximum(near.T), k=1).nonzero(), axis=1)
    common = np.asarray(near[ends[:, 0]].multiply(near[ends[:, 1]]).sum(axis=1)).ravel()
    return ends, common / (2 * (search.n_neighbors + 1) - common)


def _named(vectors_nD: FloatArray, labels_n: IntArray, probabilities_n: FloatArray | None) -> Clusters:
    """Numbers clusters by size; -1 is noise."""
    sizes = Counter(labels_n[labels_n >= 0].tolist())  # of equal sizes, the one whose first member comes first
    order = {label: str(number) for number, (label, _) in enumerate(sizes.most_common(), start=1)}
    representatives_n = np.zeros(len(labels_n), dtype=bool)
    for label in order:
        members = np.flatnonzero(labels_n == label)
        representatives_n[members[_medoid(vectors_nD[members])]] = True
    return Clusters(
        [order.get(label, NOISE) for label in labels_n.tolist()],
        probabilities_n,
        representatives_n,
        {order[label]: size for label, size in sizes.most_common()},
    )


def _medoid(vectors_mD: FloatArray) -> int:
    """The row with the largest mean cosine to all rows: that with their sum."""
    units_mD = vectors_mD / np.linalg.norm(vectors_mD, axis=1, keepdims=True)
    return int(np.argmax(units_mD @ units_mD.sum(axis=0)))
