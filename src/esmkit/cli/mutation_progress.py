"""Progress and last lines of commands that count variants: a bar in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from esmkit.cli.progress import LINE_EVERY_S
from esmkit.cli.summary import Finished, peak_memory, peak_memory_bytes
from esmkit.sinks import Summary
from esmkit.types import Failure, Result


class VariantProgress:
    """Counts variants on stderr.

    Args:
        total: how many there will be, or None.
        enabled: False shows nothing.
    """

    def __init__(self, total: int | None, *, enabled: bool) -> None:
        self._console = Console(stderr=True)
        self._enabled, self._live = enabled, enabled and self._console.is_terminal
        self._total, self._done, self._first = total, 0, 0
        self._started = self._last_line = time.perf_counter()
        self._bar = Bar(
            TextColumn("esmkit"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("variants"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            disable=not self._live,
            expand=True,
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def skip_to(self, first: int) -> None:
        """Variants before this one were scored by an earlier run."""
        if self._done == self._first:
            self._done = self._first = first

    def advance(self) -> None:
        """One more is done."""
        self._show(self._done + 1)

    def at(self, done: int) -> None:
        """So many are done since the start; others count them."""
        self._show(self._first + done)

    def tokens(self, done: int) -> None:
        """Tokens are not shown."""

    def record(self, length: int) -> None:
        """One more variant is done."""
        self.advance()

    def _show(self, done: int) -> None:
        self._done = done
        if self._live:
            self._bar.update(self._task, completed=self._done)
        elif self._enabled and time.perf_counter() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.perf_counter()
            self._console.print(f"esmkit: {self._done:,} variants{self._left()}", highlight=False)

    @contextmanager
    def above(self) -> Iterator[None]:
        """Results are printed while the bar stands: to a terminal they would tear it, so it steps aside."""
        if sys.stdout.isatty():
            self._bar.stop()
        yield

    def _left(self) -> str:
        if not self._total or self._done == self._first:
            return ""
        spent = time.perf_counter() - self._started
        seconds = spent * (self._total - self._done) / (self._done - self._first)
        left = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
        return f" of {self._total:,}, about {left} left"


@dataclass(slots=True, kw_only=True)
class VariantSummary(Finished):
    """Counts of a finished command; of variants that failed, the first are in no file and named here."""

    variants: int = 0
    seconds: float = 0.0

    def count(self, item: Result | Failure) -> None:
        """One item that went to the screen."""
        self.variants += 1
        if isinstance(item, Failure):
            self.fail(item)

    def finished(self, done: Summary, seconds: float) -> None:
        """What stands on disk."""
        self.variants, self.seconds = done.records, seconds
        self.put(done)

    def report(self, *, quiet: bool, json: bool) -> None:
        """See `Finished.show`."""
        self.show(self.facts(), self.lines(), quiet=quiet, json=json)

    def facts(self) -> dict[str, object]:
        """As plain data; memory in bytes, time in seconds."""
        return {
            "variants": self.variants,
            **self.outcome(),
            "seconds": round(self.seconds, 3),
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def lines(self) -> list[str]:
        """As text for a terminal of 80 columns."""
        noun = "variant" if self.variants == 1 else "variants"
        return [f"{self.variants:,} {noun} in {self.seconds:.1f} s, {peak_memory()}", *self.outcome_lines()]
