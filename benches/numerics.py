"""What 16 bit costs: representations and mutation scores against fp32 on the same device and the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import esmkit
from benches.proteins import proteins, representative
from benches.timing import Array
from esmkit.alphabet import STANDARD
from esmkit.types import Record

SEQUENCES, QUICK_SEQUENCES = 24, 2


def compare(folder: Path, dtypes: Sequence[str], *, device: str, quick: bool) -> dict[str, Any]:
    """Per dtype: largest and mean difference of the last layer, and rank correlation of mutation scores.

    A mutation score is log p(mutant) - log p(wild type) from one unmasked pass, for all 19 mutants at every position;
    the correlation is Spearman's, per protein, and the lowest and the mean are given.
    """
    records = representative(proteins(), QUICK_SEQUENCES if quick else SEQUENCES)
    layers, scores = _answers(folder, "float32", device, records)
    found: dict[str, Any] = {"sequences": len(records), "largest_value": max(float(np.abs(x).max()) for x in layers)}
    for dtype in dtypes:
        other_layers, other_scores = _answers(folder, dtype, device, records)
        differences = [np.abs(a - b) for a, b in zip(layers, other_layers, strict=True)]
        ranks = [spearman(a, b) for a, b in zip(scores, other_scores, strict=True)]
        found[dtype] = {
            "max_abs": max(float(each.max()) for each in differences),
            "mean_abs": float(np.concatenate([each.ravel() for each in differences]).mean()),
            "rank_correlation_mean": float(np.mean(ranks)),
            "rank_correlation_lowest": min(ranks),
        }
    return found


def _answers(folder: Path, dtype: str, device: str, records: Sequence[Record]) -> tuple[list[Array], list[Array]]:
    model = esmkit.load(folder, device=device, dtype=dtype)
    sequences = [record.sequence for record in records]
    layers = model.embed(sequences, pool="per_residue")
    scores = [mutation_scores(logits, s) for logits, s in zip(model.logits(sequences), sequences, strict=True)]
    return layers, scores


def mutation_scores(logits: Array, sequence: str) -> Array:
    """log p(mutant) - log p(wild type) of every single substitution at a standard residue.

    Args:
        logits: [L, 20] in the order of alphabet.STANDARD.
        sequence: L residues.
    """
    wild = [(position, STANDARD.index(letter)) for position, letter in enumerate(sequence) if letter in STANDARD]
    rows, columns = np.array(wild).T
    scores = logits[rows] - logits[rows, columns][:, None]
    is_mutant = np.arange(len(STANDARD)) != columns[:, None]
    mutants: Array = scores[is_mutant]
    return mutants


def spearman(a: Array, b: Array) -> float:
    """Rank correlation; equal values share their mean rank.

    Example:
        >>> round(spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 15.0])), 3)
        0.5
    """
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Array) -> Array:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    mean_ranks: Array = (last - (counts - 1) / 2)[inverse]
    return mean_ranks
