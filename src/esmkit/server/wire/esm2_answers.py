"""ESM-2's answers: the arrays of a result in the shape that each version of BioLM's API gives them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from esmkit import alphabet
from esmkit.applications import chains
from esmkit.server.wire.base import Array, Arrays, Call, Version
from esmkit.types import ModelShape, Result

VOCABULARY = list(alphabet.STANDARD)
_PER_RESIDUE_KEY = {
    Version.V1: "residue_embeddings",
    Version.V2: "per_token_embeddings",
    Version.V3: "per_token_embeddings",
}
Entry = dict[str, Any]


def entries(version: Version, call: Call, results: Sequence[Result]) -> list[Entry]:
    """One entry per item, in order; arrays stay numpy."""
    write = {"encode": _encoded, "predict": _predicted, "log_prob": _scored}[call.action]
    return [
        {**write(version, call, position, arrays), **remarks(call, position, result)}
        for position, (result, arrays) in enumerate(zip(results, arrays_of(call, results), strict=True))
    ]


def arrays_of(call: Call, results: Sequence[Result]) -> Iterator[dict[str, Array]]:
    """The arrays that a request asked for, per item: linkers cut out, chains pooled, C order."""
    shown = set(call.outputs)
    if "mean" in call.include:
        shown.add(call.pool)
    if "per_residue" in shown and call.include.isdisjoint({"per_token", "per_residue"}):
        shown.discard("per_residue")
    for result, chain in zip(results, call.chains, strict=True):
        arrays = dict(result.arrays) if chain is None else chains.cut(result.arrays, chain)
        if "mean" in call.include and call.pool not in call.outputs:
            for layer in call.layers:
                arrays[f"{call.pool}_{layer}"] = chains.pooled(arrays[f"per_residue_{layer}"], call.pool)
        yield {
            name: np.asarray(value, order="C")
            for name, value in arrays.items()
            if name in shown or name.rpartition("_")[0] in shown
        }


def answer_bytes(call: Call, shape: ModelShape) -> int:
    """Size of the numbers in the answer as fp32, known before anything is computed."""
    maps = len(call.options.attention_layers or range(shape.num_layers)) * len(
        call.options.attention_heads or range(shape.num_heads)
    )
    total = 0
    for record in call.records:
        length = alphabet.num_residues(record.sequence)
        numbers = {
            **dict.fromkeys(("mean", "max", "bos"), shape.width * len(call.layers)),
            "per_residue": length * shape.width * len(call.layers),
            "logits": length * len(VOCABULARY),
            "contacts": length**2,
            "attentions": length * shape.num_layers,
            "attention_maps": maps * length**2,
            "log_prob": 1,
        }
        total += 4 * sum(numbers[output] for output in call.outputs)
    return total


def _encoded(version: Version, call: Call, index: int, arrays: Arrays) -> Entry:
    entry: Entry = {"sequence_index": index}
    if "mean" in call.include:
        by_layer = {layer: arrays[f"{call.pool}_{layer}"] for layer in call.layers}
        old_key = "mean_representations" if call.pool == "mean" else None
        entry |= _layered(version, "embeddings", "embedding", old_key, by_layer)
    if "bos" in call.include:
        by_layer = {layer: arrays[f"bos_{layer}"] for layer in call.layers}
        entry |= _layered(version, "bos_embeddings", "embedding", "bos_representations", by_layer)
    if not call.include.isdisjoint({"per_token", "per_residue"}):
        by_layer = {layer: arrays[f"per_residue_{layer}"] for layer in call.layers}
        entry |= _layered(version, _PER_RESIDUE_KEY[version], "embeddings", "representations", by_layer)
    if "contacts" in call.include:
        entry["contacts"] = arrays["contacts"]
    if "logits" in call.include:
        entry |= _logits(version, arrays["logits"])
    if "attentions" in call.include:
        entry["attentions"] = arrays.get("attention_maps", arrays.get("attentions"))
    return entry


def _predicted(version: Version, call: Call, index: int, arrays: Arrays) -> Entry:
    tokens = alphabet.residues(call.records[index].sequence)
    if call.long == "truncate":
        tokens = tokens[: len(arrays["logits"])]
    chain = call.chains[index]
    if chain is not None:
        tokens = [tokens[residue] for residue in chain.keep]
    return {**_logits(version, arrays["logits"]), "sequence_tokens": tokens}


def _scored(version: Version, call: Call, index: int, arrays: Arrays) -> Entry:
    return {"log_prob": float(arrays["log_prob"])}


def _logits(version: Version, logits: Array) -> Entry:
    old = {"alphabet_tokens": VOCABULARY} if version is Version.V2 else {}
    return {"logits": logits, "vocab_tokens": VOCABULARY, **old}


def _layered(version: Version, key: str, inner: str, old_key: str | None, by_layer: dict[int, Array]) -> Entry:
    """Today's list of layers, in v2 also the dictionary of 2023."""
    entry: Entry = {key: [{"layer": layer, inner: array} for layer, array in by_layer.items()]}
    if version is Version.V2 and old_key is not None:
        entry[old_key] = {str(layer): array for layer, array in by_layer.items()}
    return entry


def about(call: Call, results: Sequence[Result]) -> dict[str, Any]:
    """What a binary answer says beside its arrays."""
    vocabulary = {"vocab_tokens": VOCABULARY} if "logits" in call.outputs else {}
    return {"items": [remarks(call, index, result) for index, result in enumerate(results)], **vocabulary}


def remarks(call: Call, index: int, result: Result) -> Entry:
    """What an extension did to this item; nothing unless one was asked for."""
    chain = call.chains[index]
    remarks: Entry = {} if chain is None else {"chains": chain.positions()}
    if "long" in result.meta:
        remarks["long"] = result.meta["long"]
    return remarks
