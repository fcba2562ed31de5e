"""What all workers together have done so far, and how often each shard was begun: an actor beside the driver."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

REPORT_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Progress:
    """Work of this run: residues and records that are finished, tokens that were computed."""

    residues: int = 0
    records: int = 0
    tokens: int = 0

    def __add__(self, other: Progress) -> Progress:
        return Progress(self.residues + other.residues, self.records + other.records, self.tokens + other.tokens)


class Tally:
    """Runs in an actor of its own; a shard that is begun again starts at nothing."""

    def __init__(self) -> None:
        self._attempts: Counter[int] = Counter()
        self._progress: dict[int, Progress] = {}

    def begin(self, number: int) -> int:
        """How often a shard was begun, this time included."""
        self._attempts[number] += 1
        self._progress[number] = Progress()
        return self._attempts[number]

    def report(self, number: int, progress: Progress) -> None:
        """How far a shard is."""
        self._progress[number] = progress

    def total(self) -> Progress:
        """Over all shards."""
        return sum(self._progress.values(), Progress())


class ShardMeter:
    """Counts for one shard, and tells the tally now and then."""

    def __init__(self, tally: Any, number: int) -> None:
        self._tally, self._number = tally, number
        self._residues = self._records = self._tokens = 0
        self._told_at = time.monotonic()

    def tokens(self, done: int) -> None:
        """So many tokens were computed."""
        self._tokens += done
        if time.monotonic() - self._told_at >= REPORT_EVERY_S:
            self.tell()

    def record(self, length: int) -> None:
        """A record of so many residues was finished."""
        self._residues += length
        self._records += 1

    def tell(self) -> None:
        """Without waiting for an answer."""
        self._told_at = time.monotonic()
        self._tally.report.remote(self._number, Progress(self._residues, self._records, self._tokens))
