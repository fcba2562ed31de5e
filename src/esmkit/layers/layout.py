"""Where the rows of a packed batch lie: what attention, rotary positions and pooling need to know of it.

Shape suffixes: T packed tokens, R rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch


@dataclass(frozen=True, slots=True)
class Layout:
    """Row boundaries twice: as Python integers (no device sync in a loop) and as a tensor (for kernels).

    Attributes:
        bounds: R + 1 integers, where each row starts, then T.
        cu_seqlens: the same as int32 [R + 1] on the device.
        max_tokens: tokens of the longest row.
    """

    bounds: tuple[int, ...]
    cu_seqlens: torch.Tensor
    max_tokens: int

    @classmethod
    def of(cls, bounds: tuple[int, ...], device: torch.device | str) -> Layout:
        """The layout of rows with these boundaries.

        Example:
            >>> Layout.of((0, 4, 9), "cpu").lengths
            [4, 5]
        """
        cu_seqlens = torch.tensor(bounds, dtype=torch.int32).to(device, non_blocking=True)
        return cls(bounds, cu_seqlens, max((stop - start for start, stop in pairwise(bounds)), default=0))

    @property
    def num_rows(self) -> int:
        """R."""
        return len(self.bounds) - 1

    @property
    def num_tokens(self) -> int:
        """T."""
        return self.bounds[-1]

    @property
    def lengths(self) -> list[int]:
        """Tokens per row."""
        return [stop - start for start, stop in pairwise(self.bounds)]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """(start, stop) of each row within T."""
        return list(pairwise(self.bounds))

    def to_tokens(self, values_R: torch.Tensor) -> torch.Tensor:
        """Repeats one value per row over the tokens of the row, without a device sync: [R, ...] -> [T, ...]."""
        lengths_R = self.cu_seqlens.diff()
        return torch.repeat_interleave(values_R, lengths_R, dim=0, output_size=self.num_tokens)

    def positions(self) -> torch.Tensor:
        """0-based position of every token in its row, int64 [T]."""
        starts_T = self.to_tokens(self.cu_seqlens[:-1])
        return torch.arange(self.num_tokens, device=starts_T.device) - starts_T
