"""Results kept in memory, so that a sequence that comes again costs no computing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np

from esmkit.engine.queue.spec import CacheStats
from esmkit.types import Record, Result

ENTRY_BYTES = 2048
"""Python objects around the arrays of one result, roughly."""


class ResultCache:
    """Keeps the results used last, up to a number of bytes.

    Args:
        max_bytes: for keys and results together; 0 keeps nothing.

    Example:
        >>> cache = ResultCache(10_000)
        >>> cache.put("key", Result(0, "a", {"mean": np.zeros(4)}))
        >>> cache.get("key", Record(5, "b", "MKT")).id
        'b'
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.stats = CacheStats()
        self._results: OrderedDict[Hashable, tuple[Result, int]] = OrderedDict()

    def get(self, key: Hashable, record: Record) -> Result | None:
        """The result for a record with this key, under its own index and id."""
        if not self.max_bytes:
            return None
        if key not in self._results:
            self.stats.misses += 1
            return None
        self.stats.hits += 1
        self._results.move_to_end(key)
        return replace(self._results[key][0], index=record.index, id=record.id)

    def put(self, key: Hashable, result: Result) -> None:
        """Keeps a result, whose arrays become read-only; the ones not used for longest make room."""
        size = ENTRY_BYTES + sum(_num_bytes(value) for value in result.arrays.values())
        if size > self.max_bytes or key in self._results:
            return
        for value in result.arrays.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        self._results[key] = result, size
        self.stats.held_bytes += size
        while self.stats.held_bytes > self.max_bytes:
            _, (_, dropped) = self._results.popitem(last=False)
            self.stats.held_bytes -= dropped
            self.stats.evictions += 1


def _num_bytes(value: Any) -> int:
    return value.nbytes if isinstance(value, np.ndarray) else len(str(value))
