"""What a design shall maximise: likelihood under a model, a predicted property, or a weighted sum of both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from esmkit.applications.mutations.methods import MethodName, method_named
from esmkit.applications.mutations.scoring import Models, Scorer, listed
from esmkit.applications.mutations.variants import Variant, check_wild_type
from esmkit.applications.predictors import Card
from esmkit.errors import InvalidConfigError
from esmkit.types import FloatArray, Result


class Term(Protocol):
    """One thing to maximise."""

    @property
    def name(self) -> str:
        """In results."""

    @property
    def costly(self) -> bool:
        """Whether every sequence goes through a model, so that its score is worth keeping."""

    def scores(self, parent: str, sequences: Sequence[str]) -> Iterable[float]:
        """What it says about sequences, in order; for some methods in comparison with the parent."""


class Likelihood:
    """The score of `esmkit mutations`: log p(variant) - log p(parent) in the sense of a method, the mean over models.

    Args:
        models: one, or several.
        method: see `mutations.methods`.
    """

    def __init__(self, models: Models, method: MethodName = "masked_marginal") -> None:
        self.name: str = method
        self.costly = method_named(method).reads_variant
        self._scorers = [Scorer(model, method_named(method)) for model in listed(models)]

    def scores(self, parent: str, sequences: Sequence[str]) -> Iterator[float]:
        """Higher is more plausible, and the parent has 0."""
        variants = [Variant(at, each, each, wild_type=parent) for at, each in enumerate(sequences)]
        *others, last = ((self._value(item) for item in scorer.stream(variants, "stop")) for scorer in self._scorers)
        for values in zip(*map(list, others), last, strict=True):  # one model after another; the last as a stream
            yield float(np.mean(values))

    def _value(self, item: object) -> float:
        assert isinstance(item, Result)
        return float(item.arrays[self.name])


class Predicting(Protocol):
    """What a predictor must have for a design: a `Predictor` has it."""

    @property
    def card(self) -> Card:
        """What it predicts."""

    def run(self, sequences: Sequence[str]) -> Iterable[Result]:
        """Results with `prediction`, and for classes their probabilities, in the order of the sequences."""


class PredictedProperty:
    """A predicted number, or the probability of a class.

    Args:
        predictor: of a property of whole sequences.
        wanted: the class, for a predictor of classes.

    Raises:
        InvalidConfigError: it predicts residues, or classes and none was chosen.
    """

    def __init__(self, predictor: Predicting, wanted: str | None = None) -> None:
        task = predictor.card.task
        if task.level != "sequence":
            raise InvalidConfigError(
                f"the predictor of {task.label!r} answers for each residue; a design needs one for whole sequences",
                setting="predictor",
            )
        if (wanted or "") not in (task.classes or ("",)):
            choices = f"choose one of its classes {', '.join(task.classes)}" if task.classes else "it has no classes"
            raise InvalidConfigError(
                f"the predictor of {task.label!r}, class {wanted!r}: {choices}", setting="predictor_class"
            )
        self.name = f"probability_{wanted}" if wanted else "prediction"
        self.costly = True
        self._predictor = predictor

    def scores(self, parent: str, sequences: Sequence[str]) -> Iterator[float]:
        """As the predictor gives them."""
        return (float(result.arrays[self.name]) for result in self._predictor.run(sequences))


@dataclass(frozen=True, slots=True)
class Weighted:
    """A term and what it counts; negative where less is better, 0 to be shown only."""

    term: Term
    weight: float


@dataclass(frozen=True)
class Objective:
    """The weighted sum of terms, in comparison with the parent, which has 0; none goes through a model twice.

    Attributes:
        parent: the sequence that designs start from.
        terms: what is maximised.
        known: by costly term and sequence, scores of an earlier run; those of this run are added.
        on_scored: called with term, sequence and score when a sequence was scored.

    Raises:
        InvalidConfigError: every weight is 0, or one is not finite.

    Example:
        >>> import esmkit
        >>> objective = Objective("MKTAY", [Weighted(Likelihood(esmkit.load()), 1.0)])
        >>> objective(["MKTAY", "MRTAY"]).shape
        (2,)
    """

    parent: str
    terms: Sequence[Weighted]
    known: dict[str, dict[str, float]] = field(default_factory=dict, repr=False)
    on_scored: Callable[[Term, str, float], None] = lambda *_: None

    def __post_init__(self) -> None:
        check_wild_type(self.parent, name="the parent")
        weights = [each.weight for each in self.terms]
        if not any(weights) or not np.isfinite(weights).all():
            raise InvalidConfigError(
                f"the weights of the objective are {weights}; give finite ones, at least one of them other than 0",
                setting="weight",
            )

    def __call__(self, sequences: Sequence[str]) -> FloatArray:
        """The objective of sequences, float64 [n]; higher is better."""
        total = np.zeros(len(sequences))
        for each in self.terms:
            if each.weight:
                values = self.values(each.term, [self.parent, *sequences])
                total += each.weight * (values[1:] - values[0])
        return total

    def values(self, term: Term, sequences: Sequence[str]) -> FloatArray:
        """What a term says about sequences, float64 [n]."""
        known = self.known.setdefault(term.name, {}) if term.costly else {}
        missing = [sequence for sequence in dict.fromkeys(sequences) if sequence not in known]
        if missing:
            for sequence, value in zip(missing, term.scores(self.parent, missing), strict=True):
                known[sequence] = value
                self.on_scored(term, sequence, value)
        return np.array([known[sequence] for sequence in sequences])
