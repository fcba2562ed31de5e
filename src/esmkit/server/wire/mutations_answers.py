"""Answers about mutation effects, what they look like in the OpenAPI document, and examples that run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from esmkit import alphabet
from esmkit.applications.mutations.variants import columns_of
from esmkit.server.wire import mutations, schema
from esmkit.server.wire.base import Array, Bounds
from esmkit.server.wire.esm2_docs import LongRemark, Provenance, Shown
from esmkit.server.wire.mutations import Item, MutationCall, MutationParams
from esmkit.types import Result

VOCABULARY = list(alphabet.STANDARD)
Entry = dict[str, Any]


class MutationsResult(Shown):
    """The scores of one item: log p(variant) - log p(wild type), higher is better."""

    method: str = Field(description="How they were made.")
    variants: list[str] | None = Field(None, description="Of a list: as they were sent.")
    scores: list[float] | list[list[float]] = Field(
        description="Of a list: one per variant. Of a scan: positions x 20, in the order of vocab_tokens; 0 is the "
        "residue of the wild type."
    )
    positions: list[int] | None = Field(None, description="Of a scan: as params.offset numbers them.")
    wild_type: str | None = Field(None, description="Of a scan: the residues at these positions.")
    vocab_tokens: list[str] | None = Field(None, description="Of a scan: L A G V S E R T I D P K Q N F Y M H W C.")
    long: LongRemark | None = Field(None, description="Only for sequences above the limit, with params.long.")


class MutationsResults(Shown):
    """The answer to a request."""

    results: list[MutationsResult] = Field(description="One entry per item, in the order of the request.")
    esmkit: Provenance | None = Field(None, description="With params.provenance: what made the answer.")


def entries(call: MutationCall, results: Sequence[Result]) -> list[Entry]:
    """One entry per item, in order; arrays stay numpy."""
    found = []
    for item, scores in zip(call.items, _scores(call, results), strict=True):
        entry: Entry = {"method": call.method.name, "scores": scores}
        if item.variants is None:
            residues = "".join(item.sequence[index] for index in item.indices)
            entry |= {"positions": _positions(call, item), "wild_type": residues, "vocab_tokens": VOCABULARY}
        else:
            entry |= {"variants": [variant.id for variant in item.variants]}
        found.append({**entry, **_long(item, results)})
    return found


def arrays_of(call: MutationCall, results: Sequence[Result]) -> Iterator[dict[str, Array]]:
    """The arrays per item; a list of variants has no positions."""
    for item, scores in zip(call.items, _scores(call, results), strict=True):
        yield {"scores": scores, "positions": _positions(call, item)}


def about(call: MutationCall, results: Sequence[Result]) -> dict[str, Any]:
    """What a binary answer says beside its arrays."""
    items = [
        {"variants": None if item.variants is None else [each.id for each in item.variants], **_long(item, results)}
        for item in call.items
    ]
    return {"items": items, "method": call.method.name, "vocab_tokens": VOCABULARY}


def answer_bytes(call: MutationCall) -> int:
    """Size of the numbers that are held for an answer, known before anything is computed."""
    if call.method.indels:
        return 4 * len(call.records)
    return sum(4 * len(record.sequence) * len(VOCABULARY) for record in call.records)


def _positions(call: MutationCall, item: Item) -> Array:
    return np.array(item.indices, dtype=np.int32) + 1 + call.offset


def _long(item: Item, results: Sequence[Result]) -> Entry:
    meta = results[item.first].meta
    return {"long": meta["long"]} if "long" in meta else {}


def _scores(call: MutationCall, results: Sequence[Result]) -> Iterator[Array]:
    """Per item float32 [n] of its variants, or [P, 20] of its scan."""
    method, name = call.method, call.method.output
    for item in call.items:
        answers = [result.arrays[name] for result in results[item.first : item.first + item.count]]
        if not method.reads_variant:
            table = _table(call, item, answers[0])
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


def _table(call: MutationCall, item: Item, answer: Array) -> Array:
    """All lines of a table [L, 20]; those that nobody asked for are 0."""
    if call.options.positions is None:
        return answer
    table = np.zeros((len(item.sequence), len(VOCABULARY)), dtype=np.float32)
    table[[position - 1 for position in call.options.positions]] = answer
    return table


# What the OpenAPI document shows

_BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "scan": (
        "All substitutions of two positions",
        {"items": [{"sequence": "MKTAYIAKQR"}], "params": {"positions": [26, 27], "offset": 23}},
    ),
    "variants": (
        "A list of variants, with insertions and deletions",
        {
            "items": [{"sequence": "MKTAYIAKQR", "variants": ["A4G", "K2R:A4G", "T3del"]}],
            "params": {"method": "one_pass_pll"},
        },
    ),
}


def request_schema(bounds: Bounds) -> dict[str, Any]:
    """JSON Schema of a request, everything in place."""
    described = schema.inlined(mutations.request_type(bounds))
    described["properties"]["params"]["type"] = ["object", "null"]
    return described


def request_examples() -> dict[str, Any]:
    """Requests as OpenAPI's `examples`."""
    return {name: {"summary": summary, "value": body} for name, (summary, body) in _BODIES.items()}


def answer_examples(bounds: Bounds) -> dict[str, Any]:
    """Answers to these requests, under the same names, written as real ones are, from made-up numbers."""
    found = {}
    for name, (summary, body) in _BODIES.items():
        call = planned(body, bounds)
        results = [
            Result(each.index, each.id, {call.outputs[0]: _made_up(call, each.sequence)}) for each in call.records
        ]
        value = {"results": [_plain(entry) for entry in entries(call, results)]}
        found[name] = {"summary": summary, "description": "Numbers are made up.", "value": value}
    return found


def planned(body: dict[str, Any], bounds: Bounds) -> MutationCall:
    """The call that a body becomes."""
    wanted: Any = mutations.request_type(bounds).model_validate(body)
    params: MutationParams = wanted.params
    return mutations.plan(wanted.items, params, bounds)


def _made_up(call: MutationCall, sequence: str) -> Any:
    if call.method.indels:
        return -2.75 * len(sequence)
    lines = len(call.options.positions or sequence)
    return np.round(np.sin(np.arange(lines * len(VOCABULARY))), 2).reshape(lines, len(VOCABULARY)).astype(np.float32)


def _plain(entry: Entry) -> Entry:
    return {
        name: np.round(value, 2).tolist() if isinstance(value, np.ndarray) else value for name, value in entry.items()
    }
