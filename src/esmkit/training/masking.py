"""What the model has to guess: 15 % of the residues of every row, hidden as BERT and ESM-2 hide them.

Of the chosen residues 80 % become <mask>, 10 % become a random amino acid and 10 % stay (Devlin et al. 2019,
arXiv:1810.04805; Rives et al. 2021, doi:10.1073/pnas.2016239118). The model scales its input by the share of <mask>
that it sees (token dropout), in training exactly as when it is used.

Shape suffixes: T packed tokens, R rows, M chosen residues.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from esmkit.alphabet import MASK_ID, STANDARD_IDS
from esmkit.types import IntArray, TokenBatch

CHOSEN = 0.15
TO_MASK, TO_RANDOM = 0.8, 0.1


@dataclass(frozen=True, slots=True)
class MaskedBatch:
    """Rows with hidden residues.

    Attributes:
        tokens: int64 [T], what the model sees.
        bounds: R + 1 row boundaries within T.
        chosen: int64 [M], indices into T of the residues to guess, ascending.
        targets: int64 [M], what they are.
    """

    tokens: IntArray
    bounds: tuple[int, ...]
    chosen: IntArray
    targets: IntArray


def mask(batch: TokenBatch, generator: np.random.Generator, *, only_masks: bool = False) -> MaskedBatch:
    """Hides residues of every row; cls and eos are never chosen.

    Each row has 15 % of its residues chosen, rounded up or down at random so that the mean is exact, and at least one.

    Args:
        batch: whole rows.
        generator: of every choice.
        only_masks: all that is chosen becomes <mask>, so that there is nothing but context to guess from.
    """
    chosen = _choose(batch, generator)
    targets = batch.tokens[chosen]
    tokens = batch.tokens.copy()
    fate = np.zeros(len(chosen)) if only_masks else generator.random(len(chosen))
    tokens[chosen[fate < TO_MASK]] = MASK_ID
    replaced = chosen[(fate >= TO_MASK) & (fate < TO_MASK + TO_RANDOM)]
    tokens[replaced] = generator.integers(STANDARD_IDS.start, STANDARD_IDS.stop, len(replaced))
    return MaskedBatch(tokens, tuple(batch.cu_seqlens.tolist()), chosen, targets)


def _choose(batch: TokenBatch, generator: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Per row the residues with the smallest of independent random keys, as many as are wanted."""
    lengths_R = batch.lengths.astype(np.int64)
    wanted_R = np.floor(CHOSEN * (lengths_R - 2) + generator.random(len(lengths_R))).astype(np.int64)
    starts_R = batch.cu_seqlens[:-1].astype(np.int64)
    keys_T = generator.random(batch.num_tokens)
    keys_T[starts_R] = keys_T[starts_R + lengths_R - 1] = 1.0  # cls and eos come last in their row
    row_T = np.repeat(np.arange(len(lengths_R)), lengths_R)
    order_T = np.lexsort((keys_T, row_T))
    rank_T = np.arange(batch.num_tokens) - starts_R[row_T]
    return np.sort(order_T[rank_T < np.maximum(wanted_R, 1)[row_T]])
