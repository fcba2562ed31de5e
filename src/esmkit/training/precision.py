"""How good predicted contacts are: of the L, L/2 and L/5 most probable pairs of a protein, the share that touch.

Shape suffixes: L residues, P pairs of residues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from esmkit.inputs.structures import Structure
from esmkit.types import FloatArray, IntArray

CONTACT = 8.0
"""Å between C-beta atoms; nearer residues touch."""
MIN_SEPARATION = 6
"""Positions between the residues of a pair at least: nearer ones touch in every protein."""
RANGES = {"all": (6, None), "short": (6, 12), "medium": (12, 24), "long": (24, None)}
"""Positions between the residues of a pair: from, and below."""
TOPS = {"L": 1, "L/2": 2, "L/5": 5}
"""How many pairs are taken: the length of the protein through this."""

Precision = dict[str, dict[str, float | None]]
"""Range -> `chance` and every name of TOPS -> share of pairs that touch; None where no protein has such pairs."""


def pairs(length: int) -> tuple[IntArray, IntArray]:
    """0-based first and second residue of every pair that counts, in the order of rows of the map."""
    return np.triu_indices(length, MIN_SEPARATION)


@dataclass(frozen=True, slots=True)
class Truth:
    """Which pairs of a structure touch, as far as it says so.

    Attributes:
        length: L, residues of the sequence.
        known: bool, which of `pairs(L)` have a distance: P of them.
        first: int [P], 0-based.
        second: int [P].
        touch: bool [P].
    """

    length: int
    known: np.ndarray[Any, np.dtype[np.bool_]]
    first: IntArray
    second: IntArray
    touch: np.ndarray[Any, np.dtype[np.bool_]]

    @classmethod
    def of(cls, structure: Structure) -> Truth:
        """From the C-beta atoms."""
        first, second = pairs(len(structure.sequence))
        distance = np.linalg.norm(structure.cb_L3[first] - structure.cb_L3[second], axis=-1)
        known = ~np.isnan(distance)
        return cls(len(structure.sequence), known, first[known], second[known], distance[known] < CONTACT)


def precision(truth: Truth, scores_P: FloatArray) -> Precision:
    """The precision of one protein.

    Args:
        truth: which pairs touch.
        scores_P: larger for pairs that are rather predicted to touch.
    """
    separation = truth.second - truth.first
    result: Precision = {}
    for name, (least, below) in RANGES.items():
        inside = (separation >= least) & (separation < (below or np.inf))
        order = np.argsort(-scores_P[inside], kind="stable")
        touch = truth.touch[inside][order]
        counts = {top: max(1, truth.length // share) for top, share in TOPS.items()} | {"chance": len(touch)}
        result[name] = {top: float(touch[:count].mean()) if len(touch) else None for top, count in counts.items()}
    return result


def mean_precision(proteins: Sequence[Precision]) -> Precision:
    """The mean over proteins, each with the same weight; those without pairs of a range are left out there."""
    return {name: {top: _mean([each[name][top] for each in proteins]) for top in (*TOPS, "chance")} for name in RANGES}


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None
