"""What the labelled neighbours of a protein say of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from esmkit.applications.search.nearest import Hit

_CLOSEST = 1e-6
"""Distances are taken for no less than this: what is equal to a query outvotes everything else."""


@dataclass(frozen=True, slots=True)
class Vote:
    """The outcome among the neighbours of a protein.

    Attributes:
        label: that with the largest weight.
        nearest: the nearest neighbour that has it.
        second: the label with the second largest weight, or None.
    """

    label: str
    nearest: Hit
    second: str | None


def vote(hits: Sequence[Hit], column: str) -> Vote | None:
    """Each neighbour votes for its label with the weight 1 / distance, the distance of the unit vectors.

    Args:
        hits: neighbours, nearest first; those without a label are passed over.
        column: of the labels.

    Returns:
        The outcome; None if no neighbour has a label.

    Example:
        >>> hits = [Hit("a", 0.9, {"f": "x"}), Hit("b", 0.8, {"f": "y"}), Hit("c", 0.8, {"f": "y"})]
        >>> vote(hits, "f").label
        'y'
    """
    weights: dict[str, float] = defaultdict(float)
    nearest: dict[str, Hit] = {}
    for hit in hits:
        if label := hit.about[column]:
            distance = max(0.0, 2 - 2 * hit.cosine) ** 0.5
            weights[label] += 1 / max(distance, _CLOSEST)
            nearest.setdefault(label, hit)
    ranking = sorted(weights, key=lambda label: (-weights[label], label))
    if not ranking:
        return None
    return Vote(ranking[0], nearest[ranking[0]], ranking[1] if len(ranking) > 1 else None)
