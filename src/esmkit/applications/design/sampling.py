"""Random walks through a space: Gibbs sampling, and simulated annealing; several chains side by side in every batch.

A step looks at a block of sequences that holds the present one: all residues of one random position, or all ways to
have a mutation at just one of two positions, of which one is mutated now; that keeps the number of mutations. Every
sequence of a block would draw this block with the same chance. So Gibbs sampling, which takes one of the block with a
chance proportional to exp(objective / temperature), comes to members of the space in the long run as often as that
says (Geman and Geman 1984, doi:10.1109/TPAMI.1984.4767596), and annealing (Kirkpatrick et al. 1983,
doi:10.1126/science.220.4598.671) tries one of the others by the rule of Metropolis while the temperature falls.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from esmkit.applications.design.objective import Objective
from esmkit.applications.design.space import Space, substituted
from esmkit.types import FloatArray

Walk = Iterator[tuple[list[str], FloatArray]]
"""After the start and after each step: the sequence of each chain, and their objective."""


def gibbs(
    objective: Objective, space: Space, *, chains: int, steps: int, temperature: float, random: np.random.Generator
) -> Walk:
    """Gibbs sampling from random members of the space."""
    states = [space.draw(random) for _ in range(chains)]
    yield states, objective(states)
    for _ in range(steps):
        blocks = [block(space, state, random) for state in states]
        scores = objective([sequence for members in blocks for sequence in members])
        by_chain = np.split(scores, np.cumsum([len(members) for members in blocks])[:-1])
        # the largest of log weight + Gumbel noise is a draw by weight
        taken = [int((values / temperature + random.gumbel(size=len(values))).argmax()) for values in by_chain]
        states = [members[at] for members, at in zip(blocks, taken, strict=True)]
        yield states, np.array([values[at] for values, at in zip(by_chain, taken, strict=True)])


def anneal(
    objective: Objective,
    space: Space,
    *,
    chains: int,
    steps: int,
    temperature: float,
    final_temperature: float,
    random: np.random.Generator,
) -> Walk:
    """Simulated annealing from random members of the space; each step cools by the same factor."""
    states = [space.draw(random) for _ in range(chains)]
    scores = objective(states)
    yield states, scores
    for now in np.geomspace(temperature, final_temperature, steps):
        tried = [_another(block(space, state, random), random) for state in states]
        tried_scores = objective(tried)
        accepted = (scores - tried_scores) / now <= random.exponential(size=chains)
        states = [new if taken else old for old, new, taken in zip(states, tried, accepted, strict=True)]
        scores = np.where(accepted, tried_scores, scores)
        yield states, scores


def visited(walk: Walk) -> dict[str, str]:
    """Every sequence that a chain came to, with the chain and step where it was first."""
    found: dict[str, str] = {}
    for step, (states, _) in enumerate(walk):
        for chain, sequence in enumerate(states, start=1):
            found.setdefault(sequence, f"chain {chain}, step {step}")
    return found


def block(space: Space, state: str, random: np.random.Generator) -> list[str]:
    """The sequences among which one step chooses, the present one first."""
    mutated = space.mutated(state)
    if random.random() < 0.5:
        index = _one(space.indices, random)
        others = len(mutated) - (index in mutated)
        residues = space.choices[index] if others < space.most else ""
        residues += space.parent[index] if others >= space.fewest else ""
        members = [substituted(state, index, residue) for residue in residues]
    elif 0 < len(mutated) < len(space.indices):
        left = _one(mutated, random)
        entered = _one([index for index in space.indices if index not in mutated], random)
        without = substituted(state, left, space.parent[left])
        members = [substituted(without, index, new) for index in (left, entered) for new in space.choices[index]]
    else:
        members = []
    return [state, *(sequence for sequence in members if sequence != state)]


def _one(indices: list[int] | tuple[int, ...], random: np.random.Generator) -> int:
    return indices[random.integers(len(indices))]


def _another(members: list[str], random: np.random.Generator) -> str:
    """One of a block, other than the present one if there is any."""
    return members[random.integers(1, len(members))] if len(members) > 1 else members[0]
