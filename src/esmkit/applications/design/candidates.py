"""What the next plate is chosen from, where no table says so: offspring of the best variants so far.

(Combinations of positions are members of a space: `Space.sample`.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from esmkit.applications.design.measured import Measured
from esmkit.applications.design.space import Space, substituted
from esmkit.errors import InvalidConfigError

_TRIES = 5
"""For each that is wanted: a small space has fewer offspring than one may want."""


def offspring(space: Space, parents: Sequence[str], number: int, random: np.random.Generator) -> list[str]:
    """Children of two random parents that are members of the space.

    Where its parents differ, a child has the residue of either; every second child gets a random residue at one random
    position that may change, and so does each that would be equal to a parent.

    Args:
        space: what may change.
        parents: the best variants so far.
        number: how many are wanted; fewer come back where most tries give what is there already or is no member.
        random: decides.

    Returns:
        Different sequences, in the order in which they were made; no parent is among them.
    """
    found: dict[str, None] = {}
    known = set(parents)
    for _ in range(_TRIES * number):
        if len(found) == number:
            break
        first, second = (parents[int(random.integers(len(parents)))] for _ in range(2))
        child = _crossed(first, second, random)
        if random.random() < 0.5 or child in known:
            index = space.indices[random.integers(len(space.indices))]
            residues = space.parent[index] + space.choices[index]
            child = substituted(child, index, residues[random.integers(len(residues))])
        if space.holds(child) and child not in known:
            found[child] = None
    return list(found)


def offspring_of_best(
    space: Space,
    measured: Measured,
    number: int,
    random: np.random.Generator,
    *,
    parents: int,
    goal: Literal["max", "min"] = "max",
) -> list[str]:
    """Offspring of the best measured variants, see `offspring`.

    Args:
        space: what may change.
        measured: earlier rounds.
        number: how many are wanted.
        random: decides.
        parents: how many of the best, at most.
        goal: whether high labels are the best, or low ones.

    Raises:
        InvalidConfigError: none keeps the constraints.
    """
    sign = 1 if goal == "max" else -1
    best = np.argsort(-sign * measured.values, kind="stable")[:parents]
    found = offspring(space, [measured.sequences[at] for at in best], number, random)
    if not found:
        raise InvalidConfigError(
            "no offspring of the best measured variants keeps the constraints; allow more positions, residues or "
            "mutations",
            setting="generate",
        )
    return found


def _crossed(first: str, second: str, random: np.random.Generator) -> str:
    letters = list(first)
    for index, residue in enumerate(second):
        if residue != first[index] and random.random() < 0.5:
            letters[index] = residue
    return "".join(letters)
