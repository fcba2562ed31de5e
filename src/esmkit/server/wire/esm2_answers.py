"""ESM-2's answers: the arrays of a result in the shape that each version of BioLM's API gives them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from esmkit import alphabet
from esmkit.applications import chains
from esmkit.applications.chains import Chains
from esmkit.server.wire.base import Array, Arrays, Call, Entry, Version
from esmkit.types import ModelShape, Result

VOCABULARY = list(alphabet.STANDARD)
_PER_RESIDUE_KEY = {
    Version.V1: "residue_embeddings",
    Version.V2: "per_token_embeddings",
    Version.V3: "per_token_embeddings",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Esm2Call(Call):
    """A checked request for one of BioLM's actions.

    Attributes:
        include: what the answer shows; encode only.
        layers: layers of embeddings, 0..N.
        pool: how residues become one embedding.
        chains: per item, or None for an item of one chain.
    """

    include: frozenset[str] = frozenset()
    layers: tuple[int, ...] = ()
    pool: Literal["mean", "max"] = "mean"
    chains: tuple[Chains | None, ...] = ()

    def answer_bytes(self, shape: ModelShape) -> int:
        """Size of the numbers in the answer as fp32, known before anything is computed."""
        maps = len(self.options.attention_layers or range(shape.num_layers)) * len(
            self.options.attention_heads or range(shape.num_heads)
        )
        total = 0
        for record in self.records:
            length = alphabet.num_residues(record.sequence)
            numbers = {
                **dict.fromkeys(("mean", "max", "bos"), shape.width * len(self.layers)),
                "per_residue": length * shape.width * len(self.layers),
                "logits": length * len(VOCABULARY),
                "contacts": length**2,
                "attentions": length * shape.num_layers,
                "attention_maps": maps * length**2,
                "log_prob": 1,
            }
            total += 4 * sum(numbers[output] for output in self.outputs)
        return total

    def entries(self, version: Version, results: Sequence[Result]) -> list[Entry]:
        """One entry per item, in order; arrays stay numpy."""
        write = {"encode": _encoded, "predict": _predicted, "log_prob": _scored}[self.action]
        return [
            {**write(version, self, position, arrays), **self._remarks(position, result)}
            for position, (result, arrays) in enumerate(zip(results, self.arrays(results), strict=True))
        ]

    def arrays(self, results: Sequence[Result]) -> Iterator[dict[str, Array]]:
        """The arrays that a request asked for, per item: linkers cut out, chains pooled, C order."""
        shown = set(self.outputs)
        if "mean" in self.include:
            shown.add(self.pool)
        if "per_residue" in shown and self.include.isdisjoint({"per_token", "per_residue"}):
            shown.discard("per_residue")
        for result, chain in zip(results, self.chains, strict=True):
            arrays = dict(result.arrays) if chain is None else chains.cut(result.arrays, chain)
            if "mean" in self.include and self.pool not in self.outputs:
                for layer in self.layers:
                    arrays[f"{self.pool}_{layer}"] = chains.pooled(arrays[f"per_residue_{layer}"], self.pool)
            yield {
                name: np.asarray(value, order="C")
                for name, value in arrays.items()
                if name in shown or name.rpartition("_")[0] in shown
            }

    def about(self, results: Sequence[Result]) -> dict[str, Any]:
        """What a binary answer says beside its arrays."""
        vocabulary = {"vocab_tokens": VOCABULARY} if "logits" in self.outputs else {}
        return {"items": [self._remarks(index, result) for index, result in enumerate(results)], **vocabulary}

    def _remarks(self, index: int, result: Result) -> Entry:
        """What an extension did to this item; nothing unless one was asked for."""
        chain = self.chains[index]
        remarks: Entry = {} if chain is None else {"chains": chain.positions()}
        if "long" in result.meta:
            remarks["long"] = result.meta["long"]
        return remarks


def _encoded(version: Version, call: Esm2Call, index: int, arrays: Arrays) -> Entry:
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


def _predicted(version: Version, call: Esm2Call, index: int, arrays: Arrays) -> Entry:
    tokens = alphabet.residues(call.records[index].sequence)
    if call.long == "truncate":
        tokens = tokens[: len(arrays["logits"])]
    chain = call.chains[index]
    if chain is not None:
        tokens = [tokens[residue] for residue in chain.keep]
    return {**_logits(version, arrays["logits"]), "sequence_tokens": tokens}


def _scored(version: Version, call: Esm2Call, index: int, arrays: Arrays) -> Entry:
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
