"""Likelihoods of whole sequences: log_prob in one pass, pseudo_log_likelihood with one mask per position, and between
them one_pass_pll; masked_log_probs are what pseudo_log_likelihood sums, for all 20 amino acids at each position.

The sums run over the scored residues: those of the chosen vocabulary, by default the 20 amino acids, whose softmax runs
over the same columns. `*_residues` says how many; X, B, Z, U, O and gaps are not scored under `standard`.

Shape suffixes: T packed tokens, R rows, L residues, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from esmkit import alphabet
from esmkit.errors import InvalidSequenceError
from esmkit.outputs.base import Output, Part, Parts
from esmkit.types import Column, Features, IntArray, Needs, Record, Row


@dataclass(frozen=True)
class _Likelihood(Output):
    """What both share: log probabilities per residue, and which residues are scored."""

    requires: ClassVar[frozenset[str]] = frozenset({"logits"})
    part: ClassVar[str]

    def needs(self) -> Needs:
        """The LM head."""
        return Needs(logits=True)

    def check(self, record: Record) -> None:
        """A masked residue has no likelihood, and something must be scored."""
        if alphabet.MASK in record.sequence:
            raise InvalidSequenceError(
                f"record {record.id!r} holds {alphabet.MASK}, which has no likelihood; give the whole sequence",
                record_id=record.id,
                residue=alphabet.MASK,
                position=alphabet.residues(record.sequence).index(alphabet.MASK) + 1,
            )
        if not any(letter in self.options.tokens() for letter in record.sequence):
            raise InvalidSequenceError(
                f"record {record.id!r} has none of the 20 amino acids, so nothing can be scored", record_id=record.id
            )

    def compute(self, features: Features, rows: Sequence[Row]) -> Mapping[str, torch.Tensor]:
        """Log softmax over the chosen columns."""
        assert features.logits is not None
        return {self.part: features.logits[:, self.options.columns()].float().log_softmax(-1)}

    def positions(self, ids: IntArray) -> list[int]:
        """0-based residues that are scored."""
        columns = self.options.columns()
        residues = ids[1:-1].astype(np.int64)
        return np.flatnonzero((residues >= columns.start) & (residues < columns.stop)).tolist()

    def scored_log_probs(self, parts: Parts, ids: IntArray) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The log probability of each scored residue, fp64 so that a long sum keeps its digits."""
        indices = np.asarray(self.positions(ids))
        columns = ids[1:-1][indices].astype(np.int64) - self.options.columns().start
        return np.asarray(parts[self.part][indices, columns], dtype=np.float64)


class LogProb(_Likelihood):
    """Sum of log p(residue | whole unmasked sequence), one pass; BioLM's `log_prob`. Not a true likelihood."""

    name = "log_prob"
    part = "unmasked_log_probs"

    def columns(self) -> tuple[Column, ...]:
        """The sum and the number of terms."""
        return (Column("log_prob", "float", ()), Column("log_prob_residues", "int", ()))

    def parts(self) -> Mapping[str, Part]:
        """Averaged per residue where windows overlap."""
        return {self.part: Part("residues", "residues")}

    def finish(self, parts: Parts, ids: IntArray) -> Mapping[str, Any]:
        """Adds up."""
        scored = self.scored_log_probs(parts, ids)
        return {"log_prob": float(scored.sum()), "log_prob_residues": len(scored)}


class PseudoLogLikelihood(_Likelihood):
    """Sum of log p(residue | all others), one mask per position (Salazar et al. 2020, arXiv:1910.14659).

    pseudo_perplexity = exp(-sum / scored residues).
    """

    name = "pseudo_log_likelihood"
    masks = True
    part = "masked_log_probs"

    def columns(self) -> tuple[Column, ...]:
        """The sum, the perplexity, the number of terms."""
        return (
            Column("pseudo_log_likelihood", "float", ()),
            Column("pseudo_perplexity", "float", ()),
            Column("pseudo_log_likelihood_residues", "int", ()),
        )

    def parts(self) -> Mapping[str, Part]:
        """One line of V per masked row."""
        return {self.part: Part("rows", "masked")}

    def finish(self, parts: Parts, ids: IntArray) -> Mapping[str, Any]:
        """Adds up."""
        scored = self.scored_log_probs(parts, ids)
        return {
            "pseudo_log_likelihood": float(scored.sum()),
            "pseudo_perplexity": float(np.exp(-scored.mean())),
            "pseudo_log_likelihood_residues": len(scored),
        }


class OnePassPll(LogProb):
    """Estimate of the pseudo_log_likelihood from one unmasked pass.

    In training, a residue that the model sees and has to guess is the true one or a random one of V = 20, with equal
    chance (10 % each, beside 80 % masks). If m is the masked probability of the residue at its place, Bayes' rule makes
    the unmasked one q = m (1 + 1 / V) / (m + 1 / V), and so m = q / (1 + V (1 - q)): what the model gives away by
    seeing the residue is taken back. The idea is that of Gordon et al. 2024 (doi:10.1101/2024.10.03.616542); Kantroo
    et al. 2024 (arXiv:2407.07265) train a network for the same purpose.
    """

    name = "one_pass_pll"

    def columns(self) -> tuple[Column, ...]:
        """The sum and the number of terms."""
        return (Column("one_pass_pll", "float", ()), Column("one_pass_pll_residues", "int", ()))

    def finish(self, parts: Parts, ids: IntArray) -> Mapping[str, Any]:
        """Unmasked to masked, then adds up."""
        seen = np.minimum(self.scored_log_probs(parts, ids), 0.0)
        scored = seen - np.log1p(-len(self.options.tokens()) * np.expm1(seen))
        return {"one_pass_pll": float(scored.sum()), "one_pass_pll_residues": len(scored)}


class MaskedLogProbs(_Likelihood):
    """log p(each amino acid at a position | all other residues), one mask per row, for all or chosen positions."""

    name = "masked_log_probs"
    masks = True
    part = "masked_log_probs"

    def check(self, record: Record) -> None:
        """Chosen positions must exist."""
        super().check(record)
        last = (self.options.positions or (1,))[-1]
        if last > len(record.sequence):
            raise InvalidSequenceError(
                f"record {record.id!r} has {len(record.sequence)} residues, and no position {last} to mask",
                record_id=record.id,
                position=last,
            )

    def columns(self) -> tuple[Column, ...]:
        """One line per position asked for, in their order."""
        chosen = self.options.positions
        return (Column(self.name, "float", ("L" if chosen is None else len(chosen), len(self.options.tokens()))),)

    def parts(self) -> Mapping[str, Part]:
        """One line of V per masked row."""
        return {self.part: Part("rows", "masked")}

    def positions(self, ids: IntArray) -> list[int]:
        """0-based residues that are masked, scored or not."""
        chosen = self.options.positions
        return list(range(len(ids) - 2)) if chosen is None else [position - 1 for position in chosen]

    def finish(self, parts: Parts, ids: IntArray) -> Mapping[str, Any]:
        """The lines of the positions."""
        return {self.name: parts[self.part][self.positions(ids)]}
