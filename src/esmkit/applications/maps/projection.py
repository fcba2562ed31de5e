"""Coordinates of proteins in few dimensions: principal components, and UMAP.

Vectors are first scaled to length 1, so that distances order proteins as the cosine does.

Shapes: n proteins, D width of the embeddings, C dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from esmkit.errors import InvalidConfigError, InvalidInputError, demand_module
from esmkit.types import FloatArray

FEWEST = 3
"""Two points lie on a line whatever they are."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Where proteins are.

    Attributes:
        coordinates: float32 [n, C].
        axes: C names.
        explained: of principal components, the share of the variance that lies along each; of UMAP nothing.
    """

    coordinates: FloatArray
    axes: tuple[str, ...]
    explained: tuple[float, ...] = ()


def demand_sklearn() -> None:
    """Finds out before the work.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    demand_module("sklearn.decomposition", reason="maps and clusters need scikit-learn", extra="learn")


def demand_umap() -> None:
    """Finds out before the work.

    Raises:
        MissingExtraError: umap-learn is not installed.
    """
    demand_module("umap", reason="--method umap needs umap-learn", extra="umap")


def pca(vectors_nD: FloatArray, components: int = 2) -> Projection:
    """Principal components of vectors scaled to length 1.

    Exact, not randomised, and the same in every run: the sign of a component is the one that makes its largest weight
    positive. Besides the vectors, memory holds them once more.

    Args:
        vectors_nD: one per protein.
        components: how many.

    Raises:
        InvalidInputError: there are fewer than three proteins, or a vector has no direction.
        InvalidConfigError: there are not so many components.

    Example:
        >>> found = pca(np.eye(4, 6))
        >>> found.coordinates.shape, [round(share, 3) for share in found.explained]
        ((4, 2), [0.333, 0.333])
    """
    from sklearn.decomposition import PCA

    most = min(len(vectors_nD) - 1, vectors_nD.shape[1])
    centred_nD = unit(vectors_nD)
    if not 1 <= components <= most:
        raise InvalidConfigError(
            f"{len(vectors_nD):,} vectors of width {vectors_nD.shape[1]} have 1 to {most} components, not {components}",
            setting="components",
        )
    if not np.ptp(centred_nD, axis=0).any():
        raise InvalidInputError("all proteins have the same vector; a map needs different ones")
    centred_nD -= centred_nD.mean(axis=0)  # else the covariance of rows much alike has lost its digits
    solver = "covariance_eigh" if len(vectors_nD) > vectors_nD.shape[1] else "full"
    found = PCA(components, svd_solver=solver, copy=False).fit(centred_nD)
    coordinates_nC = (centred_nD @ found.components_.T).astype(np.float32)
    axes = tuple(f"PC{number}" for number in range(1, components + 1))
    return Projection(coordinates_nC, axes, tuple(found.explained_variance_ratio_.tolist()))


def umap(vectors_nD: FloatArray, *, neighbors: int = 15, min_distance: float = 0.1, seed: int = 0) -> Projection:
    """A map of neighbourhoods in two dimensions (McInnes et al. 2018, arXiv:1802.03426), by the cosine.

    It starts from the principal components, and one seed gives one map on one machine.

    Args:
        vectors_nD: one per protein.
        neighbors: how many neighbours of each protein count; more of them show the larger structure.
        min_distance: how close points may come to each other.
        seed: of its random numbers.

    Raises:
        MissingExtraError: umap-learn is not installed.
        InvalidInputError: there are fewer than three proteins, or a vector has no direction.
    """
    demand_umap()
    from umap import UMAP

    units_nD = unit(vectors_nD)
    mapper: Any = UMAP(
        n_neighbors=max(2, min(neighbors, len(units_nD) - 1)),
        min_dist=min_distance,
        init="pca",  # keeps the larger structure, and needs no connected graph
        random_state=seed,
        n_jobs=1,  # a seed makes it run on one thread, and without this it warns
    )
    return Projection(mapper.fit_transform(units_nD).astype(np.float32), ("UMAP 1", "UMAP 2"))


def unit(vectors_nD: FloatArray) -> FloatArray:
    """A copy whose vectors have length 1.

    Raises:
        InvalidInputError: there are fewer than three, or one has no direction.
    """
    if len(vectors_nD) < FEWEST:
        raise InvalidInputError(f"there are {len(vectors_nD)} proteins; a map or clusters need {FEWEST} or more")
    norms_n = np.linalg.norm(vectors_nD, axis=1)
    usable_n = np.isfinite(norms_n) & (norms_n > 0)
    if not usable_n.all():
        row = int(np.flatnonzero(~usable_n)[0])
        raise InvalidInputError(f"the vector of protein {row + 1} is zero or holds NaN; compute it again")
    scaled: FloatArray = vectors_nD / norms_n[:, None]
    return scaled
