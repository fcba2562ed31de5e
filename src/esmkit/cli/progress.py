"""Progress on stderr: a bar in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from esmkit.alphabet import num_residues
from esmkit.errors import EsmkitError
from esmkit.types import Record

LINE_EVERY_S = 10.0
Records = Callable[[], Iterator[Record]]


class Progress:
    """Counts residues of finished records, and tokens for the time left.

    The total is counted by a thread that reads the input a second time while the first results are computed, so the
    run starts at once. Standard input cannot be read twice: then there is no time left to show.

    Args:
        records: opens the input from its start.
        masked: for each output, whether it costs one row per residue.
        enabled: False shows nothing and counts all the same.
        countable: whether the input can be read twice.
    """

    def __init__(self, records: Records, masked: Sequence[bool], *, enabled: bool, countable: bool = True) -> None:
        self.residues = 0
        self._console = Console(stderr=True)
        self._enabled = enabled
        self._live = enabled and self._console.is_terminal
        self._records, self._masked = records, masked
        self._started = self._last_line = time.perf_counter()
        self._total: int | None = None
        self._done_tokens = 0
        self._first = 0
        self._stopped = threading.Event()
        self._bar = Bar(
            TextColumn("esmkit"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[residues]:>13,} residues"),
            TextColumn("{task.fields[speed]:>9,.0f}/s"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            disable=not self._live,
            expand=True,
        )
        self._task = self._bar.add_task("", total=None, residues=0, speed=0.0)
        self._counter = threading.Thread(target=self._count, name="esmkit-count", daemon=True)
        self._countable = countable

    def __enter__(self) -> Self:
        self._bar.start()
        if self._enabled and self._countable:
            self._counter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._bar.stop()

    def skip_to(self, first: int) -> None:
        """Records before this index were finished by an earlier run."""
        if self._done_tokens == 0:
            self._first = first

    def tokens(self, done: int) -> None:
        """A batch of so many tokens was computed."""
        self._done_tokens += done
        self._show()

    def record(self, length: int) -> None:
        """A record of so many residues was finished."""
        self.residues += length

    def at(self, *, residues: int, tokens: int) -> None:
        """So much is finished, and computed, in all; others count it."""
        self.residues, self._done_tokens = residues, tokens
        self._show()

    @contextmanager
    def above(self) -> Iterator[None]:
        """Results are printed while the bar stands: to a terminal they would tear it, so it steps aside."""
        if sys.stdout.isatty():
            self._bar.stop()
        yield

    def _speed(self) -> float:
        return self.residues / max(1e-9, time.perf_counter() - self._started)

    def _show(self) -> None:
        if self._live:
            total = None if self._total is None else max(self._total, self._done_tokens)
            self._bar.update(
                self._task, completed=self._done_tokens, total=total, residues=self.residues, speed=self._speed()
            )
        elif self._enabled and time.perf_counter() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.perf_counter()
            self._console.print(
                f"esmkit: {self.residues:,} residues, {self._speed():,.0f}/s{self._left()}", highlight=False
            )

    def _left(self) -> str:
        if not self._total or not self._done_tokens:
            return ""
        share = min(1.0, self._done_tokens / self._total)
        seconds = (time.perf_counter() - self._started) * (1 / share - 1)
        left = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
        return f", {share:.0%}, about {left} left"

    def _count(self) -> None:
        try:
            self._total = self._count_tokens(islice(self._records(), self._first, None))
        except EsmkitError:
            return  # the run itself meets the same error and reports it

    def _count_tokens(self, records: Iterable[Record]) -> int | None:
        total = 0
        for record in records:
            if self._stopped.is_set():
                return None
            length = num_residues(record.sequence)
            total += (length + 2) * ((not all(self._masked)) + length * any(self._masked))
        return total
