"""What the ensemble sees of a variant: pooled embeddings of models, and which residue stands where variants differ.

Shape suffixes: n variants, F features, D width of a model, L residues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from esmkit.alphabet import STANDARD
from esmkit.applications.design.diverse import codes
from esmkit.applications.vectors import Pooling, VectorCache, Watcher, vectors
from esmkit.engine import Model
from esmkit.inputs import from_sequences
from esmkit.types import FloatArray, Record


@dataclass(frozen=True, slots=True)
class Featurizer:
    """Blocks of features of sequences of one length.

    Attributes:
        models: whose embeddings are seen, a block each; may be none.
        residues: whether the residues themselves are seen, see `one_hot`.
        layer: of the embeddings, 0..N or negative.
        pooling: of the embeddings.
        cache: keeps the embeddings for the next round.
        watcher: sees how far they are.

    Example:
        >>> [block.shape for block in Featurizer()(["MKT", "MRT"])]
        [(2, 20)]
    """

    models: Sequence[Model] = ()
    residues: bool = True
    layer: int = -1
    pooling: Pooling = "mean"
    cache: VectorCache | None = None
    watcher: Watcher | None = None

    def __call__(self, sequences: Sequence[str]) -> list[FloatArray]:
        """The blocks, float [n, F of the block]."""
        records = list(from_sequences(sequences))
        blocks = [standardised(self._embeddings(model, records)) for model in self.models]
        return [*blocks, one_hot(sequences)] if self.residues else blocks

    def _embeddings(self, model: Model, records: Sequence[Record]) -> FloatArray:
        found = vectors(
            model, records, layers=[self.layer], pooling=self.pooling, cache=self.cache, watcher=self.watcher
        )
        return found[:, 0]


def joined(blocks: Sequence[FloatArray]) -> FloatArray:
    """Blocks of features side by side, each centred and with a variance of 1 in sum, so that no block drowns another.

    Args:
        blocks: float [n, F of the block], each.

    Returns:
        float64 [n, F].
    """
    scaled = []
    for block in blocks:
        away = block - block.mean(axis=0, dtype=np.float64)
        variance = float((away**2).sum(axis=1).mean())
        scaled.append(away / np.sqrt(variance) if variance else away)
    return np.concatenate(scaled, axis=1)


def standardised(vectors_nD: FloatArray) -> FloatArray:
    """Each column with a variance of 1: some directions of embeddings vary a thousand times more than others."""
    deviations = vectors_nD.std(axis=0, dtype=np.float64)
    return np.asarray(vectors_nD / np.where(deviations > 0, deviations, 1))


def one_hot(sequences: Sequence[str]) -> FloatArray:
    """The residues at all positions where sequences of one length differ, float32 [n, 20 x positions].

    Example:
        >>> one_hot(["MKT", "MRT"]).shape
        (2, 20)
    """
    codes_nL = codes(sequences)
    varying = codes_nL[:, (codes_nL != codes_nL[0]).any(axis=0)]
    letters = np.frombuffer(STANDARD.encode(), dtype=np.uint8)
    found: FloatArray = (varying[:, :, None] == letters).reshape(len(sequences), -1).astype(np.float32)
    return found
