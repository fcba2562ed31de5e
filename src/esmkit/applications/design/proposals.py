"""Proposals for directed evolution: the best that a search found, far enough from each other, with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Literal

import numpy as np

from esmkit.applications.design.diverse import pick
from esmkit.applications.design.objective import Objective
from esmkit.applications.design.sampling import anneal, gibbs, visited
from esmkit.applications.design.search import beam
from esmkit.applications.design.space import Space, substituted
from esmkit.applications.mutations.variants import describe
from esmkit.errors import InvalidConfigError

StrategyName = Literal["greedy", "beam", "gibbs", "anneal"]


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a space is searched.

    Attributes:
        name: greedy and beam add one mutation after another and are the same every time; gibbs and anneal are random.
        width: sequences that a beam keeps.
        chains: of gibbs and anneal, side by side.
        steps: that each chain makes.
        temperature: in units of the objective; of anneal the first.
        final_temperature: the last of anneal.
        seed: of everything random.
    """

    name: StrategyName = "beam"
    width: int = 10
    chains: int = 10
    steps: int = 200
    temperature: float = 1.0
    final_temperature: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        temperatures = [self.temperature, *([self.final_temperature] if self.name == "anneal" else ())]
        if not all(0 < each < np.inf for each in temperatures):
            raise InvalidConfigError("a temperature is a number above 0", setting="temperature")

    def search(self, objective: Objective, space: Space) -> dict[str, str]:
        """Members of the space, each with how it was found."""
        if self.name in ("greedy", "beam"):
            return beam(objective, space, width=1 if self.name == "greedy" else self.width)
        random = np.random.default_rng(self.seed)
        if self.name == "gibbs":
            walk = gibbs(
                objective,
                space,
                chains=self.chains,
                steps=self.steps,
                temperature=self.temperature,
                random=random,
            )
        else:
            walk = anneal(
                objective,
                space,
                chains=self.chains,
                steps=self.steps,
                temperature=self.temperature,
                final_temperature=self.final_temperature,
                random=random,
            )
        return visited(walk)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A variant to make.

    Attributes:
        mutant: in writing, such as A24G:K30R, in the numbering asked for.
        sequence: all of it.
        effects: by mutation, what the objective loses without it.
        objective: of the variant; the parent has 0.
        terms: by name, what each term of the objective says, those of weight 0 too.
        nearest: positions at which it differs from the nearest better proposal; 0 for the best.
        found: how.
    """

    mutant: str
    sequence: str
    effects: Mapping[str, float]
    objective: float
    terms: Mapping[str, float]
    nearest: int
    found: str


def propose(
    objective: Objective,
    space: Space,
    strategy: Strategy | None = None,
    *,
    proposals: int = 10,
    min_distance: int = 1,
    offset: int = 0,
) -> list[Proposal]:
    """Searches a space and chooses from what was found.

    Args:
        objective: what is maximised.
        space: what may change.
        strategy: how it is searched; a beam by default.
        proposals: how many are wanted; fewer come back where no other is far enough.
        min_distance: positions at which any two differ at least, see `diverse.pick`.
        offset: of the numbering of mutations.

    Returns:
        The best first; the same every time for the same arguments and model.

    Example:
        >>> import esmkit
        >>> from esmkit.applications.design import Likelihood, Weighted
        >>> objective = Objective("MKTAYIAK", [Weighted(Likelihood(esmkit.load()), 1.0)])
        >>> space = Space.of("MKTAYIAK", positions=[2, 3, 4], mutations=(2, 2))
        >>> [len(found.effects) for found in propose(objective, space, proposals=2)]
        [2, 2]
    """
    found = (strategy or Strategy()).search(objective, space)
    sequences = list(found)
    picks = pick(sequences, repeat(objective(sequences), proposals), min_distance=min_distance)
    chosen = [sequences[each.at] for each in picks]
    terms = {each.term.name: objective.values(each.term, chosen) for each in objective.terms}
    effects = _effects(objective, space, chosen)
    return [
        Proposal(
            describe(space.parent, sequence, offset=offset),
            sequence,
            {
                f"{space.parent[index]}{index + 1 + offset}{sequence[index]}": effect
                for index, effect in effects[at].items()
            },
            picks[at].score,
            {name: float(values[at]) for name, values in terms.items()},
            picks[at].nearest,
            found[sequence],
        )
        for at, sequence in enumerate(chosen)
    ]


def _effects(objective: Objective, space: Space, chosen: Sequence[str]) -> list[dict[int, float]]:
    """For each sequence, what the objective loses when one mutation is taken back, by index."""
    without = [
        {index: substituted(sequence, index, space.parent[index]) for index in space.mutated(sequence)}
        for sequence in chosen
    ]
    wholes = objective(chosen)
    lesser = iter(objective([sequence for each in without for sequence in each.values()]))
    return [{index: float(whole - next(lesser)) for index in each} for whole, each in zip(wholes, without, strict=True)]
