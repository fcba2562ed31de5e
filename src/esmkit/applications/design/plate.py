"""The next round: learn from what was measured, and choose what to measure next.

Shape suffixes: n candidates, m members of the ensemble.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Literal

import numpy as np

from esmkit.applications.design.diverse import Pick, codes, pick
from esmkit.applications.design.ensemble import Ensemble
from esmkit.applications.design.features import joined
from esmkit.applications.design.measured import Measured
from esmkit.errors import InvalidConfigError, InvalidInputError
from esmkit.types import FloatArray

Acquisition = Literal["exploit", "ucb", "thompson"]
Featurize = Callable[[Sequence[str]], Sequence[FloatArray]]
"""From sequences to blocks of features, see `features.joined`."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How the next variants are chosen.

    Attributes:
        acquisition: by the predicted mean (exploit), by mean + beta x standard deviation (ucb), or each well by what
            one random member of the ensemble predicts (thompson).
        beta: of ucb.
        goal: whether high or low labels are wanted.
        members: of the ensemble.
        min_distance: positions at which any two differ at least, see `diverse.pick`.
        seed: of everything random.
    """

    acquisition: Acquisition = "ucb"
    beta: float = 1.0
    goal: Literal["max", "min"] = "max"
    members: int = 32
    min_distance: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.members < 2 or not 0 <= self.beta < np.inf:
            raise InvalidConfigError(
                f"{self.members} members and beta {self.beta}: an ensemble has at least 2 members, and beta is not "
                "negative",
                setting="members" if self.members < 2 else "beta",
            )

    @property
    def sign(self) -> int:
        """1 where high labels are wanted, else -1."""
        return 1 if self.goal == "max" else -1

    def scores(self, predictions_mn: FloatArray, wells: int, random: np.random.Generator) -> Iterator[FloatArray]:
        """For each well the scores of all candidates, float64 [n]; higher is better."""
        goals_mn = self.sign * predictions_mn
        if self.acquisition == "thompson":
            return (goals_mn[random.integers(len(goals_mn))] for _ in range(wells))
        mean_n, sd_n = goals_mn.mean(axis=0), goals_mn.std(axis=0, ddof=1)
        return repeat(mean_n + (self.beta * sd_n if self.acquisition == "ucb" else 0), wells)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A variant to measure.

    Attributes:
        sequence: of it.
        mean: predicted label, the mean over the ensemble.
        sd: standard deviation over the ensemble.
        acquisition: what it was chosen by; higher is better.
        rank_by_mean: among all candidates, from 1.
        rank_by_sd: the same, the most uncertain first.
        nearest: positions at which it differs from the nearest one chosen before; 0 for the first.
        measured: the nearest variant that was measured, the best of them.
        measured_distance: positions at which it differs from that.
        measured_value: its label.
    """

    sequence: str
    mean: float
    sd: float
    acquisition: float
    rank_by_mean: int
    rank_by_sd: int
    nearest: int
    measured: str
    measured_distance: int
    measured_value: float


@dataclass(frozen=True, slots=True)
class Plate:
    """The next round.

    Attributes:
        suggestions: the best first; of thompson, each by another member's opinion.
        candidates: how many there were to choose from.
        ensemble: what they were chosen by.
    """

    suggestions: tuple[Suggestion, ...]
    candidates: int
    ensemble: Ensemble


def next_plate(
    measured: Measured,
    candidates: Sequence[str],
    featurize: Featurize,
    policy: Policy | None = None,
    *,
    wells: int = 96,
) -> Plate:
    """Learns from measurements and fills a plate; what was measured is not proposed again.

    Args:
        measured: the results of all earlier rounds.
        candidates: sequences as long as those measured.
        featurize: what the ensemble sees of sequences; called once, with measured ones and candidates.
        policy: how to choose.
        wells: how many are wanted; fewer come back where no other candidate is far enough.

    Raises:
        InvalidInputError: every candidate was measured.
        MissingExtraError: scikit-learn is not installed.

    Example:
        >>> from esmkit.applications.design import Featurizer
        >>> measured = Measured.of([("AA", 0.0), ("AC", 1.0), ("CA", 1.1), ("AD", 0.2), ("DA", 0.1)])
        >>> plate = next_plate(measured, ["AC", "DD", "CC"], Featurizer(), wells=1)
        >>> plate.suggestions[0].sequence, plate.candidates
        ('CC', 2)
    """
    policy = policy or Policy()
    known = set(measured.sequences)
    open_ = [sequence for sequence in dict.fromkeys(candidates) if sequence not in known]
    if not open_:
        raise InvalidInputError("every candidate was measured already; give others, or allow more positions")
    random = np.random.default_rng(policy.seed)
    features = joined(featurize([*measured.sequences, *open_]))
    first = len(measured.sequences)
    ensemble = Ensemble.fit(features[:first], measured.values, members=policy.members, random=random)
    predictions_mn = ensemble.predict(features[first:])
    picks = pick(open_, policy.scores(predictions_mn, wells, random), min_distance=policy.min_distance)
    return Plate(_suggestions(open_, picks, predictions_mn, measured, policy.sign), len(open_), ensemble)


def _suggestions(
    candidates: Sequence[str], picks: Sequence[Pick], predictions_mn: FloatArray, measured: Measured, sign: int
) -> tuple[Suggestion, ...]:
    """What there is to say about each that was picked."""
    mean_n, sd_n = predictions_mn.mean(axis=0), predictions_mn.std(axis=0, ddof=1)
    by_mean, by_sd = _ranks(sign * mean_n), _ranks(sd_n)
    known = codes(measured.sequences)

    def suggestion(picked: Pick) -> Suggestion:
        at = picked.at
        distances = (known != codes([candidates[at]])).sum(axis=1)
        near = int(np.lexsort((-sign * measured.values, distances))[0])  # of several that are near, the best
        return Suggestion(
            candidates[at],
            mean=float(mean_n[at]),
            sd=float(sd_n[at]),
            acquisition=picked.score,
            rank_by_mean=by_mean[at],
            rank_by_sd=by_sd[at],
            nearest=picked.nearest,
            measured=measured.sequences[near],
            measured_distance=int(distances[near]),
            measured_value=float(measured.values[near]),
        )

    return tuple(map(suggestion, picks))


def _ranks(values: FloatArray) -> list[int]:
    """From 1 for the highest."""
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return ranks.tolist()
