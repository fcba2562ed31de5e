"""How well the residues before a residue foretell it: interpolated Markov models, from the unigram up.

p_k(x | the k residues before) = (n(x, them) + a_k p_(k-1)(x | the k - 1 before)) / (n(them) + a_k): each order is a
Dirichlet prior for the next (MacKay & Peto 1995, doi:10.1017/S1351324900000218), and its weight a_k is the one, of
STRENGTHS, that foretells left-out sequences best.

Shape suffixes: T tokens, P residues to foretell, K residues of context (nearest first), V = 20 amino acids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from esmkit.alphabet import STANDARD_IDS
from esmkit.training.corpus import Corpus

Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

V = 20
OTHER = V
"""Stands in a context for the ends of a sequence, for every token that is no amino acid, and for all before these."""
STRENGTHS = tuple(2.0**power for power in range(-2, 21))
LEFT_OUT = 0.01
"""Share of the sequences on which the weights are chosen."""
_AT_ONCE = 1 << 23
"""Tokens counted in one go."""


@dataclass(frozen=True, slots=True)
class Markov:
    """Markov models of all orders up to one.

    Attributes:
        counts: per order K: int64 [21^K, V], how often each residue followed each context.
        strengths: per order, the weight of the order below; of order 0 that of the uniform distribution.
    """

    counts: Sequence[Ints]
    strengths: Sequence[float]

    @classmethod
    def fit(cls, corpus: Corpus, order: int) -> Markov:
        """Counts in all sequences but the last few, on which the weights are then chosen."""
        left_out = max(1, round(LEFT_OUT * len(corpus)))
        cut = int(corpus.starts[len(corpus) - left_out])
        model = cls(count(symbols(corpus.tokens[:cut]), order), [1.0])
        rest_T = symbols(corpus.tokens[cut:])
        at_P = np.flatnonzero(rest_T < V)
        truth_P = rest_T[at_P]
        contexts_PK = contexts(rest_T, at_P, order)
        probabilities_PV = model._unigram(len(at_P))
        for number in range(1, order + 1):
            counts_PV = model.counts[number][codes(contexts_PK[:, :number])]
            trials = [interpolated(counts_PV, probabilities_PV, strength) for strength in STRENGTHS]
            losses = [-np.log(trial[np.arange(len(at_P)), truth_P]).mean() for trial in trials]
            best = int(np.argmin(losses))
            probabilities_PV = trials[best]
            model = cls(model.counts, [*model.strengths, STRENGTHS[best]])
        return model

    def foretell(self, symbols_T: Ints, at_P: Ints) -> Iterator[Floats]:
        """Probabilities [P, V] of the residues at some places, order by order from 0."""
        contexts_PK = contexts(symbols_T, at_P, len(self.counts) - 1)
        probabilities_PV = self._unigram(len(at_P))
        yield probabilities_PV
        for number in range(1, len(self.counts)):
            counts_PV = self.counts[number][codes(contexts_PK[:, :number])]
            probabilities_PV = interpolated(counts_PV, probabilities_PV, self.strengths[number])
            yield probabilities_PV

    def _unigram(self, places: int) -> Floats:
        frequencies_1V = interpolated(self.counts[0], np.full((1, V), 1 / V), self.strengths[0])
        return np.repeat(frequencies_1V, places, axis=0)


def interpolated(counts_PV: Ints, below_PV: Floats, strength: float) -> Floats:
    """Counts, with the order below as `strength` more of them."""
    mixed: Floats = (counts_PV + strength * below_PV) / (counts_PV.sum(1, keepdims=True) + strength)
    return mixed


def symbols(tokens_T: np.ndarray[Any, Any]) -> Ints:
    """Token ids as 0 to 19, amino acids in the order of the alphabet, or OTHER."""
    ids_T = tokens_T.astype(np.int64) - STANDARD_IDS.start
    return np.where((ids_T >= 0) & (ids_T < V), ids_T, OTHER)


def contexts(symbols_T: Ints, at_P: Ints, order: int) -> Ints:
    """The symbols before some places, [P, K]; nothing is seen beyond an OTHER, nor before the first token."""
    padded = np.concatenate([np.full(order, OTHER), symbols_T])
    contexts_PK = np.empty((len(at_P), order), dtype=np.int64)
    beyond_P = np.zeros(len(at_P), dtype=bool)
    for distance in range(1, order + 1):
        before_P = padded[at_P + order - distance]
        contexts_PK[:, distance - 1] = np.where(beyond_P, OTHER, before_P)
        beyond_P |= before_P == OTHER
    return contexts_PK


def codes(contexts_PK: Ints) -> Ints:
    """One number per context; the farthest symbol is its highest digit to the base of 21."""
    powers: Ints = (V + 1) ** np.arange(contexts_PK.shape[1])
    return contexts_PK @ powers


def count(symbols_T: Ints, order: int) -> list[Ints]:
    """How often each residue follows each context: per order K from 0, int64 [21^K, V]."""
    cells = (V + 1) ** order * V
    total = np.zeros(cells, dtype=np.int64)
    for start in range(0, len(symbols_T), _AT_ONCE):
        first = max(0, start - order)  # what the first contexts of this part see
        part_T = symbols_T[first : start + _AT_ONCE]
        at_P = np.flatnonzero(part_T < V)
        at_P = at_P[at_P >= start - first]
        total += np.bincount(codes(contexts(part_T, at_P, order)) * V + part_T[at_P], minlength=cells)
    counts = [total.reshape(-1, V)]
    for _ in range(order):
        counts.append(counts[-1].reshape(V + 1, -1, V).sum(0))  # over the farthest symbol
    return counts[::-1]
