"""`fit`: a predictor fitted to labelled proteins, its scores, and what it says of others; nothing of it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

import numpy as np
from pydantic import BaseModel, Field

from esmkit.applications.fitting import Fit, FitOptions, fit, fit_data
from esmkit.applications.fitting.candidates import LINEAR
from esmkit.applications.labelled import LabelledRows
from esmkit.applications.predictors import Task
from esmkit.applications.predictors.card import TaskKind
from esmkit.engine import Model
from esmkit.server.actions.base import Action, Cost, Item, Resources, checked_residues
from esmkit.server.actions.many import MOST_ITEMS, EmbeddingParams, check_number, embeddings, many_type
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire.base import Bounds
from esmkit.server.wire.esm2_docs import Shown, answer_type
from esmkit.types import FloatArray, Record

FEWEST_LABELLED, MOST_CLASSES = 20, 5
MOST_NUMBERS = 2_600_000
"""Labelled proteins x width of the model x square of classes: about ten seconds of one core."""
Label = Annotated[str, Field(min_length=1, max_length=64)]


class LabelledItem(Item):
    """One protein, with what is known of it."""

    label: float | Label | None = Field(
        None, description="A number, or the name of a class; without it the protein is predicted."
    )


class FitParams(EmbeddingParams):
    """How it is fitted."""

    seed: int = Field(0, ge=0, lt=2**32, description="Of the test part, folds and intervals.")


class FittedPrediction(Shown):
    """What is predicted for one protein."""

    item: int = Field(description="Its 0-based number in the request.")
    prediction: float | str = Field(description="A number, or the name of a class.")
    probabilities: dict[str, float] | None = Field(None, description="Of classes: of each by name.")


class FitResult(Shown):
    """A predictor and how good it is."""

    task: Literal["regression", "classification"] = Field(description="Of numbers, or of names of classes.")
    estimator: str = Field(description="ridge or logistic.")
    settings: dict[str, float] = Field(description="What regularises it, chosen by cross-validation in five folds.")
    train: int = Field(description="Proteins that it was fitted to.")
    test: int = Field(description="Proteins that it was tested on, a fifth, drawn at random.")
    cross_validation: dict[str, float | None] = Field(description="Scores within the train part; null: undefined.")
    scores: dict[str, float | None] = Field(description="Scores on the test part.")
    intervals: dict[str, tuple[float, float] | None] = Field(description="95 % confidence intervals of these.")
    tested: list[FittedPrediction] = Field(description="Of the test part, whose labels had no part in the fit.")
    predictions: list[FittedPrediction] = Field(description="Of the items without a label, in their order.")


def _request(bounds: Bounds) -> type[BaseModel]:
    return many_type("Fit", bounds, FitParams, LabelledItem)


def _cost(asked: Any, bounds: Bounds) -> Cost:
    items: Sequence[LabelledItem] = asked.items
    check_number(items, FEWEST_LABELLED)
    classes = len(_classes(items)) or 1
    return Cost(len(items), checked_residues(items, asked.params, bounds), 64 + len(items) * (classes + 2))


def _classes(items: Sequence[LabelledItem]) -> set[str]:
    """The names of classes; none where labels are numbers.

    Raises:
        InvalidRequestError: labels are too few, of two kinds, or of too many classes.
    """
    known = [(at, item.label) for at, item in enumerate(items) if item.label is not None]
    if len(known) < FEWEST_LABELLED:
        message = f"{len(known)} items have a label, {FEWEST_LABELLED} or more are needed"
        raise InvalidRequestError([Issue(("items",), message, "labels")])
    kind = str if isinstance(known[0][1], str) else float
    for at, label in known:
        if isinstance(label, str) != (kind is str):
            message = "labels are all numbers, or all names of classes; the first one is of the other kind"
            raise InvalidRequestError([Issue(("items", at, "label"), message, "label_kind")])
    classes = {label for _, label in known if isinstance(label, str)}
    if len(classes) > MOST_CLASSES:
        message = f"labels name {len(classes)} classes, at most {MOST_CLASSES} are allowed; give numbers as numbers"
        raise InvalidRequestError([Issue(("items",), message, "classes")])
    return classes


def _run(asked: Any, model: Model, resources: Resources) -> Sequence[Mapping[str, Any]]:
    items, params = cast(Sequence[LabelledItem], asked.items), cast(FitParams, asked.params)
    kind: TaskKind = "classification" if (classes := _classes(items)) else "regression"
    known = [at for at, item in enumerate(items) if item.label is not None]
    _check_size(len(known), model.width, len(classes) or 1)
    rows = LabelledRows(
        Task(kind, "sequence", "label"),
        [Record(place, f"labelled {place + 1}", items[at].sequence) for place, at in enumerate(known)],
        [[str(items[at].label)] for at in known],
        {"train": np.arange(len(known))},
        named=False,
    )
    data = fit_data(rows, seed=params.seed)
    found = fit(model, data, FitOptions(LINEAR[kind], (params.layer,), (params.pool,), seed=params.seed))
    tested = _predictions(found, [known[place] for place in data.members("test")], found.answered.answers)
    return [_shown(found, tested, _others(found, items, params, model))]


def _check_size(labelled: int, width: int, outputs: int) -> None:
    most = MOST_NUMBERS // (width * outputs**2)
    if labelled > most:
        classes = f" and {outputs} classes" if outputs > 1 else ""
        message = f"{labelled:,} items have a label; with this model{classes} at most {most:,} may"
        raise InvalidRequestError([Issue(("items",), message, "too_many_labels")])


def _others(found: Fit, items: Sequence[LabelledItem], params: FitParams, model: Model) -> list[dict[str, Any]]:
    """What is said of the items without a label."""
    numbers = [at for at, item in enumerate(items) if item.label is None]
    if not numbers:
        return []
    answers = found.estimator.answers(embeddings([items[at] for at in numbers], params, model))
    return _predictions(found, numbers, answers)


def _predictions(found: Fit, numbers: Sequence[int], answers: FloatArray) -> list[dict[str, Any]]:
    """Predictions for the items of these numbers, from what the estimator answers."""
    classes = found.card.task.classes
    if not classes:
        return [{"item": at, "prediction": value} for at, value in zip(numbers, answers[:, 0].tolist(), strict=True)]
    return [
        {
            "item": at,
            "prediction": classes[int(np.argmax(shares))],
            "probabilities": dict(zip(classes, shares, strict=True)),
        }
        for at, shares in zip(numbers, answers.tolist(), strict=True)
    ]


def _shown(found: Fit, tested: list[dict[str, Any]], predictions: list[dict[str, Any]]) -> dict[str, Any]:
    metrics, candidate = found.card.metrics, found.chosen.candidate
    scores = metrics["test"]
    return {
        "task": found.card.task.kind,
        "estimator": candidate.estimator,
        "settings": {candidate.setting: candidate.value},
        "train": metrics["train"]["proteins"],
        "test": scores["proteins"],
        "cross_validation": dict(found.chosen.scores),
        "scores": {name: scores[name] for name in scores["intervals"]},
        "intervals": dict(scores["intervals"]),
        "tested": tested,
        "predictions": predictions,
    }


ACTION = Action(
    name="fit",
    title="a predictor from labelled proteins",
    description=f"Ridge or logistic regression on the embeddings of the items with a label, {FEWEST_LABELLED} to "
    f"{MOST_ITEMS:,}: scores on a fifth that is held out, with confidence intervals, and what it says of the items "
    f"without one. Labelled items x width of the model x square of classes are {MOST_NUMBERS:,} at most, classes "
    f"{MOST_CLASSES}. Nothing is kept; `esmkit fit` makes predictors to keep.",
    request=_request,
    answer=answer_type(FitResult, "One entry."),
    cost=_cost,
    run=_run,
    body={
        "items": [
            *({"sequence": "MKTAYIAKQR" + at * "GA" + (12 - at) * "LK", "label": at / 2} for at in range(24)),
            {"sequence": "MKTAYIAKQRGAGAGAGAGALKLKLKLKLKLKLKL"},
        ]
    },
    result={
        "task": "regression",
        "estimator": "ridge",
        "settings": {"alpha": 0.01},
        "train": 19,
        "test": 5,
        "cross_validation": {"r2": 0.996, "spearman": 0.998, "pearson": 0.998, "rmse": 0.204, "mae": 0.159},
        "scores": {"spearman": 1.0, "pearson": 0.998, "rmse": 0.209, "mae": 0.171, "r2": 0.991},
        "intervals": {
            "spearman": (1.0, 1.0),
            "pearson": (0.993, 1.0),
            "rmse": (0.097, 0.319),
            "mae": (0.092, 0.284),
            "r2": (0.921, 0.998),
        },
        "tested": [{"item": 3, "prediction": 1.61}, {"item": 7, "prediction": 3.35}],
        "predictions": [{"item": 24, "prediction": 3.39}],
    },
)
