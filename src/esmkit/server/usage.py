"""Usage on its way to the store: added up in memory, written every few seconds and at the end."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime

from esmkit.errors import EsmkitError
from esmkit.server.logs import SERVER
from esmkit.store import Store, UsageRow

FLUSH_S = 5.0
"""What a crash may lose."""


class Ledger:
    """Counts requests, residues and seconds per key, model, action and day."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sums: dict[tuple[str | None, str, str, date], tuple[int, int, float]] = {}

    def add(self, *, key_id: str | None, model: str, action: str, residues: int, seconds: float) -> None:
        """Counts one answered request."""
        self._add((key_id, model, action, datetime.now(UTC).date()), 1, residues, seconds)

    async def flush(self) -> None:
        """Writes what was counted; what cannot be written is kept for the next time."""
        sums, self._sums = self._sums, {}
        if not sums:
            return
        try:
            await asyncio.to_thread(
                self._store.usage.add, [UsageRow(*place, *counts) for place, counts in sums.items()]
            )
        except EsmkitError as error:
            for place, counts in sums.items():
                self._add(place, *counts)
            SERVER.error("usage not written, kept for later: %s", error.message)

    def _add(self, place: tuple[str | None, str, str, date], requests: int, residues: int, seconds: float) -> None:
        known = self._sums.get(place, (0, 0, 0.0))
        self._sums[place] = (known[0] + requests, known[1] + residues, known[2] + seconds)

    async def run(self) -> None:
        """Flushes until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()
