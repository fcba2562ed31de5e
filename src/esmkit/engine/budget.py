"""How many tokens go into a batch: as many as run well, no more than free memory holds."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from esmkit.errors import InvalidConfigError
from esmkit.types import ModelShape

CPU_TOKENS = 4_096
CPU_BATCH_BYTES = 75_000_000
"""Activations of a CPU batch: 4,096 tokens at width 320, 1,024 at 1,280; larger batches were no faster, only slower to
answer, and what an allocator keeps of them is most of the memory of a long run."""
GPU_TOKENS = 65_536
_M_ARENA_MAX = -8  # in glibc's malloc.h
FREE_SHARE = 0.5
_USUAL_TOKENS = 512


def token_budget(per_token_bytes: int, device: torch.device, *, asked: int | None = None) -> int:
    """Tokens per batch for this model on this device.

    Args:
        per_token_bytes: memory that one token needs while the model runs.
        device: where it runs.
        asked: what the user chose; only checked.

    Raises:
        InvalidConfigError: `asked` is no positive number.
    """
    if asked is not None:
        if asked < 1:
            raise InvalidConfigError(f"batch tokens must be at least 1, not {asked}", setting="batch_tokens")
        return asked
    fits = int(FREE_SHARE * free_bytes(device) / per_token_bytes)
    most = min(fits, GPU_TOKENS if device.type == "cuda" else min(CPU_TOKENS, CPU_BATCH_BYTES // per_token_bytes))
    return max(64, 1 << (most.bit_length() - 1))  # a power of two: little noise in free memory changes nothing


def free_bytes(device: torch.device) -> int:
    """Memory that can still be used on the device; on a CPU what the kernel and the cgroup leave."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch's own, ready for use
        return torch.cuda.mem_get_info(device)[0] + cached
    return min(_available_bytes(), _cgroup_free_bytes())


def share_one_heap() -> None:
    """Lets all threads of this process allocate from one heap; for a process that is ours, before its threads start.

    glibc gives every new thread a heap of its own, and what one heap keeps free is of no use to the next: a long run,
    whose batches are computed by one thread after another, would hold the memory of a batch several times.
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_back_freed() -> None:
    """Hands freed memory to the system: glibc keeps it for each thread apart, and a long run has many, one by one."""
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _available_bytes() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 << 30  # not Linux: a laptop has that much


def _cgroup_free_bytes() -> int:
    """What cgroup v2 or v1 still allows, or no limit."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        root = Path("/sys/fs/cgroup")
        try:
            return max(0, int((root / limit).read_text()) - int((root / used).read_text()))
        except (OSError, ValueError):  # absent, or "max"
            continue
    return 1 << 62


@dataclass(frozen=True, slots=True)
class RecordCost:
    """What a record costs, in residues of a record of 510 (512 tokens): a long one costs more than its length says.

    A token of a row of S tokens takes F(S) = N (24 D^2 + 4 S D) FLOP, and a row masked at each residue takes the row L
    times. N cancels.

    Attributes:
        width: D of the model.
        plain: whether there is a row as it is,
        masked: and one for every residue.
        limit: residues of the longest row.

    Example:
        >>> cost = RecordCost(width=320, plain=True, masked=False, limit=2048)
        >>> cost(100), cost(510), cost(2046)
        (83, 510, 3338)
    """

    width: int
    plain: bool
    masked: bool
    limit: int

    def __call__(self, length: int) -> int:
        """What a record of so many residues costs."""
        rows = self.plain + self.masked * length
        row_tokens = min(length, self.limit) + 2
        return max(1, round(length * rows * (6 * self.width + row_tokens) / (6 * self.width + _USUAL_TOKENS)))


def shard_residues(shape: ModelShape, device: torch.device) -> int:
    """Residues per shard for about a minute of work, so that an interrupted run loses no more.

    A fixed function of model and kind of device, never of the machine, so that a resumed run cuts the same shards.
    """
    flop_per_residue = shape.num_layers * (24 * shape.width**2 + 4 * _USUAL_TOKENS * shape.width)
    rate = 2e14 if device.type == "cuda" else 1e11
    return min(5_000_000, max(4096, int(60 * rate / flop_per_residue)))
