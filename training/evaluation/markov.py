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

from esmkit.alphabet import STANDARD_IDS, TOKENS
from esmkit.training.corpus import Corpus

Ints = np.ndarray[Any, np.dtype[np.integer[Any]]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

V = 20
OTHER = V
"""Stands in a context for the ends of a sequence, for every token that is no amino acid, and for all before these."""
_SYMBOL_OF = np.full(len(TOKENS), OTHER, dtype=np.int8)
_SYMBOL_OF[STANDARD_IDS] = np.arange(V)
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
        counts, strengths = count(symbols(corpus.tokens[:cut]), order), [1.0]
        rest_T = symbols(corpus.tokens[cut:])
        at_P = np.flatnonzero(rest_T < V)
        truth_P = rest_T[at_P]
        contexts_PK = contexts(rest_T, at_P, order)
        probability_P = unigram(counts[0], strengths[0])[truth_P]
        for number, counts_CV in enumerate(counts[1:], start=1):
            code_P = codes(contexts_PK[:, :number])
            seen_P, all_P = counts_CV[code_P, truth_P], counts_CV.sum(1)[code_P]
            trials = {strength: interpolated(seen_P, all_P, probability_P, strength) for strength in STRENGTHS}
            best = max(trials, key=lambda strength: np.log(trials[strength]).sum())
            probability_P = trials[best]
            strengths.append(best)
        return cls(counts, strengths)

    def foretell(self, symbols_T: Ints, at_P: Ints) -> Iterator[Floats]:
        """Probabilities [P, V] of the residues at some places, order by order from 0."""
        contexts_PK = contexts(symbols_T, at_P, len(self.counts) - 1)
        probabilities_PV = np.tile(unigram(self.counts[0], self.strengths[0]), (len(at_P), 1))
        yield probabilities_PV
        for number in range(1, len(self.counts)):
            counts_PV = self.counts[number][codes(contexts_PK[:, :number])]
            all_P1 = counts_PV.sum(1, keepdims=True)
            probabilities_PV = interpolated(counts_PV, all_P1, probabilities_PV, self.strengths[number])
            yield probabilities_PV


def unigram(counts_1V: Ints, strength: float) -> Floats:
    """Order 0, above the uniform distribution: [V]."""
    return interpolated(counts_1V[0], counts_1V.sum(), np.full(V, 1 / V), strength)


def interpolated(seen: Ints, everything: Ints, below: Floats, strength: float) -> Floats:
    """The share of what was `seen` in `everything`, with the order below as `strength` more of it."""
    mixed: Floats = (seen + strength * below) / (everything + strength)
    return mixed


def symbols(tokens_T: Ints) -> Ints:
    """Token ids as 0 to 19, amino acids in the order of the alphabet, or OTHER; int8."""
    return _SYMBOL_OF[tokens_T]


def contexts(symbols_T: Ints, at_P: Ints, order: int) -> Ints:
    """The symbols before some places, [P, K]; nothing is seen beyond an OTHER, nor before the first token."""
    padded = np.concatenate([np.full(order, OTHER, dtype=np.int8), symbols_T])
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
