"""Policies of scaling, as the simulation asks them: a fixed number, a schedule, the HPA of the chart, Ray Serve."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Load:
    """What one replica that takes requests has to do: tokens that wait in it, and whether it computes."""

    waiting_tokens: int
    is_busy: bool


class Policy(Protocol):
    """How many replicas there shall be; asked every `period_s`."""

    period_s: float

    def wanted(self, now_s: float, size: int, loads: Sequence[Load], *, somebody_waits: bool = False) -> int:
        """The number.

        Args:
            now_s: the time.
            size: replicas that are there or coming.
            loads: of those that are there.
            somebody_waits: whether requests wait for a first replica.
        """


@dataclass
class Fixed:
    """Always as many."""

    replicas: int
    period_s: float = 24 * HOUR_S

    def wanted(self, now_s: float, size: int, loads: Sequence[Load], *, somebody_waits: bool = False) -> int:  # noqa: D102
        return self.replicas


@dataclass
class Scheduled:
    """Some in office hours, others else; a little early, as starting takes a while."""

    day: int
    night: int
    hours: tuple[float, float] = (7.9, 19.0)
    period_s: float = 60.0

    def wanted(self, now_s: float, size: int, loads: Sequence[Load], *, somebody_waits: bool = False) -> int:  # noqa: D102
        return self.day if self.hours[0] <= now_s / HOUR_S < self.hours[1] else self.night


@dataclass
class Hpa:
    """The HorizontalPodAutoscaler of the chart: queued tokens as of the last scrapes, its limits up and down."""

    target_tokens: float
    least: int
    most: int
    scrape_s: float = 30.0
    down_after_s: float = 300.0
    period_s: float = 15.0
    _seen: deque[tuple[float, int, int, int]] = field(default_factory=deque)

    def wanted(self, now_s: float, size: int, loads: Sequence[Load], *, somebody_waits: bool = False) -> int:  # noqa: D102
        read = next((seen[2] for seen in reversed(self._seen) if seen[0] <= now_s - self.scrape_s), 0)
        ratio = read / (self.target_tokens * size)
        asked = size if abs(ratio - 1) <= 0.1 else ceil(read / self.target_tokens)
        self._seen.append((now_s, size, sum(load.waiting_tokens for load in loads), asked))
        while self._seen[0][0] < now_s - self.down_after_s:
            self._seen.popleft()
        before = {ago_s: next(seen[1] for seen in self._seen if seen[0] >= now_s - ago_s) for ago_s in (30, 60)}
        if asked > size:
            asked = min(asked, max(2 * before[30], before[30] + 2))
        elif asked < size:
            asked = max(max(seen[3] for seen in self._seen), ceil(before[60] / 2))
            asked = min(asked, size)
        return min(max(asked, self.least), self.most)


@dataclass
class RayServe:
    """Autoscaling of `esmkit serve --ray`: each replica says what its load is worth; the delays of the settings."""

    target_tokens: float
    least: int
    most: int
    up_after_s: float = 5.0
    down_after_s: float = 60.0
    idle_s: float = 300.0
    look_back_s: float = 5.0
    period_s: float = 1.0
    _seen: deque[tuple[float, float]] = field(default_factory=deque)
    _since: tuple[int, float] = (0, 0.0)

    def wanted(self, now_s: float, size: int, loads: Sequence[Load], *, somebody_waits: bool = False) -> int:  # noqa: D102
        worth = sum(max(load.waiting_tokens / self.target_tokens, load.is_busy) for load in loads)
        self._seen.append((now_s, worth))
        while self._seen[0][0] < now_s - self.look_back_s:
            self._seen.popleft()
        mean = sum(seen for _, seen in self._seen) / len(self._seen)
        if size == 0:
            return max(self.least, int(somebody_waits))  # at once
        asked = min(max(ceil(mean), self.least, int(somebody_waits)), self.most)
        asked = max(asked, 1 if size > 1 else 0)  # the last one goes by itself, and later
        way = (asked > size) - (asked < size)
        if way != self._since[0]:
            self._since = (way, now_s)
        delay_s = self.up_after_s if way > 0 else self.down_after_s if asked else self.idle_s
        if now_s - self._since[1] < delay_s:
            return size
        self._since = (0, now_s)
        return asked
