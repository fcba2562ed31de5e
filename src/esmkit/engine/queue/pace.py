"""How fast a runner is, measured on the batches that it did: for the size of batches and for predictions."""

from __future__ import annotations

BATCH_S = 0.25
"""A batch takes about so long at most, so that a short request behind a long one waits no longer."""
LEAST_ROOM = 512
"""Tokens below which a batch runs no more efficiently per token (measured on a CPU)."""
TELLING = LEAST_ROOM // 2
"""Tokens of a batch whose time tells how fast larger ones are; that of smaller ones is mostly what any batch costs."""
KEPT = 0.9
"""Share of the past that stays in a mean when a new value comes."""


class Pace:
    """Tokens per second of one runner, and how long batches of each size take.

    Attributes:
        is_rough: its speed is that of small batches, because there was no larger one yet.
    """

    def __init__(self) -> None:
        self._tokens, self._seconds = 0.0, 0.0
        self.is_rough = True
        self._batch_s: dict[int, float] = {}

    @property
    def tokens_per_s(self) -> float:
        """Recent speed, of batches of at least TELLING tokens once there was one; 0 before the first batch."""
        return self._tokens / self._seconds if self._seconds else 0.0

    def note(self, num_tokens: int, seconds: float) -> None:
        """Learns from one batch."""
        is_small = num_tokens < TELLING
        if self.is_rough and not is_small:
            self._tokens, self._seconds, self.is_rough = 0.0, 0.0, False
        if self.is_rough or not is_small:
            self._tokens = KEPT * self._tokens + num_tokens
            self._seconds = KEPT * self._seconds + seconds
        size = num_tokens.bit_length()
        self._batch_s[size] = KEPT * self._batch_s.get(size, seconds) + (1 - KEPT) * seconds

    def room(self, batch_tokens: int) -> int:
        """Tokens for the next batch: what takes about BATCH_S, within what the runner can hold."""
        wanted = int(BATCH_S * self.tokens_per_s) or batch_tokens
        return min(batch_tokens, max(LEAST_ROOM, wanted))

    def expected_s(self, num_tokens: int) -> float:
        """How long a batch should take; 0 if there was none of its size."""
        return self._batch_s.get(num_tokens.bit_length(), 0.0)

    def retry_after_s(self, num_tokens: int) -> float:
        """When so many queued tokens will be done, 1 to 300 seconds from now."""
        return min(300.0, max(1.0, num_tokens / self.tokens_per_s)) if self.tokens_per_s else 1.0
