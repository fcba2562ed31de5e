"""What the model must compute at least, by formula: work per token, and the roofs that follow from a machine's rates.

A token of a row of L tokens (cls and eos included) costs N (24 d^2 + 4 L d) FLOP in the encoder of N layers of width d:
8 d^2 for the four attention projections, 16 d^2 for the feed-forward layer, 4 L d for scores and weighted values.
"""

from __future__ import annotations

from collections.abc import Iterable

MOVED_WIDTHS = 22
"""Numbers read or written per token and layer, in units of the width, when all elementwise work is fused into GEMMs."""


def flop_per_token(num_layers: int, width: int, length: int) -> int:
    """FLOP of the encoder for one token of a row of `length` tokens.

    Example:
        >>> round(flop_per_token(33, 1280, 512) / 1e9, 3)  # ESM-2 650M
        1.384
    """
    return num_layers * (24 * width**2 + 4 * length * width)


def flop_of(num_layers: int, width: int, lengths: Iterable[int]) -> int:
    """FLOP of the encoder for whole rows of so many tokens each."""
    return sum(length * flop_per_token(num_layers, width, length) for length in lengths)


def moved_bytes_per_token(num_layers: int, width: int, bytes_per_number: int = 2) -> int:
    """Bytes of activations that a fused implementation moves through memory for one token.

    Example:
        >>> round(3.35e12 / moved_bytes_per_token(33, 1280) / 1e6, 1)  # million tokens/s of 650M on an H100
        1.8
    """
    return MOVED_WIDTHS * num_layers * width * bytes_per_number
