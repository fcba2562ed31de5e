"""How often a label taken over from neighbours is right, by the cosine: measured on the index itself.

Proteins of the index are taken out one at a time and annotated from the others. In groups of like cosines it is
counted how many are right; isotonic regression (Zadrozny and Elkan 2002, doi:10.1145/775047.775151) makes that rise
with the cosine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.applications.search.filters import Comparison
from esmkit.applications.search.index import Index
from esmkit.applications.search.votes import vote
from esmkit.errors import InvalidInputError, demand_module
from esmkit.sinks.files import write_whole
from esmkit.types import IntArray

CALIBRATION = "calibration.json"
MOST_PROTEINS = 2000
"""That are taken out in turn; of a larger index so many are drawn."""
LEAST_PROTEINS = 20
GROUP, MOST_GROUPS = 25, 20
"""Proteins of a group at least, and groups at most."""
_SEED = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Proteins whose nearest neighbour with the winning label is about equally near.

    Attributes:
        cosine: mean of it.
        proteins: how many.
        correct: of these, annotated as they are labelled.
        reliability: (correct + 1) / (proteins + 2), after isotonic regression over all groups.
    """

    cosine: float
    proteins: int
    correct: int
    reliability: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Reliability of annotations with one label column.

    Attributes:
        label: the column.
        neighbours: that vote.
        proteins: in the index when this was measured.
        labelled: of these.
        groups: in the order of their cosines.
    """

    label: str
    neighbours: int
    proteins: int
    labelled: int
    groups: tuple[Group, ...]

    def reliability(self, cosine: float) -> float:
        """The probability that an annotation is right: between groups on a line, beyond the last as there."""
        return float(np.interp(cosine, [g.cosine for g in self.groups], [g.reliability for g in self.groups]))

    def where(self) -> tuple[Comparison, ...]:
        """Only labelled proteins, where there are others."""
        return () if self.labelled == self.proteins else labelled(self.label)


def labelled(column: str) -> tuple[Comparison, ...]:
    """The condition that a protein has a label."""
    return (Comparison(column, "!=", ""),)


def calibration(index: Index, label: str, neighbours: int) -> Calibration:
    """The calibration kept in the folder of the index; measured and kept there if it is missing or the index has grown.

    Raises:
        InvalidConfigError: the index has no such column of text.
        InvalidInputError: too few proteins have a label.
        MissingExtraError: scikit-learn is not installed.
    """
    if found := kept_calibration(index, label, neighbours):
        return found
    fitted = fit(index, label, neighbours)
    kept = kept_calibrations(index.folder)
    others = [each for each in kept if (each.label, each.neighbours) != (label, neighbours)]
    with suppress(OSError):  # a folder that is read-only costs time only
        _write(index.folder, [*others, fitted])
    return fitted


def kept_calibration(index: Index, label: str, neighbours: int) -> Calibration | None:
    """The calibration kept in the folder of the index; None if it is missing or the index has grown.

    Raises:
        InvalidConfigError: the index has no such column of text.
    """
    index.card.column(label, kind="text")
    for found in kept_calibrations(index.folder):
        if (found.label, found.neighbours, found.proteins) == (label, neighbours, len(index.table)):
            return found
    return None


def fit(index: Index, label: str, neighbours: int) -> Calibration:
    """Measures a calibration, see the top of this file."""
    demand_module("sklearn.isotonic", reason="the reliability of annotations needs scikit-learn", extra="search")
    batches = index.table.scan([label])
    labels = np.array([name for batch in batches for name in batch.column(0).to_pylist()], dtype=object)
    places = np.flatnonzero(labels != "")
    if len(places) < LEAST_PROTEINS:
        raise InvalidInputError(
            f"{len(places)} proteins of {index.folder} have a label in column {label!r}; reliabilities are measured on "
            f"{LEAST_PROTEINS} or more",
            source=str(index.folder),
        )
    drawn = np.random.default_rng(_SEED).choice(places, min(MOST_PROTEINS, len(places)), replace=False)
    drawn.sort()
    ids, vectors = index.sample(drawn)
    where = () if len(places) == len(labels) else labelled(label)
    found = index.others(ids, vectors, neighbours, where=where, exact=True)
    votes = [vote(hits, label) for hits in found]
    true = [each for each in zip(labels[drawn], votes, strict=True) if each[1] is not None]
    cosines = np.array([outcome.nearest.cosine for _, outcome in true if outcome])
    correct = np.array([outcome.label == own for own, outcome in true if outcome])
    return Calibration(label, neighbours, len(labels), len(places), grouped(cosines, correct))


def grouped(cosines: np.ndarray[Any, Any], correct: np.ndarray[Any, Any]) -> tuple[Group, ...]:
    """Groups of like cosines with their reliabilities, which rise from group to group.

    Args:
        cosines: [n].
        correct: bool [n].
    """
    from sklearn.isotonic import IsotonicRegression

    count = max(1, min(MOST_GROUPS, len(cosines) // GROUP))
    edges = np.unique(np.quantile(cosines, np.arange(1, count) / count))  # equal cosines fall into one group
    number = np.searchsorted(edges, cosines, side="right")
    members: Sequence[IntArray] = [np.flatnonzero(number == each) for each in np.unique(number)]
    means = [float(cosines[group].mean()) for group in members]
    right = [int(correct[group].sum()) for group in members]
    shares = [(good + 1) / (len(group) + 2) for good, group in zip(right, members, strict=True)]
    fitted = IsotonicRegression().fit_transform(means, shares, sample_weight=[len(group) for group in members])
    rows = zip(means, members, right, fitted.tolist(), strict=True)
    return tuple(Group(mean, len(group), good, reliability) for mean, group, good, reliability in rows)


def kept_calibrations(folder: Path) -> list[Calibration]:
    """What is kept; something that cannot be read is measured anew."""
    try:
        content = json.loads((folder / CALIBRATION).read_text(encoding="utf-8"))
        return [Calibration(**each | {"groups": tuple(Group(**group) for group in each["groups"])}) for each in content]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _write(folder: Path, kept: Sequence[Calibration]) -> None:
    write_whole(folder / CALIBRATION, json.dumps([asdict(each) for each in kept], indent=1, ensure_ascii=False) + "\n")
