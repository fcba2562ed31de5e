"""Rank correlation of masked-marginal scores with measured effects of mutations, beside BLOSUM62.

The model's scores are those of `esmkit mutations score`. With the matrix B a variant scores the sum over its changed
residues of B(old, new), or of B(old, new) - B(old, old), whichever does better.

Shape suffixes: n variants.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from biotite.sequence.align import SubstitutionMatrix

from esmkit.applications.mutations import score
from esmkit.applications.mutations.proteingym import spearman
from esmkit.applications.mutations.variants import parse
from esmkit.engine import Model
from esmkit.types import FloatArray

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
        variants: the sequences that were measured.
        measured: float64, one value each; larger is better.
    """

    wildtype: str
    variants: Sequence[str]
    measured: FloatArray

    @classmethod
    def read(cls, path: Path, wildtype: str) -> Assay:
        """From a CSV with the columns `mutant` (A24G:L30P) and `score`, or `sequence` and `target`."""
        with path.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        variant, measured = ("mutant", "score") if "mutant" in rows[0] else ("sequence", "target")
        variants = [parse(row[variant], wildtype) for row in rows]
        return cls(wildtype, variants, np.array([float(row[measured]) for row in rows]))

    def changes(self, variant: str) -> list[tuple[str, str]]:
        """Old and new residue wherever a variant differs."""
        return [(old, new) for old, new in zip(self.wildtype, variant, strict=True) if old != new]

    def up_to(self, changes: int | None) -> Assay:
        """Variants with so many changes at most; all for None."""
        counts = [len(self.changes(variant)) for variant in self.variants]
        kept = [index for index, count in enumerate(counts) if changes is None or count <= changes]
        return Assay(self.wildtype, [self.variants[index] for index in kept], self.measured[kept])

    def of_model(self, model: Model) -> float:
        """Rank correlation of what was measured with the masked marginals of a model."""
        return spearman(score(model, self.wildtype, self.variants).scores, self.measured)

    def of_blosum62(self, *, above_old: bool) -> float:
        """Rank correlation of what was measured with sums over BLOSUM62, less the value of the old residue or not."""
        of = SubstitutionMatrix.std_protein_matrix().get_score
        sums = [
            sum(of(old, new) - above_old * of(old, old) for old, new in self.changes(variant))
            for variant in self.variants
        ]
        return spearman(sums, self.measured)


def evaluate(model: Model, labelled: Path) -> list[dict[str, Any]]:
    """Per assay: how many variants, and the rank correlation of the model's and of BLOSUM62's scores."""
    wildtypes = json.loads((labelled / "dms" / "wildtypes.json").read_text())
    results = []
    for name, changes, title in ASSAYS:
        assay = Assay.read(labelled / "dms" / f"{name}.csv", wildtypes[name]).up_to(changes)
        results.append(
            {
                "assay": title,
                "variants": len(assay.variants),
                "model": assay.of_model(model),
                "blosum62": max(assay.of_blosum62(above_old=above_old) for above_old in (False, True)),
            }
        )
    return results
