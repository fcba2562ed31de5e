"""Rank correlation of masked-marginal scores with measured effects of mutations, beside BLOSUM62.

A variant scores the sum over its changed residues of log p(new) - log p(old), each position masked alone in the wild type
(Meier et al. 2021, doi:10.1101/2021.07.09.450648); with BLOSUM62 the same sum over the matrix.

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
TITLES = {
    "BLAT_ECOLX_Stiffler2015": "TEM-1 beta-lactamase, single mutants (Stiffler 2015)",
    "avgfp_nn4dms": "avGFP, single and multiple mutants (Sarkisyan 2016)",
    "gb1_flip_low_vs_high": "GB1, four sites (Wu 2016)",
}


@dataclass(frozen=True, slots=True)
class Assay:
    """Measured variants of one protein.

    Attributes:
        name: of its file.
        wildtype: the sequence.
        variants: what was changed.
        measured: float64, one value each; larger is better.
    """

    name: str
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
        return cls(path.stem, wildtype, variants, np.array([float(row[measured]) for row in rows]))

    def scores(self, table_LV: FloatArray) -> FloatArray:
        """One score per variant from a table of scores of every residue at every position."""
        gains_LV = table_LV - np.array([table_LV[i, STANDARD.index(old)] for i, old in enumerate(self.wildtype)])[:, None]
        return np.array([sum(gains_LV[i, STANDARD.index(new)] for i, new in variant) for variant in self.variants])

    def spearman(self, table_LV: FloatArray) -> float:
        """Rank correlation of these scores with what was measured."""
        return float(spearmanr(self.scores(table_LV), self.measured).statistic)


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


def evaluate(model: Model, labelled: Path) -> list[dict[str, Any]]:
    """Per assay: how many variants, and the rank correlation of the model's and of BLOSUM62's scores."""
    results = []
    for name, wildtype in json.loads((labelled / "dms" / "wildtypes.json").read_text()).items():
        assay = Assay.read(labelled / "dms" / f"{name}.csv", wildtype)
        results.append(
            {
                "assay": TITLES[name],
                "variants": len(assay.variants),
                "model": assay.spearman(masked_log_probs(model, wildtype)),
                "blosum62": assay.spearman(blosum62(wildtype)),
            }
        )
    return results
