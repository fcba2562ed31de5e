"""From clean records to packed batches: length policy, windows, rows, token budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from esmkit import alphabet
from esmkit.errors import InvalidConfigError, SequenceTooLongError
from esmkit.types import IntArray, Record, Row, TokenBatch


@dataclass(frozen=True, slots=True)
class LengthPolicy:
    """What happens to a sequence of more than `limit` residues.

    Attributes:
        on_long: `error`; `window` (overlapping windows of at most `limit` residues, averaged where they overlap);
            `truncate` (the first `limit` residues).
        limit: residues.
    """

    on_long: Literal["error", "window", "truncate"] = "error"
    limit: int = 2048

    def __post_init__(self) -> None:
        if self.on_long not in ("error", "window", "truncate"):
            raise InvalidConfigError(f"long={self.on_long!r}: choose error, window or truncate", setting="long")
        if self.limit < 4:
            raise InvalidConfigError(f"the length limit must be at least 4 residues, not {self.limit}", setting="limit")

    @property
    def overlap(self) -> int:
        """Residues that neighbouring windows share at least: a quarter of a window."""
        return self.limit // 4


def windows(record: Record, length: int, policy: LengthPolicy) -> list[tuple[int, int]]:
    """The stretches of a record that are computed, as 0-based half-open (start, stop).

    Args:
        record: the record, for the error.
        length: its residues.
        policy: what to do when it is longer than the limit.

    Returns:
        `[(0, length)]` for a record within the limit.

    Raises:
        SequenceTooLongError: it is longer and the policy says error.

    Example:
        >>> windows(Record(0, "a", "M" * 10), 10, LengthPolicy("window", limit=6))
        [(0, 6), (4, 10)]
    """
    if length <= policy.limit:
        return [(0, length)]
    if policy.on_long == "truncate":
        return [(0, policy.limit)]
    if policy.on_long == "window":
        steps = -(-(length - policy.limit) // (policy.limit - policy.overlap))
        starts = np.linspace(0, length - policy.limit, steps + 1).round().astype(int).tolist()
        return [(start, start + policy.limit) for start in starts]
    where = {"source": record.origin.source, "line": record.origin.line} if record.origin else {}
    place = f" ({record.origin.source}, line {record.origin.line})" if record.origin else ""
    raise SequenceTooLongError(
        f"record {record.id!r}{place} has {length} residues, the limit is {policy.limit}; choose --long window or "
        f"--long truncate, or raise the limit (--max-length {length})",
        record_id=record.id,
        length=length,
        limit=policy.limit,
        **where,  # type: ignore[arg-type]
    )


def window_rows(ids: IntArray, spans: Sequence[tuple[int, int]]) -> list[Row]:
    """Rows for the windows of one record.

    Args:
        ids: uint8 token ids of the whole record between cls and eos.
        spans: what `windows` gave.
    """
    if len(spans) == 1:
        start, stop = spans[0]
        whole = stop - start == len(ids) - 2
        return [Row(ids if whole else _between_cls_and_eos(ids[1 + start : 1 + stop]), start)]
    covered = np.zeros(len(ids) - 2, dtype=np.float32)
    for start, stop in spans:
        covered[start:stop] += 1
    return [Row(_between_cls_and_eos(ids[1 + a : 1 + b]), a, 1 / covered[a:b]) for a, b in spans]


def _between_cls_and_eos(ids: IntArray) -> IntArray:
    return np.concatenate(([alphabet.CLS_ID], ids, [alphabet.EOS_ID])).astype(np.uint8)


def masked_row(row: Row, index: int) -> Row:
    """The row with one residue replaced by <mask>; `index` is 0-based in the row."""
    tokens = row.tokens.copy()
    tokens[1 + index] = alphabet.MASK_ID
    return Row(tokens, row.start, row.weights, index)


def pack(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Groups rows into batches of at most `token_budget` tokens, rows of like length together.

    A row longer than the budget is a batch of its own.

    Args:
        lengths: tokens per row.
        token_budget: tokens per batch.

    Returns:
        Lists of row indices, longest rows first; every row once.

    Example:
        >>> pack([5, 9, 4], 10)
        [[1], [0, 2]]
    """
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if lengths[index] > room:
            batches.append([])
            room = token_budget
        batches[-1].append(index)
        room -= lengths[index]
    return batches


def collate(rows: Sequence[Row]) -> TokenBatch:
    """Packs rows end to end."""
    lengths = np.array([len(row.tokens) for row in rows], dtype=np.int32)
    cu_seqlens = np.concatenate(([0], lengths.cumsum())).astype(np.int32)
    return TokenBatch(
        tokens=np.concatenate([row.tokens for row in rows]).astype(np.int64),
        lengths=lengths,
        cu_seqlens=cu_seqlens,
    )
