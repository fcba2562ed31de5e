"""What decides the numbers of a training run: two runs with the same recipe, data and start are the same run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from esmkit.errors import InvalidConfigError
from esmkit.training.budget import Budget

Decay = Literal["linear", "cosine", "trapezoid"]
Precision = Literal["float32", "bfloat16"]
PLATEAU = 0.8
"""Share of the budget that a trapezoid spends at the peak rate."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained. Beta, epsilon and weight decay are those of ESM-2 (Lin et al. 2023, supplement A.2).

    Attributes:
        budget: when it ends.
        crop: residues of a row at most; a longer sequence gives a random stretch, another one each epoch.
        batch_tokens: tokens of one pass through the model at most.
        accumulate: passes per step of the optimizer.
        learning_rate: at its peak.
        warmup_steps: steps in which it rises to the peak, linearly.
        decay: how it falls: `linear`, `cosine`, or `trapezoid` (flat, then linear over the last fifth).
        final_rate: what it falls to, as a share of the peak.
        weight_decay: of matrices; norms and biases have none.
        clip: largest norm of a gradient.
        validations: how many times the held-out sequences are scored, evenly over the budget.
        seed: of the initial weights, order, crops and masks.
        precision: in which the passes compute; weights and optimizer stay in float32.
        patience: validations without a better one after which a training on labels ends; None waits for the budget.
    """

    budget: Budget
    crop: int = 512
    batch_tokens: int = 4096
    accumulate: int = 4
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    decay: Decay = "linear"
    final_rate: float = 0.0
    weight_decay: float = 0.01
    clip: float = 1.0
    validations: int = 10
    seed: int = 0
    precision: Precision = "float32"
    patience: int | None = None

    def __post_init__(self) -> None:
        for setting, least in (("crop", 4), ("batch_tokens", 1), ("accumulate", 1), ("warmup_steps", 0)):
            if getattr(self, setting) < least:
                raise _wrong(setting, f"at least {least}", getattr(self, setting))
        for setting in ("learning_rate", "clip"):
            if not 0 < getattr(self, setting) < math.inf:
                raise _wrong(setting, "positive", getattr(self, setting))
        if not 0 <= self.final_rate <= 1:
            raise _wrong("final_rate", "between 0 and 1", self.final_rate)

    def rate(self, step: int, share: float) -> float:
        """The learning rate of a step.

        Args:
            step: 0-based.
            share: of the budget used before it.

        Example:
            >>> recipe = Recipe(Budget("steps", 100), learning_rate=1.0, warmup_steps=10)
            >>> [recipe.rate(step, step / 100) for step in (0, 50, 75)]
            [0.1, 0.5, 0.25]
        """
        falls_to = {
            "linear": 1.0 - share,
            "cosine": (1.0 + math.cos(math.pi * share)) / 2,
            "trapezoid": min(1.0, (1.0 - share) / (1.0 - PLATEAU)),
        }[self.decay]
        rises_to = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return self.learning_rate * rises_to * (self.final_rate + (1.0 - self.final_rate) * falls_to)


def _wrong(setting: str, allowed: str, found: object) -> InvalidConfigError:
    option = setting.replace("_", "-")
    return InvalidConfigError(f"--{option} must be {allowed}, not {found}", setting=setting)
