"""What tools keep for later: results behind handles, bounded in memory and time, each for its owner alone."""

from __future__ import annotations

import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from esmkit.agent.errors import ToolError

MAX_BYTES = 256 * 2**20
MAX_OWNER_BYTES = 64 * 2**20
MAX_COUNT = 1000
LIFETIME_S = 3600.0


@dataclass(frozen=True, slots=True)
class _Kept:
    owner: str
    value: Mapping[str, Any]
    size_bytes: int
    until_s: float


class Results:
    """Results of one process, lost with it. Where room is needed, the owner's oldest go, then the oldest of all.

    Args:
        max_bytes: of all results.
        max_owner_bytes: of those of one owner.
        max_count: results.
        lifetime_s: after which a result is gone.
        clock: seconds that only rise.

    Example:
        >>> results = Results()
        >>> handle = results.put("ada", {"score": 1.5})
        >>> results.get("ada", handle)["score"]
        1.5
    """

    def __init__(
        self,
        *,
        max_bytes: int = MAX_BYTES,
        max_owner_bytes: int = MAX_OWNER_BYTES,
        max_count: int = MAX_COUNT,
        lifetime_s: float = LIFETIME_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes, self._max_owner_bytes = max_bytes, min(max_owner_bytes, max_bytes)
        self._max_count, self._lifetime_s, self._clock = max_count, lifetime_s, clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def put(self, owner: str, value: Mapping[str, Any]) -> str:
        """Keeps a result.

        Args:
            owner: who may ask for it.
            value: NumPy arrays, and what JSON can hold.

        Returns:
            A handle that nobody can guess.

        Raises:
            ToolError: it is larger than all that an owner may keep.
        """
        size = sum(_size_bytes(each) for each in value.values())
        if size > self._max_owner_bytes:
            raise ToolError(
                f"the result has {size / 2**20:.0f} MiB, {self._max_owner_bytes / 2**20:.0f} MiB can be kept; ask for "
                "fewer or shorter proteins"
            )
        handle = f"result-{secrets.token_urlsafe(16)}"
        self._kept[handle] = _Kept(owner, dict(value), size, self._clock() + self._lifetime_s)
        self._make_room(owner)
        return handle

    def get(self, owner: str, handle: str) -> Mapping[str, Any]:
        """The result of a handle.

        Raises:
            ToolError: it is unknown, expired, or somebody else's.
        """
        kept = self._kept.get(handle)
        if kept is None or kept.owner != owner or kept.until_s <= self._clock():
            minutes = self._lifetime_s / 60
            raise ToolError(
                f"no result has this handle: results are kept for {minutes:.0f} minutes at most, by one server, for "
                "who made them; make it again"
            )
        return kept.value

    def _make_room(self, owner: str) -> None:
        now = self._clock()
        for handle in [handle for handle, kept in self._kept.items() if kept.until_s <= now]:
            del self._kept[handle]
        own = [(handle, kept.size_bytes) for handle, kept in self._kept.items() if kept.owner == owner]
        excess = sum(size for _, size in own) - self._max_owner_bytes
        for handle, size in own:
            if excess <= 0:
                break
            del self._kept[handle]
            excess -= size
        total = sum(kept.size_bytes for kept in self._kept.values())
        while total > self._max_bytes or len(self._kept) > self._max_count:
            total -= self._kept.popitem(last=False)[1].size_bytes


def _size_bytes(value: Any) -> int:
    return int(value.nbytes) if isinstance(value, np.ndarray) else len(json.dumps(value))
