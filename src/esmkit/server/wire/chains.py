"""Several chains in one sequence: joined with a glycine linker for the model, linkers cut out of what it gives."""

from __future__ import annotations

import numpy as np

from esmkit import alphabet
from esmkit.server.wire.base import Array, Arrays, Chains

SEPARATOR = ":"
LINKER_RESIDUE = "G"
_RESIDUE_AXES = {"logits": (0,), "contacts": (0, 1), "attentions": (1,), "attention_maps": (2, 3)}


def join(sequence: str, linker: int) -> tuple[str, Chains | None]:
    """The sequence that the model sees, and where its chains are.

    Args:
        sequence: chains separated by `:`, none of them empty.
        linker: glycines between neighbouring chains.

    Example:
        >>> join("MK:GSH", 2)[0]
        'MKGGGSH'
    """
    chains = sequence.split(SEPARATOR)
    if len(chains) == 1:
        return sequence, None
    lengths = [alphabet.num_residues(chain) for chain in chains]
    starts = np.cumsum([0, *(length + linker for length in lengths[:-1])]).tolist()
    spans = tuple((start, start + length) for start, length in zip(starts, lengths, strict=True))
    keep = np.concatenate([np.arange(start, stop) for start, stop in spans])
    return (LINKER_RESIDUE * linker).join(chains), Chains(spans, keep)


def cut(arrays: Arrays, chains: Chains) -> dict[str, Array]:
    """The arrays of a result without the linkers: `per_residue_*`, logits, contacts, attentions; others unchanged."""
    kept: dict[str, Array] = {}
    for name, value in arrays.items():
        array = np.asarray(value)
        axes = (0,) if name.startswith("per_residue_") else _RESIDUE_AXES.get(name, ())
        for axis in axes:
            array = array.take(chains.keep, axis=axis)
        kept[name] = array
    return kept


def pooled(representations_LD: Array, pool: str) -> Array:
    """The embedding of the chains alone, [D]: their residues pooled, linkers left out."""
    return np.asarray(representations_LD.max(0) if pool == "max" else representations_LD.mean(0, dtype=np.float32))
