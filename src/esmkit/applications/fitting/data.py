"""What a predictor is fitted to: labelled proteins, a part to test on, and folds of the rest to choose by.

Rows that belong together, of one sequence or of one cluster of relatives, are never on two sides of a split.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from esmkit.alphabet import ResiduePolicy
from esmkit.applications.fitting.clusters import cluster
from esmkit.applications.labelled import Columns, Labelled, LabelledRows, read_rows
from esmkit.applications.labelled.labels import Values
from esmkit.applications.predictors.card import Task
from esmkit.errors import InvalidInputError
from esmkit.types import IntArray, Record

Split = Literal["random", "cluster"]
TEST = 5
"""A drawn test part is one of so many."""


@dataclass(frozen=True, slots=True)
class FitData:
    """Labelled proteins and which of them belong together.

    Attributes:
        labelled: the proteins, in the parts `train` and, perhaps, `test`.
        groups: int64 [n], the group of each: one sequence, or one cluster.
        split: what groups are.
        method: how they were found, in words.
    """

    labelled: Labelled
    groups: IntArray
    split: Split
    method: str

    @property
    def task(self) -> Task:
        """What is to be predicted."""
        return self.labelled.task

    @property
    def records(self) -> Sequence[Record]:
        """All proteins."""
        return self.labelled.records

    def members(self, part: str) -> IntArray:
        """Numbers of the proteins of a part."""
        return self.labelled.parts[part]

    def targets(self, part: str) -> Values:
        """Their labels, float32 or int64, [k]."""
        return self.labelled.labels(part)

    def folds(self, number: int, seed: int) -> list[IntArray]:
        """Places within the train part, for each fold those that are held out."""
        train = self.members("train")
        strata = self.targets("train") if self.task.classes else np.zeros(len(train), int)
        return folds(self.groups[train], strata, number, seed)

    def related(self, part: str) -> int:
        """Proteins of a part whose group has members in train too."""
        return int(np.isin(self.groups[self.members(part)], self.groups[self.members("train")]).sum())


def read_fit_data(
    sources: Mapping[str, str],
    columns: Columns,
    task: Task,
    *,
    split: Split = "random",
    residues: ResiduePolicy | None = None,
    seed: int = 0,
) -> FitData:
    """Reads labelled proteins and makes sure that there is a part to test on.

    Rows that a column or file says are `valid` are learnt from: cross-validation chooses, and needs no part of its own.
    Where nothing is said of parts, a fifth is drawn for the test, whole groups, every class with its share.

    Args:
        sources: `train`, and perhaps `test`: paths of tables.
        columns: where these hold what.
        task: what is to be predicted, per sequence; its classes are found here.
        split: what belongs together: equal sequences (`random`), or relatives (`cluster`).
        residues: what may be repaired in sequences.
        seed: of the draw.

    Raises:
        InvalidInputError: a table cannot be read, or has too few groups for a test part.
        InvalidRecordError, InvalidSequenceError: a row is of no use; names it, and why.
    """
    return fit_data(_valid_is_train(read_rows(sources, columns, task, residues=residues)), split=split, seed=seed)


def fit_data(rows: LabelledRows, *, split: Split = "random", seed: int = 0) -> FitData:
    """Makes sure that there is a part to test on, see `read_fit_data`.

    Args:
        rows: labelled proteins, in the parts `train` and, perhaps, `test`.
        split: what belongs together.
        seed: of the draw.

    Raises:
        InvalidInputError: all labels are the same, or there are too few groups for a test part.
        InvalidRecordError: a label is no number, or a class that the train part has not.
    """
    sequences = [record.sequence for record in rows.records]
    if split == "cluster":
        found = cluster(sequences)
        groups, method = found.numbers, found.method
    else:
        groups, method = np.unique(sequences, return_inverse=True)[1], "equal sequences"
    drawn: dict[str, IntArray] = {}
    if not rows.named:
        strata = np.unique(rows.strata(), return_inverse=True)[1]
        drawn["test"] = _fifth(folds(groups, strata, TEST, seed))
    return FitData(rows.finish(drawn), groups, split, method)


def _valid_is_train(rows: LabelledRows) -> LabelledRows:
    parts = dict(rows.parts)
    if "valid" in parts:
        parts["train"] = np.union1d(parts["train"], parts.pop("valid"))
    return replace(rows, parts=parts)


def _fifth(parts: Sequence[IntArray]) -> IntArray:
    """The part that is closest to its share: a large cluster may have made one of them much larger."""
    share = sum(map(len, parts)) / len(parts)
    return min(parts, key=lambda part: abs(len(part) - share))


def folds(groups: IntArray, strata: Any, number: int, seed: int) -> list[IntArray]:
    """Parts of like size made of whole groups, each with its share of every stratum.

    Args:
        groups: int64 [n].
        strata: int64 [n].
        number: of parts.
        seed: of the draw.

    Returns:
        For each part the places of its members.

    Raises:
        InvalidInputError: there are too few groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    distinct, largest = len(np.unique(groups)), int(np.bincount(strata).max())
    if min(distinct, largest) < number:
        raise InvalidInputError(
            f"{len(groups)} proteins in {distinct} groups (equal sequences, or with --split cluster relatives), at "
            f"most {largest} of one class, are too few for {number} parts; give more of them, name the test part with "
            "--split-column or --test, choose fewer --folds, or --split random"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class of few members is not in every part
        parts = StratifiedGroupKFold(number, shuffle=True, random_state=seed).split(groups, strata, groups)
        return [np.asarray(held_out) for _, held_out in parts]
