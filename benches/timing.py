"""Peers in turn: A B C A B C ..., so that a change of the machine's speed meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
HOPELESS = 4
"""A peer that takes so many times as long as the baseline is timed once, in the run that compares answers."""
Seconds = dict[str, float]


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to do the work.

    Attributes:
        name: its key in results.
        what: how it does it, for readers of results.
        run: does all of the work; gives the answers, and seconds by name (one peer may be timed in two ways).
        padding: computed tokens over real tokens.
    """

    name: str
    what: str
    run: Callable[[], tuple[Array, Seconds]]
    padding: float = 1.0


def timed(name: str, compute: Callable[[], Array]) -> Callable[[], tuple[Array, Seconds]]:
    """`compute` as the `run` of a peer, timed as a whole."""

    def run() -> tuple[Array, Seconds]:
        started = time.perf_counter()
        answers = compute()
        return answers, {name: time.perf_counter() - started}

    return run


def alternate(peers: Sequence[Peer], rounds: int, *, before_round: Callable[[], None]) -> dict[str, list[float]]:
    """Seconds of every round by name; the caller has run every peer once, which warmed it up.

    Args:
        peers: run one after the other, `rounds` times.
        rounds: how often.
        before_round: called first in every round, to measure the machine under the same conditions.
    """
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        before_round()
        for peer in peers:
            for name, value in peer.run()[1].items():
                seconds.setdefault(name, []).append(value)
    return seconds


def ratio(seconds: Sequence[float], baseline: Sequence[float]) -> float:
    """How many times faster than the baseline: the median of the ratios of neighbouring runs.

    Example:
        >>> ratio([1.0, 2.0, 1.0], [2.0, 6.0, 2.0])
        2.0
    """
    if len(seconds) != len(baseline):  # timed once, see `worth_repeating`
        return median(baseline) / median(seconds)
    return median(slow / fast for fast, slow in zip(seconds, baseline, strict=True))


def worth_repeating(seconds: float, baseline: float) -> bool:
    """Whether a peer is near enough to the baseline to be timed again and again; else it would take minutes a run."""
    return seconds <= HOPELESS * baseline


class Rate:
    """What the machine reached, measured again and again during a run."""

    def __init__(self, measure: Callable[[], float]) -> None:
        self._measure = measure
        self.values: list[float] = []

    def sample(self) -> None:
        """Measures once more."""
        self.values.append(self._measure())

    @property
    def median(self) -> float:
        """Of all samples."""
        return median(self.values)


def largest_difference(found: Array, expected: Array) -> tuple[float, float]:
    """Largest absolute difference, and the largest absolute value to compare it with."""
    if found.shape != expected.shape:
        raise SystemExit(f"bench: answers have the shape {found.shape}, expected {expected.shape}")
    return float(np.abs(found - expected).max()), float(np.abs(expected).max())


def assert_equal(peer: str, found: Array, expected: Array, *, against: str, relative: float = 1e-4) -> dict[str, Any]:
    """Stops the benchmark unless two peers computed the same thing; a fast wrong answer is worth nothing.

    Args:
        peer: who computed `found`.
        found: the answers.
        expected: those of the reference.
        against: who computed `expected`.
        relative: bound on the largest difference in units of the largest value; 1e-5 absolute is always good enough.

    Returns:
        What was compared, for the result file.
    """
    difference, scale = largest_difference(found, expected)
    bound = max(1e-5, relative * scale)
    if not difference <= bound:
        raise SystemExit(f"bench: {peer} differs from {against} by {difference:.2e}, allowed are {bound:.2e}")
    return {"peer": peer, "against": against, "values": found.size, "max_abs": difference, "bound": bound}
