"""How similar the residues of two proteins are to a model.

Shape suffixes: A, B residues of the two proteins, D width.
"""

from __future__ import annotations

import numpy as np

from esmkit.types import FloatArray

_SMALLEST = 1e-6


def cosines(a_AD: FloatArray, b_BD: FloatArray) -> FloatArray:
    """Cosines of the angles between representations.

    Args:
        a_AD: representations of the first protein.
        b_BD: of the second.

    Returns:
        float64 [A, B], -1 to 1.

    Example:
        >>> cosines(np.eye(2), np.array([[3.0, 4.0]])).round(1).tolist()
        [[0.6], [0.8]]
    """
    return _unit(a_AD) @ _unit(b_BD).T


def _unit(x_LD: FloatArray) -> FloatArray:
    x_LD = x_LD.astype(np.float64)
    return np.asarray(x_LD / np.maximum(np.linalg.norm(x_LD, axis=1, keepdims=True), _SMALLEST))


def contrast(similarity_AB: FloatArray) -> FloatArray:
    """Similarities in standard deviations above what is usual for the two residues.

    Representations of a language model all point in roughly one direction, and those of some residues are like many
    others: a raw cosine of 0.9 says little. So each is measured against its row and against its column, and the mean
    of both z-scores is taken (Pantolini et al. 2024, doi:10.1093/bioinformatics/btad786).

    Returns:
        float64 [A, B]; the mean of all is 0.

    Example:
        >>> contrast(np.array([[1.0, 0.0], [0.0, 1.0]])).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    by_row, by_column = (
        (similarity_AB - similarity_AB.mean(axis=axis, keepdims=True))
        / np.maximum(similarity_AB.std(axis=axis, keepdims=True), _SMALLEST)
        for axis in (1, 0)
    )
    return np.asarray((by_row + by_column) / 2)
