"""How far a run has come, and how far it goes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from esmkit.errors import InvalidConfigError

Unit = Literal["steps", "tokens", "epochs", "minutes"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the data the next batch is.

    Attributes:
        epoch: 0-based.
        batch: 0-based number in the epoch.
        epochs: passes over the data by then, as a fraction.
    """

    epoch: int = 0
    batch: int = 0
    epochs: float = 0.0


@dataclass(slots=True)
class Position:
    """How far a run has come.

    Attributes:
        step: optimizer steps done.
        tokens: tokens they saw, cls and eos included.
        seconds: time spent, over all processes that worked on the run; what a killed one lost is not in it.
        place: where in the data it goes on.
        best_loss: the lowest on the validation set, of a training that keeps its best weights.
        best_step: after which step that was.
        waited: validations since then.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    place: Place = field(default_factory=Place)
    best_loss: float = math.inf
    best_step: int = 0
    waited: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """When a run ends; the learning rate falls with the share that is used.

    Example:
        >>> Budget("steps", 200).share(Position(step=50))
        0.25
    """

    unit: Unit
    amount: float

    def __post_init__(self) -> None:
        if not 0 < self.amount < math.inf:
            raise InvalidConfigError(f"--{self.unit} must be positive, not {self.amount}", setting=self.unit)

    def share(self, position: Position) -> float:
        """How much of the budget is used, 0 to 1."""
        used = {
            "steps": position.step,
            "tokens": position.tokens,
            "epochs": position.place.epochs,
            "minutes": position.seconds / 60,
        }
        return min(1.0, used[self.unit] / self.amount)
