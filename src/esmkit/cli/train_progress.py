"""Progress of a training run on stderr: a bar in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

LINE_EVERY_S = 30.0
SMOOTHING = 0.98
"""Share of the old value in the loss that is shown."""
NO_SCORES = frozenset({"step", "tokens", "epochs", "seconds"})
"""What a line of the log of a validation holds apart from scores."""


class TrainProgress:
    """Shows the lines of a training log as they come.

    Args:
        enabled: False shows nothing.
        scores_every_s: between two validations that get a line, at least.
    """

    def __init__(self, *, enabled: bool, scores_every_s: float = 0.0) -> None:
        self._scores_every_s = scores_every_s
        self._last_scores = -float("inf")
        self._console = Console(stderr=True)
        self._enabled = enabled
        self._live = enabled and self._console.is_terminal
        self._started = self._last_line = time.perf_counter()
        self._first = (0.0, 0)
        self._loss: float | None = None
        self._text = ""
        self._bar = Bar(
            TextColumn("esmkit"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            transient=True,
            disable=not self._live,
            expand=True,
        )
        self._task = self._bar.add_task("", total=1.0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, share: float, tokens: int) -> None:
        """The run starts, or goes on, from here: the clock of its pace starts now."""
        self._first, self._started = (share, tokens), time.perf_counter()

    def show(self, line: Mapping[str, Any], share: float) -> None:
        """One line of the log, and the share of the budget that is used."""
        if "validation_loss" in line:
            if time.perf_counter() - self._last_scores >= self._scores_every_s:
                self._last_scores = time.perf_counter()
                self._say(f"step {line['step']:,}, {line['tokens']:,} tokens: validation {scores(line)}")
            return
        loss = line["loss"]
        self._loss = loss if self._loss is None else SMOOTHING * self._loss + (1 - SMOOTHING) * loss
        text = f"loss {self._loss:.3f}, {self._pace(line['tokens'], share)}"
        self._bar.update(self._task, completed=share, description=text)
        if not self._live and time.perf_counter() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.perf_counter()
            self._say(f"step {line['step']:,}, {share:.1%}: {text}")

    def _pace(self, tokens: int, share: float) -> str:
        """Tokens per second of this process, and the time left at its pace."""
        spent = max(1e-9, time.perf_counter() - self._started)
        first_share, first_tokens = self._first
        speed = f"{(tokens - first_tokens) / spent:,.0f} tokens/s"
        left = spent * (1 - share) / max(1e-9, share - first_share)
        return f"{speed}, {left / 60:.0f} min left" if left >= 90 else f"{speed}, {left:.0f} s left"

    def _say(self, text: str) -> None:
        if self._enabled:
            self._console.print(f"esmkit: {text}", highlight=False, soft_wrap=True)


def scores(line: Mapping[str, Any]) -> str:
    """The scores of a validation in words; perplexity stands for the loss that it comes from.

    Example:
        >>> scores({"step": 1, "validation_loss": 2.9, "perplexity": 18.22, "accuracy": 0.103})
        'perplexity 18.220, accuracy 10.3%'
    """
    hidden = NO_SCORES | ({"validation_loss"} if "perplexity" in line else set())
    return ", ".join(
        f"{name.removeprefix('validation_')} {_shown(name, value)}"
        for name, value in line.items()
        if name not in hidden
    )


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.1%}" if name == "accuracy" else f"{value:.3f}"
