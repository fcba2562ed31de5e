"""Choosing a batch that is good and diverse, by the greedy rule: the best first, then the best of what is far enough.

A candidate is far enough if it differs at `min_distance` positions or more (Hamming distance) from every one chosen
before. The rule is simple and not optimal: another batch may have a higher sum.

Shape suffixes: n candidates, L residues.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from esmkit.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Pick:
    """One that was chosen.

    Attributes:
        at: its place among the candidates.
        score: what it was chosen by.
        nearest: its distance from the nearest one chosen before; 0 for the first.
    """

    at: int
    score: float
    nearest: int


def pick(sequences: Sequence[str], scores: Iterable[FloatArray], *, min_distance: int = 1) -> list[Pick]:
    """Chooses one candidate for each array of scores, in order; fewer where no other is far enough.

    Args:
        sequences: the candidates, of one length, each once.
        scores: of all candidates, float [n], once for each that is to be chosen.
        min_distance: positions at which any two differ at least, 1 or more.

    Example:
        >>> [each.at for each in pick(["AAA", "AAC", "CCA"], [np.array([3.0, 2.0, 1.0])] * 3, min_distance=2)]
        [0, 2]
    """
    if not sequences:
        return []
    codes_nL = codes(sequences)
    codes_nL = codes_nL[:, (codes_nL != codes_nL[0]).any(axis=0)]
    nearest_n = np.full(len(sequences), len(sequences[0]) + 1)
    picks: list[Pick] = []
    for scores_n in scores:
        free_n = nearest_n >= min_distance
        if not free_n.any():
            break
        best = int(np.where(free_n, scores_n, -np.inf).argmax())
        picks.append(Pick(best, float(scores_n[best]), int(nearest_n[best]) if picks else 0))
        nearest_n = np.minimum(nearest_n, (codes_nL != codes_nL[best]).sum(axis=1))
    return picks


def codes(sequences: Sequence[str]) -> IntArray:
    """Sequences of one length as uint8 [n, L]."""
    return np.frombuffer("".join(sequences).encode(), dtype=np.uint8).reshape(len(sequences), -1)
