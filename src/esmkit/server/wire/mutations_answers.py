"""What requests for mutation effects and their answers look like in the OpenAPI document, with examples that run."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from esmkit.server.wire import mutations, schema
from esmkit.server.wire.base import Bounds, Entry, Version
from esmkit.server.wire.esm2_docs import LongRemark, Shown
from esmkit.server.wire.mutations_call import VOCABULARY, MutationCall
from esmkit.types import Result


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


def examples(bounds: Bounds) -> tuple[dict[str, Any], dict[str, Any]]:
    """Requests and their answers under the same names; these are written as real ones are, from made-up numbers."""
    requests, answers = {}, {}
    for name, (summary, body) in _BODIES.items():
        call = mutations.plan(mutations.request_type(bounds).model_validate(body), bounds)
        results = [
            Result(each.index, each.id, {call.outputs[0]: _made_up(call, each.sequence)}) for each in call.records
        ]
        value = {"results": [_plain(entry) for entry in call.entries(Version.V3, results)]}
        requests[name] = {"summary": summary, "value": body}
        answers[name] = {"summary": summary, "description": "Numbers are made up.", "value": value}
    return requests, answers


def _made_up(call: MutationCall, sequence: str) -> Any:
    if call.method.indels:
        return -2.75 * len(sequence)
    lines = len(call.options.positions or sequence)
    return np.round(np.sin(np.arange(lines * len(VOCABULARY))), 2).reshape(lines, len(VOCABULARY)).astype(np.float32)


def _plain(entry: Entry) -> Entry:
    return {
        name: np.round(value, 2).tolist() if isinstance(value, np.ndarray) else value for name, value in entry.items()
    }
