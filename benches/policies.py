"""How peers that pad put sequences into batches, and how much they pad."""

from __future__ import annotations

from collections.abc import Sequence

TUNED_TOKENS = 4096
Batches = list[list[int]]


def in_file_order(lengths: Sequence[int], size: int = 8) -> Batches:
    """Batches of `size` sequences as they come, as in most examples.

    Example:
        >>> in_file_order([5, 3, 4], size=2)
        [[0, 1], [2]]
    """
    return [list(range(first, min(first + size, len(lengths)))) for first in range(0, len(lengths), size)]


def sorted_by_length(lengths: Sequence[int], tokens: int = TUNED_TOKENS) -> Batches:
    """Shortest first, as many as fit into `tokens` with padding counted.

    Args:
        lengths: tokens per sequence.
        tokens: padded tokens per batch.

    Example:
        >>> sorted_by_length([5, 3, 4], tokens=8)
        [[1, 2], [0]]
    """
    batches: Batches = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not batches or lengths[index] * (len(batches[-1]) + 1) > tokens:
            batches.append([])
        batches[-1].append(index)
    return batches


def padding(lengths: Sequence[int], batches: Batches) -> float:
    """Computed tokens over real tokens; 1.0 is no padding.

    Example:
        >>> padding([5, 3], [[0, 1]])
        1.25
    """
    computed = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    return computed / sum(lengths)


def budget_without_artefact(lengths: Sequence[int], whole: Sequence[int]) -> int:
    """The largest budget, up to TUNED_TOKENS, that pads a part of a file as little as TUNED_TOKENS pads the whole.

    A few sequences of very different lengths share a batch of 4,096 tokens, which no large file makes a peer do.

    Args:
        lengths: tokens per sequence of the part.
        whole: tokens per sequence of the file that it stands for.
    """
    fair = padding(whole, sorted_by_length(whole))
    budgets = (TUNED_TOKENS, 2048, 1024)
    return next((b for b in budgets if padding(lengths, sorted_by_length(lengths, b)) <= 1.05 * fair), 512)
