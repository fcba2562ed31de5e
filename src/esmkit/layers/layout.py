"""Where the rows of a packed batch lie: what attention, rotary positions and pooling need to know of it.

Shape suffixes: T packed tokens, R rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch


def pinned(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The host tensor where `device` can fetch it without anybody waiting: pinned memory for CUDA."""
    return tensor.pin_memory() if device.type == "cuda" else tensor


def upload(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A copy on the device, without waiting for it."""
    return pinned(tensor, device).to(device, non_blocking=True)


@dataclass(frozen=True, slots=True)
class Layout:
    """Row boundaries twice: as Python integers (no device sync in a loop) and as a tensor (for kernels).

    Attributes:
        bounds: R + 1 integers, where each row starts, then T; empty where only the device knows, see `on_device`.
        cu_seqlens: the same as int32 [R + 1] on the device.
        num_tokens: T.
        max_tokens: tokens of the longest row.
    """

    bounds: tuple[int, ...]
    cu_seqlens: torch.Tensor
    num_tokens: int
    max_tokens: int

    @classmethod
    def of(cls, bounds: tuple[int, ...], device: torch.device | str) -> Layout:
        """The layout of rows with these boundaries.

        Example:
            >>> Layout.of((0, 4, 9), "cpu").lengths
            [4, 5]
        """
        cu_seqlens = upload(torch.tensor(bounds, dtype=torch.int32), torch.device(device))
        longest = max((stop - start for start, stop in pairwise(bounds)), default=0)
        return cls(bounds, cu_seqlens, bounds[-1], longest)

    @classmethod
    def on_device(cls, cu_seqlens: torch.Tensor, *, num_tokens: int, max_tokens: int) -> Layout:
        """A layout for work that is recorded once and replayed with other boundaries: nothing may ask for its spans.

        Args:
            cu_seqlens: int32 [R + 1]; rows may be empty.
            num_tokens: T, where the last row ends.
            max_tokens: no row is longer.
        """
        return cls((), cu_seqlens, num_tokens, max_tokens)

    @property
    def num_rows(self) -> int:
        """R."""
        return self.cu_seqlens.shape[0] - 1

    @property
    def lengths(self) -> list[int]:
        """Tokens per row."""
        return [stop - start for start, stop in self.spans]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """(start, stop) of each row within T."""
        assert self.bounds, "only the device knows these boundaries"
        return list(pairwise(self.bounds))

    def to_tokens(self, values_R: torch.Tensor) -> torch.Tensor:
        """Repeats one value per row over the tokens of the row, without a device sync: [R, ...] -> [T, ...]."""
        tokens_T = torch.arange(self.num_tokens, dtype=torch.int32, device=self.cu_seqlens.device)
        return values_R[torch.bucketize(tokens_T, self.cu_seqlens[1:], right=True)]

    def positions(self) -> torch.Tensor:
        """0-based position of every token in its row, int64 [T]."""
        starts_T = self.to_tokens(self.cu_seqlens[:-1])
        return torch.arange(self.num_tokens, device=starts_T.device) - starts_T
