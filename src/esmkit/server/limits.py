"""How much one key may ask for: rates by the `limits` library, requests at a time, and memory for all of them."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string

from esmkit.errors import InvalidConfigError, OverloadedError
from esmkit.server.errors import AnswerTooLargeError, QuotaExceededError, RateLimitedError
from esmkit.server.logs import SERVER
from esmkit.server.settings import ServerSettings

RETRY_S = 5.0
"""A storage that failed is not asked again before, so that an outage does not cost every request a timeout."""
TIMEOUT_S = 1.0
_PING = RateLimitItemPerSecond(1)
Headers = dict[str, str]
Left = list[tuple[float, Headers]]
"""Per rule the share that is left, and the RateLimit headers that say so."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    item: RateLimitItem
    error: type[RateLimitedError] = RateLimitedError


_Count = Callable[[SlidingWindowCounterRateLimiter, list[_Rule], str, int], Awaitable[T]]


# Keys cannot be guessed; this is for whoever tries all the same, at the cost of everybody's database.
_FAILED_LOGINS = [_Rule("failed logins in 15 minutes", RateLimitItemPerMinute(10, 15))]


class Limiter:
    """Counts what every caller asks for; a rule without a number does not exist.

    While redis is away, every server counts for itself: limits become loose then, but they do not vanish, and nobody
    is refused because of an outage.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._shared = SlidingWindowCounterRateLimiter(_storage(settings.limits_storage_url))
        self._own = SlidingWindowCounterRateLimiter(storage_from_string("async+memory://"))
        self.is_shared = True
        per_second, per_minute = settings.limit_requests_per_s, settings.limit_residues_per_minute
        per_day = settings.limit_residues_per_day
        self._requests = [_Rule("requests per second", RateLimitItemPerSecond(per_second))] if per_second else []
        self._residues = [_Rule("residues per minute", RateLimitItemPerMinute(per_minute))] if per_minute else []
        if per_day:
            self._residues.append(_Rule("residues per day", RateLimitItemPerDay(per_day), QuotaExceededError))
        self._max_concurrent = settings.limit_concurrent
        self._running: Counter[str] = Counter()

    async def take_request(self, caller: str) -> Left:
        """Counts one request; tells what is left.

        Raises:
            RateLimitedError: there were too many.
        """
        return await self._take(self._requests, caller, 1)

    async def take_residues(self, caller: str, residues: int) -> Left:
        """Counts the residues of a request; tells what is left.

        Raises:
            RateLimitedError: too many within a minute.
            QuotaExceededError: too many within a day.
        """
        return await self._take(self._residues, caller, residues)

    async def check_login(self, address: str) -> None:
        """Refuses an address from which too many logins failed.

        Raises:
            RateLimitedError: says when to come back.
        """
        await self._counted(_check, _FAILED_LOGINS, address, 1)

    async def note_failed_login(self, address: str) -> None:
        """Counts a login that failed.

        Raises:
            RateLimitedError: others failed at the same time, and they were too many.
        """
        await self._counted(_taken, _FAILED_LOGINS, address, 1)

    @contextmanager
    def running(self, caller: str) -> Iterator[None]:
        """Counts a request while it runs.

        Raises:
            RateLimitedError: the caller has too many already.
        """
        if self._max_concurrent is not None and self._running[caller] >= self._max_concurrent:
            raise RateLimitedError(
                f"{self._max_concurrent} requests at a time are allowed and run already; wait for one", retry_after_s=1
            )
        self._running[caller] += 1
        try:
            yield
        finally:
            self._running[caller] -= 1
            if not self._running[caller]:
                del self._running[caller]

    async def watch(self) -> None:
        """Asks the storage whether it is there, from time to time, until cancelled; tells when that changes."""
        while True:
            try:
                await self._shared.get_window_stats(_PING, "ping")
                if not self.is_shared:
                    self.is_shared = True
                    SERVER.info("rates are counted in limits_storage_url again")
            except StorageError as error:
                self._note_failure(str(error.storage_error))
            await asyncio.sleep(RETRY_S)

    async def _take(self, rules: list[_Rule], caller: str, cost: int) -> Left:
        return await self._counted(_taken, rules, caller, cost) if rules else []

    async def _counted(self, count: _Count[T], rules: list[_Rule], caller: str, cost: int) -> T:
        if self.is_shared:
            try:
                return await count(self._shared, rules, caller, cost)
            except StorageError as error:
                self._note_failure(str(error.storage_error))
        return await count(self._own, rules, caller, cost)

    def _note_failure(self, reason: str) -> None:
        if self.is_shared:
            self.is_shared = False
            SERVER.error("limits_storage_url cannot be used, rates are counted per server until it is back: %s", reason)


def _storage(url: str) -> Any:
    timeouts = {} if url.startswith("memory:") else {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}
    try:
        return storage_from_string(f"async+{url}", implementation="redispy", wrap_exceptions=True, **timeouts)
    except (ConfigurationError, ImportError, ValueError) as error:
        lacking = "; redis needs: pip install 'esmkit[redis]'" if "prerequisite" in str(error) else ""
        raise InvalidConfigError(
            f"limits_storage_url cannot be used{lacking}; write memory:// or redis://:PASSWORD@HOST:PORT",
            setting="limits_storage_url",
        ) from None


async def _check(strategy: SlidingWindowCounterRateLimiter, rules: list[_Rule], caller: str, cost: int) -> None:
    for rule in rules:
        if not await strategy.test(rule.item, caller, cost=cost):
            raise await _refusal(strategy, rule, caller, cost)


async def _taken(strategy: SlidingWindowCounterRateLimiter, rules: list[_Rule], caller: str, cost: int) -> Left:
    await _check(strategy, rules, caller, cost)
    left: Left = []
    for rule in rules:
        if not await strategy.hit(rule.item, caller, cost=cost):
            raise await _refusal(strategy, rule, caller, cost)
        reset_at, remaining = await strategy.get_window_stats(rule.item, caller)
        left.append((remaining / rule.item.amount, _headers(rule.item, remaining, reset_at)))
    return left


async def _refusal(strategy: SlidingWindowCounterRateLimiter, rule: _Rule, caller: str, cost: int) -> RateLimitedError:
    reset_at, remaining = await strategy.get_window_stats(rule.item, caller)
    window_s, lacking = rule.item.get_expiry(), cost - remaining
    wait_s = min(window_s, max(reset_at - time.time(), window_s * lacking / rule.item.amount))
    return rule.error(
        f"{rule.item.amount} {rule.name} are allowed, {remaining} are left, this request needs {cost}",
        retry_after_s=wait_s,
        headers=_headers(rule.item, remaining, reset_at),
    )


def _headers(item: RateLimitItem, remaining: int, reset_at: float) -> Headers:
    return {
        "RateLimit-Limit": str(item.amount),
        "RateLimit-Remaining": str(remaining),
        "RateLimit-Reset": str(max(0, math.ceil(reset_at - time.time()))),
    }


def tightest(left: Left) -> Headers:
    """The headers of the rule that is nearest to its limit; none without rules."""
    return min(left, key=lambda each: each[0], default=(0.0, {}))[1]


class RequestMemory:
    """Bounds what one answer holds, and what all bodies and answers in work take, so that memory stays flat."""

    def __init__(self, *, max_answer_bytes: int, max_answers_bytes: int) -> None:
        self._max_answer, self._max_all = max_answer_bytes, max_answers_bytes
        self._held = 0

    @contextmanager
    def growing(self) -> Iterator[Callable[[int], None]]:
        """Gives a function that takes so many bytes more; all of them are free again at the end.

        The function raises:
            OverloadedError: more than is free now.
        """
        taken_bytes = 0

        def take(size_bytes: int) -> None:
            nonlocal taken_bytes
            if self._held and self._held + size_bytes > self._max_all:
                raise OverloadedError("too many large requests are in work; try again", retry_after_s=2)
            self._held += size_bytes
            taken_bytes += size_bytes

        try:
            yield take
        finally:
            self._held -= taken_bytes

    @contextmanager
    def hold(self, size_bytes: int, *, expansion: int = 1) -> Iterator[None]:
        """Holds memory for one answer.

        Args:
            size_bytes: its numbers as fp32.
            expansion: how many times that it takes to write them.

        Raises:
            AnswerTooLargeError: more than one answer may have.
            OverloadedError: more than is free now.
        """
        if size_bytes > self._max_answer:
            raise AnswerTooLargeError(
                f"the answer would hold {size_bytes / 1e6:.0f} MB of numbers, at most {self._max_answer / 1e6:.0f} MB "
                "are allowed; send fewer items, or include fewer layers, heads or outputs"
            )
        with self.growing() as take:
            take(size_bytes * expansion)
            yield
