"""Features of a pair of proteins for a predictor: their embeddings side by side, multiplied and subtracted.

Shapes: n pairs, W = layers times width of an embedding, F features of a pair.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from esmkit.applications.pairs import Pair
from esmkit.applications.vectors import Pooling, VectorCache, Watcher, vectors
from esmkit.engine import Model
from esmkit.types import FloatArray

BLOCKS = {False: ("a", "b", "product", "difference"), True: ("sum", "product", "difference")}
"""What stands side by side in the features, each of width W; by whether they are symmetric."""


def combined(a_nW: FloatArray, b_nW: FloatArray, *, symmetric: bool = False) -> FloatArray:
    """Features from the embeddings of the first and the second proteins.

    Args:
        a_nW: of the first ones.
        b_nW: of the second ones.
        symmetric: leave out what tells A from B: their sum in place of both side by side.

    Returns:
        float32 [n, F]: A, B, A * B and |A - B| side by side; if symmetric A + B, A * B and |A - B|, which are the same
        numbers, to the last bit, for B and A.

    Example:
        >>> a, b = np.array([[1.0, 2.0]]), np.array([[3.0, 1.0]])
        >>> combined(a, b).tolist(), combined(a, b, symmetric=True).tolist()
        ([[1.0, 2.0, 3.0, 1.0, 3.0, 2.0, 2.0, 1.0]], [[4.0, 3.0, 3.0, 2.0, 2.0, 1.0]])
    """
    first = (a_nW + b_nW,) if symmetric else (a_nW, b_nW)
    return np.concatenate([*first, a_nW * b_nW, np.abs(a_nW - b_nW)], axis=1, dtype=np.float32)


def features(
    model: Model,
    pairs: Sequence[Pair],
    *,
    layers: Sequence[int] = (-1,),
    pooling: Pooling = "mean",
    symmetric: bool = False,
    cache: VectorCache | None = None,
    watcher: Watcher | None = None,
) -> FloatArray:
    """Features of pairs; every protein is computed once, in however many pairs it is.

    Args:
        model: what computes.
        pairs: the proteins.
        layers: layers of the embeddings, side by side.
        pooling: how residues become one embedding.
        symmetric: see `combined`.
        cache: where embeddings are looked up and kept.
        watcher: sees how far it is.

    Returns:
        float32 [n, F]; F is 4 W, or 3 W if symmetric.

    Raises:
        EsmkitError: a sequence has no answer; it names the protein.
    """
    records = [record for pair in pairs for record in (pair.a, pair.b)]
    table = vectors(model, records, layers=layers, pooling=pooling, cache=cache, watcher=watcher)
    flat = table.reshape(len(pairs), 2, -1)
    return combined(flat[:, 0], flat[:, 1], symmetric=symmetric)
