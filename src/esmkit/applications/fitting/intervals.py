"""How sure scores are: bootstrap confidence intervals (Efron 1979), by percentiles.

Rows that belong together are drawn together: relatives are no independent witnesses.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from esmkit.applications.labelled.metrics import score
from esmkit.applications.predictors.card import Task
from esmkit.types import FloatArray, IntArray

RESAMPLES, LEVEL = 1000, 0.95
Intervals = Mapping[str, tuple[float, float] | None]


def intervals(
    task: Task, answers_nC: FloatArray, targets_n: FloatArray | IntArray, groups_n: IntArray, seed: int
) -> Intervals:
    """The middle 95 % of each metric over samples of the groups, drawn with replacement.

    Args:
        task: what was predicted.
        answers_nC: numbers [n, 1], or probabilities of classes [n, C].
        targets_n: what is true.
        groups_n: the group of each row.
        seed: of the draws.

    Returns:
        By metric its lower and upper end; None where it is not defined for half of the samples.
    """
    order = np.argsort(groups_n, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups_n[order])) + 1)
    generator = np.random.default_rng(seed)
    found: dict[str, list[float]] = {name: [] for name in score(task, answers_nC, targets_n)}
    for _ in range(RESAMPLES):
        drawn = np.concatenate([members[group] for group in generator.integers(len(members), size=len(members))])
        for name, value in score(task, answers_nC[drawn], targets_n[drawn]).items():
            if value is not None:
                found[name].append(value)
    return {name: _middle(values) for name, values in found.items()}


def _middle(values: list[float]) -> tuple[float, float] | None:
    if len(values) < RESAMPLES / 2:
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
