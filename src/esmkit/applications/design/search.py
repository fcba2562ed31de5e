"""Search from the parent, one mutation after another: greedy, or with a beam of the best so far."""

from __future__ import annotations

import numpy as np

from esmkit.applications.design.objective import Objective
from esmkit.applications.design.space import Space

KEPT = 10_000
"""Of each step so many are handed on to choose from: a long protein has more variants than memory should hold."""


def beam(objective: Objective, space: Space, *, width: int) -> dict[str, str]:
    """All single steps from the best `width` sequences of the step before, as many steps as mutations are allowed.

    With a width of 1 that is the greedy search: the best single mutation, then the best one to add to it.

    Returns:
        The best members of the space at each step, with the step.
    """
    front = [space.parent]
    found: dict[str, str] = {}
    for step in range(1, space.most + 1):
        children = list(dict.fromkeys(child for sequence in front for child in space.steps(sequence)))
        ranked = np.argsort(-objective(children), kind="stable")
        front = [children[at] for at in ranked[:width]]
        if step >= space.fewest:
            found |= dict.fromkeys([children[at] for at in ranked[: max(width, KEPT)]], f"step {step}")
    return found
