"""Rank correlation of masked-marginal scores with measured effects of mutations, beside BLOSUM62.

A variant scores the sum over its changed residues of log p(new) - log p(old), each position masked alone in the wild
type (Meier et al. 2021, doi:10.1101/2021.07.09.450648). With the matrix B it scores the sum of B(old, new), or of
B(old, new) - B(old, old), whichever does better.

Shape suffixes: L positions, V = 20 amino acids in the order of `alphabet.STANDARD`.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from biotite.sequence.align import SubstitutionMatrix
from scipy.stats import spearmanr

from esmkit.alphabet import STANDARD
from esmkit.engine import Model
from esmkit.outputs.base import Parts
from esmkit.outputs.likelihood import PseudoLogLikelihood
from esmkit.types import FloatArray, IntArray, Record, Result

Variant = tuple[tuple[int, str], ...]
"""0-based index and new residue of every change."""
ASSAYS = (
    ("BLAT_ECOLX_Stiffler2015", 1, "TEM-1 beta-lactamase, single mutants (Stiffler 2015)"),
    ("avgfp_nn4dms", 1, "avGFP, single mutants (Sarkisyan 2016)"),
    ("avgfp_nn4dms", None, "avGFP, all: the number of changes alone decides much"),
    ("gb1_flip_low_vs_high", None, "GB1, four sites (Wu 2016)"),
)
"""File, changes of a variant at most, title."""


@dataclass(frozen=True, slots=True)
class Assay:
    """Measured variants of one protein.

    Attributes:
        wildtype: the sequence.
        variants: what was changed.
        measured: float64, one value each; larger is better.
    """

    wildtype: str
    variants: Sequence[Variant]
    measured: FloatArray

    @classmethod
    def read(cls, path: Path, wildtype: str) -> Assay:
        """From a CSV with the columns `mutant` (A24G:L30P) and `score`, or `sequence` and `target`."""
        with path.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        by_name = "mutant" in rows[0]
        parse: Callable[[str, str], Variant] = mutations if by_name else differences
        column, measured = ("mutant", "score") if by_name else ("sequence", "target")
        variants = [parse(row[column], wildtype) for row in rows]
        return cls(wildtype, variants, np.array([float(row[measured]) for row in rows]))

    def up_to(self, changes: int | None) -> Assay:
        """Variants with so many changes at most; all for None."""
        kept = [index for index, variant in enumerate(self.variants) if changes is None or len(variant) <= changes]
        return Assay(self.wildtype, [self.variants[index] for index in kept], self.measured[kept])

    def spearman(self, table_LV: FloatArray) -> float:
        """Rank correlation of what was measured with the sums over changed residues of table[position, new residue]."""
        scores = [sum(table_LV[i, STANDARD.index(new)] for i, new in variant) for variant in self.variants]
        return float(spearmanr(scores, self.measured).statistic)


def mutations(text: str, wildtype: str) -> Variant:
    """The changes that a text such as A24G:L30P names, positions from 1.

    Raises:
        ValueError: it is no such text, or the wild type has another residue there.

    Example:
        >>> mutations("K2R:T3A", "MKT")
        ((1, 'R'), (2, 'A'))
    """
    changes = []
    for part in text.split(":"):
        match = re.fullmatch(r"([A-Z])(\d+)([A-Z])", part)
        if match is None:
            raise ValueError(f"{part!r} in {text!r} is no mutation such as A24G")
        old, position, new = match[1], int(match[2]), match[3]
        if wildtype[position - 1 : position] != old:
            raise ValueError(f"{part}: the wild type has {wildtype[position - 1 : position]!r} at position {position}")
        changes.append((position - 1, new))
    return tuple(changes)


def differences(sequence: str, wildtype: str) -> Variant:
    """The changes between two sequences of equal length.

    Example:
        >>> differences("MRT", "MKT")
        ((1, 'R'),)
    """
    pairs = enumerate(zip(sequence, wildtype, strict=True))
    return tuple((index, new) for index, (new, old) in pairs if new != old)


class MaskedLogProbs(PseudoLogLikelihood):
    """log p of the 20 amino acids at every position, that position masked; [L, V]."""

    name = "masked_log_probs"

    def finish(self, parts: Parts, ids: IntArray) -> Mapping[str, Any]:
        """As it is."""
        return {"masked_log_probs": parts[self.part]}


def masked_log_probs(model: Model, sequence: str) -> FloatArray:
    """The table of one sequence, [L, V]."""
    (result,) = model.engine.run([Record(0, "wild type", sequence)], [MaskedLogProbs(model.shape)])
    assert isinstance(result, Result)
    table_LV: FloatArray = result.arrays["masked_log_probs"]
    return table_LV


def blosum62(sequence: str) -> FloatArray:
    """The rows of BLOSUM62 for a sequence, [L, V]."""
    matrix = SubstitutionMatrix.std_protein_matrix()
    return np.array([[matrix.get_score(old, new) for new in STANDARD] for old in sequence], dtype=np.float64)


def above_old(table_LV: FloatArray, sequence: str) -> FloatArray:
    """A table less its value of the residue that is there."""
    old_L = np.array([table_LV[index, STANDARD.index(old)] for index, old in enumerate(sequence)])
    return table_LV - old_L[:, None]


def evaluate(model: Model, labelled: Path) -> list[dict[str, Any]]:
    """Per assay: how many variants, and the rank correlation of the model's and of BLOSUM62's scores."""
    wildtypes = json.loads((labelled / "dms" / "wildtypes.json").read_text())
    results = []
    for name, changes, title in ASSAYS:
        wildtype = wildtypes[name]
        assay = Assay.read(labelled / "dms" / f"{name}.csv", wildtype).up_to(changes)
        matrix = blosum62(wildtype)
        results.append(
            {
                "assay": title,
                "variants": len(assay.variants),
                "model": assay.spearman(above_old(masked_log_probs(model, wildtype), wildtype)),
                "blosum62": max(assay.spearman(matrix), assay.spearman(above_old(matrix, wildtype))),
            }
        )
    return results
