"""Which models are in memory: as many as the budget holds, those used last."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

import torch

from esmkit.engine.budget import CPU_BATCH_BYTES
from esmkit.models.base import Family
from esmkit.types import ModelShape

BUSY_RESIDENCE_S = 30.0
"""A model that always has work keeps its place so long before it gives way to one that waits."""
POLL_S = 0.05
PROCESS_BYTES = 300 << 20
"""Python and torch in a runner, without any model."""


class Resident(Protocol):
    """A model as residency sees it; times are on the clock of the event loop."""

    memory_bytes: int
    used_s: float
    ready_s: float

    @property
    def is_ready(self) -> bool:
        """Whether it is loaded, and not about to go."""

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for its answers."""

    async def unload(self) -> None:
        """Finishes the batches on their way and frees the memory."""


class Residency:
    """Keeps loaded models within a memory budget.

    Args:
        budget_bytes: for all models together; None for no limit.
    """

    def __init__(self, budget_bytes: int | None) -> None:
        self.budget_bytes = budget_bytes
        self._residents: list[Resident] = []
        self._turn = asyncio.Lock()

    async def enter(self, model: Resident) -> None:
        """Waits until the model fits, and unloads others for it: idle ones, those not used for longest first."""
        async with self._turn:
            while not self._fits(model):
                victim = self._victim(asyncio.get_running_loop().time())
                if victim is None:
                    await asyncio.sleep(POLL_S)
                else:
                    await victim.unload()
                    self.leave(victim)
            self._residents.append(model)

    def leave(self, model: Resident) -> None:
        """The memory of a model is free again."""
        if model in self._residents:
            self._residents.remove(model)

    def _fits(self, model: Resident) -> bool:
        held = sum(resident.memory_bytes for resident in self._residents)
        if self.budget_bytes is None or not self._residents:  # alone it may run, even if it took more than estimated
            return True
        return held + model.memory_bytes <= self.budget_bytes

    def _victim(self, now_s: float) -> Resident | None:
        loaded = [resident for resident in self._residents if resident.is_ready]
        may_go = [each for each in loaded if each.is_idle or now_s - each.ready_s >= BUSY_RESIDENCE_S]
        return min(may_go, key=lambda each: (not each.is_idle, each.used_s), default=None)


def memory_estimate(family: Family, shape: ModelShape, dtype: torch.dtype, batch_tokens: int | None) -> int:
    """Bytes that a runner of such a model takes: process, weights, and activations of a full batch."""
    with torch.device("meta"):
        numbers = sum(parameter.numel() for parameter in family.build(shape).parameters())
    activations = (
        CPU_BATCH_BYTES if batch_tokens is None else batch_tokens * family.activation_bytes(shape, dtype.itemsize)
    )
    return PROCESS_BYTES + numbers * dtype.itemsize + activations


def resident_bytes(pid: int) -> int:
    """Memory that a process holds at the moment; 0 where there is no /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * 4096
