"""A request for mutation effects as the queue computes it, and how its answer is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from esmkit import alphabet
from esmkit.applications.mutations.methods import Method
from esmkit.applications.mutations.variants import Variant, columns_of, substitutions
from esmkit.server.wire.base import Array, Call, Entry, Version
from esmkit.types import ModelShape, Result

VOCABULARY = list(alphabet.STANDARD)


@dataclass(frozen=True, slots=True)
class Item:
    """What is asked about one protein.

    Attributes:
        sequence: the wild type.
        first: number of the first record that is computed for it.
        count: of these records.
        indices: 0-based places that are scanned.
        variants: what is scored instead of a scan.
    """

    sequence: str
    first: int
    count: int
    indices: tuple[int, ...] = ()
    variants: tuple[Variant, ...] | None = None

    def changed(self) -> set[int]:
        """0-based places whose probabilities a marginal needs."""
        if self.variants is None:
            return set(self.indices)
        return {at for each in self.variants for at in substitutions(self.sequence, each.sequence)[0].tolist()}


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationCall(Call):
    """A checked request for mutation effects.

    Attributes:
        method: how variants are scored.
        items: what is asked, per item; `records` has the records of one after those of another.
        offset: what positions add to places.
    """

    method: Method
    items: tuple[Item, ...]
    offset: int

    def answer_bytes(self, shape: ModelShape) -> int:
        """Size of the numbers that are held for an answer, known before anything is computed."""
        if self.method.indels:
            return 4 * len(self.records)
        return sum(4 * len(record.sequence) * len(VOCABULARY) for record in self.records)

    def entries(self, version: Version, results: Sequence[Result]) -> list[Entry]:
        """One entry per item, in order; arrays stay numpy."""
        found = []
        for item, scores in zip(self.items, self._scores(results), strict=True):
            entry: Entry = {"method": self.method.name, "scores": scores}
            if item.variants is None:
                residues = "".join(item.sequence[index] for index in item.indices)
                entry |= {"positions": self._positions(item), "wild_type": residues, "vocab_tokens": VOCABULARY}
            else:
                entry |= {"variants": [variant.id for variant in item.variants]}
            found.append({**entry, **_long(item, results)})
        return found

    def arrays(self, results: Sequence[Result]) -> Iterator[dict[str, Array]]:
        """The arrays per item; a list of variants has no positions."""
        for item, scores in zip(self.items, self._scores(results), strict=True):
            yield {"scores": scores, "positions": self._positions(item)}

    def about(self, results: Sequence[Result]) -> dict[str, Any]:
        """What a binary answer says beside its arrays."""
        items = [
            {"variants": None if item.variants is None else [each.id for each in item.variants], **_long(item, results)}
            for item in self.items
        ]
        return {"items": items, "method": self.method.name, "vocab_tokens": VOCABULARY}

    def _positions(self, item: Item) -> Array:
        return np.array(item.indices, dtype=np.int32) + 1 + self.offset

    def _scores(self, results: Sequence[Result]) -> Iterator[Array]:
        """Per item float32 [n] of its variants, or [P, 20] of its scan."""
        method, name = self.method, self.method.output
        for item in self.items:
            answers = [result.arrays[name] for result in results[item.first : item.first + item.count]]
            if not method.reads_variant:
                table = self._table(item, answers[0])
                if item.variants is None:
                    lines, residues = list(item.indices), columns_of(item.sequence)[list(item.indices)]
                    yield table[lines] - table[lines, residues][:, None]
                else:
                    yield np.array([method.score(each, wild_type=table) for each in item.variants], dtype=np.float32)
                continue
            wild_type = answers.pop(0) if method.reads_wild_type else None
            pairs = zip(item.variants or (), answers, strict=True)
            scores = [method.score(each, wild_type=wild_type, own=own) for each, own in pairs]
            yield np.array(scores, dtype=np.float32)

    def _table(self, item: Item, answer: Array) -> Array:
        """All lines of a table [L, 20]; those that nobody asked for are 0."""
        if self.options.positions is None:
            return answer
        table = np.zeros((len(item.sequence), len(VOCABULARY)), dtype=np.float32)
        table[[position - 1 for position in self.options.positions]] = answer
        return table


def _long(item: Item, results: Sequence[Result]) -> Entry:
    meta = results[item.first].meta
    return {"long": meta["long"]} if "long" in meta else {}
