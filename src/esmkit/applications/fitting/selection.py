"""Choosing by cross-validation within the train part: nothing here ever sees another row.

Shape suffixes: n proteins, F features, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from esmkit.applications.fitting.candidates import Candidate
from esmkit.applications.labelled.metrics import Metrics, score
from esmkit.applications.predictors.card import Task, TaskKind
from esmkit.types import FloatArray, IntArray

CRITERION: Mapping[TaskKind, str] = {"regression": "r2", "classification": "log_likelihood"}
"""What decides, higher is better; `log_likelihood` is the mean of ln p of the true class."""
LEAST_PROBABLE = 1e-6


@dataclass(frozen=True, slots=True)
class Trial:
    """How a candidate did on the held-out folds, all of them taken together.

    Attributes:
        features: what it saw, in words.
        candidate: which.
        answers: to the rows of the train part, each from the folds without it: numbers [n, 1], or probabilities [n, C].
        scores: its metrics, with the criterion among them.
        criterion: its score by that.
    """

    features: str
    candidate: Candidate
    answers: FloatArray
    scores: Metrics
    criterion: float

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        chosen = {"estimator": self.candidate.estimator, self.candidate.setting: self.candidate.value}
        return {"features": self.features, **chosen, **self.scores}


Observer = Callable[[Trial], None]


@dataclass(frozen=True, slots=True)
class Contest:
    """Candidates on the rows of the train part.

    Attributes:
        task: what is to be predicted.
        targets: of the train part, float64 or int64 [n].
        folds: places that are held out, for each fold.
        seed: of estimators that draw at random.
        observe: sees the best trial of each call of `best`.
        trials: all of them, in order.
    """

    task: Task
    targets: FloatArray | IntArray
    folds: Sequence[IntArray]
    seed: int
    observe: Observer
    trials: list[Trial] = field(default_factory=list)

    def best(self, features: str, x_nF: Any, candidates: Sequence[Candidate], *, scaled: bool = True) -> Trial:
        """The best of some candidates on the same features; of equals the first.

        Args:
            features: what they are, in words.
            x_nF: of the train part, float64, dense or sparse.
            candidates: to choose from.
            scaled: whether features are standardised.
        """
        tried = [self._trial(features, x_nF, candidate, scaled) for candidate in candidates]
        self.trials.extend(tried)
        best = max(tried, key=lambda trial: trial.criterion)
        self.observe(best)
        return best

    def _trial(self, features: str, x_nF: Any, candidate: Candidate, scaled: bool) -> Trial:
        answers_nC = np.zeros((len(self.targets), self.task.num_outputs))
        for held_out in self.folds:
            rest = np.setdiff1d(np.arange(len(self.targets)), held_out)
            model = candidate.fit(x_nF[rest], self.targets[rest], seed=self.seed, scaled=scaled)
            answers_nC[held_out] = answers_of(model, x_nF[held_out], self.task)
        name, value = CRITERION[self.task.kind], criterion(self.task, answers_nC, self.targets)
        scores = {name: value, **score(self.task, answers_nC, self.targets)}
        return Trial(features, candidate, answers_nC, scores, value)


def answers_of(model: Any, x_nF: Any, task: Task) -> FloatArray:
    """Numbers [n, 1], or probabilities [n, C], 0 for classes that the estimator never saw."""
    if task.kind == "regression":
        return np.asarray(model.predict(x_nF), dtype=np.float64).reshape(-1, 1)
    answers_nC = np.zeros((x_nF.shape[0], task.num_outputs))
    answers_nC[:, model.classes_] = model.predict_proba(x_nF)
    return answers_nC


def criterion(task: Task, answers_nC: FloatArray, targets_n: FloatArray | IntArray) -> float:
    """What decides between trials, see `CRITERION`."""
    if task.kind == "regression":
        error = answers_nC[:, 0] - targets_n
        return float(1 - np.mean(error**2) / targets_n.var())
    found = answers_nC[np.arange(len(targets_n)), targets_n.astype(np.int64)]
    return float(np.log(np.maximum(found, LEAST_PROBABLE)).mean())
