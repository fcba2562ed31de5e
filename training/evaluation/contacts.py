"""Precision of predicted contacts on structures that the contact head was not fitted to, beside chance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from esmkit.engine import Model
from esmkit.inputs.structures import read_structures
from esmkit.training.precision import Truth, mean_precision, precision


def evaluate(model: Model, labelled: Path) -> dict[str, Any]:
    """Precision by range, mean over the structures."""
    structures = read_structures([str(labelled / "structures" / "pdb")])
    truths = [Truth.of(structure) for structure in structures]
    maps = model.contacts([structure.sequence for structure in structures])
    scored = [precision(t, contacts_LL[t.first, t.second]) for t, contacts_LL in zip(truths, maps, strict=True)]
    return {"structures": len(structures), "precision": mean_precision(scored)}
