"""Do proteins of one superfamily have like embeddings? The nearest protein by cosine, beside amino-acid composition.

Shape suffixes: Q queries, R proteins to find, D numbers per protein.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.alphabet import STANDARD
from esmkit.engine import Model
from esmkit.types import FloatArray

FILE = "cath43_whole_chain_domains.csv"


def evaluate(model: Model, labelled: Path) -> dict[str, Any]:
    """Share of queries whose nearest protein is of their CATH superfamily: mean embedding, and composition."""
    with (labelled / "homology" / FILE).open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    sequences = [row["sequence"] for row in rows]
    families = np.array([row["cath_superfamily"] for row in rows])
    is_query = np.array([row["role"] == "query" for row in rows])
    by_what = {"model": model.embed(sequences), "composition": composition(sequences)}
    recalls = {name: recall_at_1(vectors, families, is_query) for name, vectors in by_what.items()}
    return {"queries": int(is_query.sum()), "lookups": int((~is_query).sum()), **recalls}


def recall_at_1(vectors: FloatArray, families: np.ndarray[Any, Any], is_query: np.ndarray[Any, Any]) -> float:
    """Share of queries whose nearest other protein, by cosine, is of the same family."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine_QR = units[is_query] @ units[~is_query].T
    nearest = families[~is_query][cosine_QR.argmax(1)]
    return float((nearest == families[is_query]).mean())


def composition(sequences: Sequence[str]) -> FloatArray:
    """Share of each of the 20 amino acids, [n, 20]."""
    return np.array([[sequence.count(residue) / len(sequence) for residue in STANDARD] for sequence in sequences])
