"""Perplexity and accuracy on held-out proteins: the same hidden residues for the model and for Markov models.

15 % of the residues of every protein are hidden, as `esmkit.training.validation` does it. The model sees the others, on
both sides; a Markov model sees all residues before, hidden or not, and none after.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.engine import Model
from esmkit.training.corpus import Corpus
from esmkit.training.masking import MaskedBatch
from esmkit.training.validation import Validation

from .markov import Floats, Ints, Markov, V, symbols

CROP = 1024
"""Longer than any held-out protein: they are scored whole."""
ORDER = 5


def evaluate(model: Model, corpus: Path) -> dict[str, Any]:
    """Scores of the model, the unigram, the bigram and the Markov model of the highest order."""
    validation = Validation(Corpus.read([str(corpus / "valid.fasta.zst")]), CROP)
    score = validation.score(model.engine.loaded.module, model.shape.head_dim)
    markov = Markov.fit(Corpus.read([str(corpus / "train.fasta.zst")]), ORDER)
    unigram, bigram, *_, highest = markov_scores(markov, validation)
    return {
        "proteins": len(validation.corpus),
        "hidden_residues": score.residues,
        "order": ORDER,
        "strengths": list(markov.strengths),
        "model": {"perplexity": score.perplexity, "accuracy": score.accuracy},
        "unigram": unigram,
        "bigram": bigram,
        "markov": highest,
    }


def markov_scores(markov: Markov, validation: Validation) -> list[dict[str, float]]:
    """Perplexity and accuracy of every order on the hidden residues that are among the 20 amino acids."""
    sums = np.zeros((len(markov.counts), 2))
    residues = 0
    for batch in validation.batches():
        symbols_T, at_P = _whole(batch)
        residues += len(at_P)
        truth_P = symbols_T[at_P]
        for order, probabilities_PV in enumerate(markov.foretell(symbols_T, at_P)):
            sums[order] += _loss_and_hits(probabilities_PV, truth_P)
    return [{"perplexity": math.exp(loss / residues), "accuracy": hits / residues} for loss, hits in sums]


def _whole(batch: MaskedBatch) -> tuple[Ints, Ints]:
    """The batch without masks, and where hidden amino acids are."""
    tokens_T = batch.tokens.copy()
    tokens_T[batch.chosen] = batch.targets
    symbols_T = symbols(tokens_T)
    return symbols_T, batch.chosen[symbols_T[batch.chosen] < V]


def _loss_and_hits(probabilities_PV: Floats, truth_P: Ints) -> tuple[float, int]:
    loss = -np.log(probabilities_PV[np.arange(len(truth_P)), truth_P]).sum()
    return float(loss), int((probabilities_PV.argmax(1) == truth_P).sum())
