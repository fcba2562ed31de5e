"""From labelled proteins and a model to a predictor: choose by cross-validation, fit, test once.

Shape suffixes: n proteins, F features, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from esmkit.alphabet import num_residues
from esmkit.applications.fitting.baselines import BASELINES, Baseline
from esmkit.applications.fitting.candidates import LINEAR, candidates, wanted
from esmkit.applications.fitting.data import FitData
from esmkit.applications.fitting.intervals import LEVEL, RESAMPLES, intervals
from esmkit.applications.fitting.options import FitOptions
from esmkit.applications.fitting.result import Answered, Fit
from esmkit.applications.fitting.selection import Contest, Observer, Trial, answers_of
from esmkit.applications.labelled.metrics import score
from esmkit.applications.predictors.card import Base, Card
from esmkit.applications.predictors.estimator import PROBE, Estimator, EstimatorName
from esmkit.applications.vectors import Pooling, VectorCache, Watcher, vectors
from esmkit.batching import windows
from esmkit.engine import Model
from esmkit.errors import demand_module
from esmkit.types import FloatArray, IntArray


class View(NamedTuple):
    """Which representation of a protein an estimator sees."""

    layer: int
    pooling: Pooling

    def __str__(self) -> str:
        return f"layer {self.layer}, {self.pooling}"


def demand_libraries() -> None:
    """Finds out before the work.

    Raises:
        MissingExtraError: scikit-learn or skops is not installed.
    """
    for module in ("sklearn.metrics", "skops.io"):
        demand_module(module, reason="fitting a predictor needs scikit-learn and skops", extra="learn")


def fit(
    model: Model,
    data: FitData,
    options: FitOptions | None = None,
    *,
    cache: VectorCache | None = None,
    watcher: Watcher | None = None,
    observe: Observer | None = None,
) -> Fit:
    """Fits a predictor of a property of whole proteins to pooled representations of a model.

    Layer, pooling, estimator and what regularises it are chosen by cross-validation within the train part: layer and
    pooling with the linear estimator, other estimators on those. The test part is looked at once, at the end.

    Args:
        model: whose representations are read; its policies for lengths and residues hold.
        data: what to fit to and to test on, see `read_fit_data`.
        options: what is tried.
        cache: where representations are looked up and kept.
        watcher: sees how far the model is.
        observe: sees the best trial of each estimator on each kind of features.

    Raises:
        EsmkitError: a protein has no representation; it names the record.
        InvalidConfigError: the estimator is not for this task.
        InvalidInputError: there are too few proteins for the folds.
        InvalidRecordError: the baseline `onehot` meets sequences of different length.
    """
    options = options or FitOptions()
    demand_libraries()
    names = wanted(options.estimator, data.task.kind)
    for record in data.records:
        windows(record, num_residues(record.sequence), model.length)
    work = _Work.of(data, options, observe)
    others = {name: BASELINES[name](data.records) for name in options.baselines}
    views = _views(model, data, options, cache, watcher)
    view, chosen = work.choose(views, names)
    fitted, metrics, answered = work.judge(_features(views[view]), chosen)
    metrics["baselines"] = {name: work.baseline(name, x_nF) for name, x_nF in others.items()}
    estimator = Estimator(fitted, data.task)
    candidate, trials = chosen.candidate, work.contest.trials
    card = Card(
        kind="estimator",
        task=data.task,
        base=Base(*(model.provenance[name] for name in ("slug", "source", "weights_sha256"))),
        layers=(view.layer,),
        pooling=view.pooling,
        settings={
            "estimator": candidate.estimator,
            candidate.setting: candidate.value,
            PROBE: estimator.probe(),
        },
        metrics=metrics,
        provenance=_provenance(model, data, options, trials),
    )
    return Fit(card, estimator, chosen, trials, answered)


@dataclass(frozen=True, slots=True)
class _Work:
    """One call of `fit`."""

    data: FitData
    options: FitOptions
    contest: Contest

    @classmethod
    def of(cls, data: FitData, options: FitOptions, observe: Observer | None) -> _Work:
        """With the folds drawn."""
        drawn = data.folds(options.folds, options.seed)
        contest = Contest(data.task, _targets(data, "train"), drawn, options.seed, observe or (lambda _: None))
        return cls(data, options, contest)

    def choose(self, views: Mapping[View, FloatArray], names: Sequence[EstimatorName]) -> tuple[View, Trial]:
        """The best view of the proteins, and the best estimator on it."""
        linear, train = LINEAR[self.data.task.kind], self.data.members("train")
        tried: dict[View, Trial] = {}
        if len(views) > 1 or linear in names:
            for view, table in views.items():
                tried[view] = self.contest.best(str(view), _features(table[train]), candidates(linear))
        best = max(tried, key=lambda view: tried[view].criterion) if tried else next(iter(views))
        x_nF = _features(views[best][train])
        trials = [
            tried[best] if name == linear else self.contest.best(str(best), x_nF, candidates(name)) for name in names
        ]
        return best, max(trials, key=lambda trial: trial.criterion)

    def judge(self, x_nF: Any, trial: Trial, *, scaled: bool = True) -> tuple[Any, dict[str, Any], Answered]:
        """A candidate fitted to the whole train part, its scores, and its answers for the test part."""
        data, contest, seed = self.data, self.contest, self.options.seed
        train = data.members("train")
        model = trial.candidate.fit(x_nF[train], contest.targets, seed=seed, scaled=scaled)
        metrics: dict[str, Any] = {
            "train": {"proteins": len(train)},
            "cross_validation": {"folds": len(contest.folds), **trial.scores},
        }
        if "test" not in data.labelled.parts:
            return model, metrics, Answered("train", trial.answers, contest.targets)
        test, targets = data.members("test"), _targets(data, "test")
        answers = answers_of(model, x_nF[test], data.task)
        metrics["test"] = {
            "proteins": len(test),
            **score(data.task, answers, targets),
            "intervals": intervals(data.task, answers, targets, data.groups[test], seed),
        }
        return model, metrics, Answered("test", answers, targets)

    def baseline(self, name: Baseline, x_nF: Any) -> dict[str, Any]:
        """The scores of the linear estimator on features that need no model."""
        scaled = name != "onehot"  # a residue that was seen once shall not count as much as one seen often
        linear = candidates(LINEAR[self.data.task.kind])
        trial = self.contest.best(name, x_nF[self.data.members("train")], linear, scaled=scaled)
        return self.judge(x_nF, trial, scaled=scaled)[1]


def _views(
    model: Model, data: FitData, options: FitOptions, cache: VectorCache | None, watcher: Watcher | None
) -> dict[View, FloatArray]:
    """All proteins in every view that may be chosen, float32 [n, F] each."""
    layers = options.layers_of(model.shape)
    found: dict[View, FloatArray] = {}
    for pooling in dict.fromkeys(options.pooling):
        table = vectors(model, data.records, layers=layers, pooling=pooling, cache=cache, watcher=watcher)
        found |= {View(layer, pooling): table[:, place] for place, layer in enumerate(layers)}
    return found


def _features(x_nF: FloatArray) -> FloatArray:
    """As scikit-learn computes best."""
    return x_nF.astype(np.float64)


def _targets(data: FitData, part: str) -> FloatArray | IntArray:
    """Labels as scikit-learn takes them."""
    targets = data.targets(part)
    return targets if targets.dtype.kind == "i" else targets.astype(np.float64)


def _provenance(model: Model, data: FitData, options: FitOptions, trials: Sequence[Trial]) -> dict[str, Any]:
    import sklearn

    from esmkit import __version__

    return {
        "esmkit": __version__,
        "scikit_learn": sklearn.__version__,
        "start": dict(model.provenance),
        "options": asdict(options),
        "long": {"policy": model.length.on_long, "max_length": model.length.limit},
        "data_sha256": data.labelled.sha256(),
        "split": data.split,
        "groups": data.method,
        "drawn_at_random": list(data.labelled.drawn),
        "intervals": {"level": LEVEL, "resamples": RESAMPLES},
        "trials": [trial.to_dict() for trial in trials],
    }
