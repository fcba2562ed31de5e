"""Answers of the API, as BioLM's clients and curl see them, against the numbers of the library."""

from __future__ import annotations

from typing import Any

import numpy as np

from esmkit.alphabet import STANDARD, residues
from esmkit.engine import Model
from esmkit.outputs import OutputOptions
from tests.biolm_runs import LAYERS, MASKED, SEQUENCES

_OUTPUTS = ["mean", "bos", "per_residue", "contacts", "logits", "attentions"]


def arrays(entry: dict[str, Any], version: str) -> dict[str, Any]:
    """What `encode` answered, under the names of the library."""
    found = {name: entry[name] for name in ("contacts", "logits", "attentions") if name in entry}
    if version == "v2":
        names = {"mean": "mean_representations", "bos": "bos_representations", "per_residue": "representations"}
        layered = {name: entry.get(key, {}).items() for name, key in names.items()}
    else:
        per_residue = "residue_embeddings" if version == "v1" else "per_token_embeddings"
        names = {"mean": "embeddings", "bos": "bos_embeddings", "per_residue": per_residue}
        layered = {
            name: [(each["layer"], each["embeddings" if name == "per_residue" else "embedding"]) for each in entry[key]]
            for name, key in names.items()
            if key in entry
        }
    return found | {f"{name}_{layer}": value for name, pairs in layered.items() for layer, value in pairs}


def same(found: Any, expected: Any) -> None:
    """Batch mates may move the last digits, nothing else."""
    array = np.asarray(found, dtype=np.float32)
    assert array.shape == np.shape(expected)
    np.testing.assert_allclose(array, expected, atol=1e-5, rtol=1e-5)


def same_means(entries: list[dict[str, Any]], sequences: list[str], model: Model, version: str) -> None:
    assert len(entries) == len(sequences)
    for entry, expected in zip(entries, model.embed(sequences), strict=True):
        same(arrays(entry, version)["mean_6"], expected)


def same_as_everything(entries: list[dict[str, Any]], model: Model, version: str) -> None:
    """Every output of `encode` for SEQUENCES."""
    expected = model.run(SEQUENCES, _OUTPUTS, options=OutputOptions(layers=tuple(LAYERS)))
    assert len(entries) == len(expected) == 3
    for entry, result in zip(entries, expected, strict=True):
        got = arrays(entry, version)
        assert set(got) == set(result.arrays)
        for name, array in result.arrays.items():
            same(got[name], array)


def same_logits(entries: list[dict[str, Any]], model: Model) -> None:
    """What `predict` says about MASKED."""
    assert len(entries) == len(MASKED)
    for entry, sequence, logits in zip(entries, MASKED, model.logits(MASKED), strict=True):
        assert entry["sequence_tokens"] == residues(sequence)
        assert entry["vocab_tokens"] == list(STANDARD)
        same(entry["logits"], logits)
