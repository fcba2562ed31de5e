"""What came of a fit, and where it is kept."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from esmkit.applications.fitting.selection import Trial
from esmkit.applications.predictors.card import CARD, Card
from esmkit.applications.predictors.estimator import Estimator
from esmkit.models.save import demand_new
from esmkit.sinks.files import whole_folder
from esmkit.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Answered:
    """What was said of proteins that were not learnt from.

    Attributes:
        part: `test`; or `train` where there is no test part, and answers are those of held-out folds.
        answers: numbers [n, 1], or probabilities of classes [n, C].
        targets: what is true [n].
    """

    part: str
    answers: FloatArray
    targets: FloatArray | IntArray


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted predictor and how it was found.

    Attributes:
        card: what predictor.json will say; `card.metrics` are its scores.
        estimator: what was fitted.
        chosen: the trial that won.
        trials: all of them.
        answered: for pictures.
    """

    card: Card
    estimator: Estimator
    chosen: Trial
    trials: Sequence[Trial]
    answered: Answered

    def save(self, folder: Path, *, overwrite: bool = False) -> Path:
        """Writes the predictor; the folder appears whole or not at all.

        Args:
            folder: new or empty.
            overwrite: whether a predictor that is there already is replaced.

        Raises:
            InvalidConfigError: the folder holds something already.
        """
        demand_place(folder, overwrite=overwrite)
        with whole_folder(folder) as unfinished:
            self.estimator.write(unfinished)
            self.card.write(unfinished)
            if (folder / CARD).exists():
                shutil.rmtree(folder)
        return folder


def demand_place(folder: Path, *, overwrite: bool) -> None:
    """Finds out before the work whether a predictor can be saved there.

    Raises:
        InvalidConfigError: it holds something already.
    """
    if not (overwrite and (folder / CARD).exists()):
        demand_new(folder)
