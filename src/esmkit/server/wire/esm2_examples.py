"""Requests that run as they stand, and what their answers look like, for the OpenAPI document.

The answers are written by the code that writes real ones, from made-up numbers and with vectors cut short, so that
they cannot drift away from what the server sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from esmkit import alphabet
from esmkit.server.wire import esm2, legacy
from esmkit.server.wire.base import Array, Bounds, Version
from esmkit.server.wire.esm2_answers import VOCABULARY, Esm2Call
from esmkit.types import ModelShape, Result

SHOWN_WIDTH = 4
_MADE_UP = f"Numbers are made up, and vectors cut to {SHOWN_WIDTH} of them."
_PROVENANCE = {
    "slug": "esm2-mini",
    "source": "embedded",
    "weights_sha256": "0" * 64,
    "dtype": "float32",
    "attention": "sdpa",
    "device": "cuda",
    "esmkit": "1.0.0",
    "torch": "2.13.0",
}


@dataclass(frozen=True, slots=True)
class Example:
    """One request: what it shows, and its body."""

    summary: str
    body: dict[str, Any]


_PREDICT = Example("One residue to predict", {"items": [{"sequence": "MK<mask>AY"}]})
_LOG_PROB = Example("Two sequences", {"items": [{"sequence": "MKTAYIAKQR"}, {"sequence": "GSHMSLFDFF"}]})
_EXAMPLES: Mapping[str, Mapping[str, Example]] = {
    "encode": {
        "mean": Example("One embedding", {"items": [{"sequence": "MKTAYIAKQRQISFVKSHFSRQ"}]}),
        "several": Example(
            "Two sequences, two layers, more than embeddings",
            {
                "items": [{"sequence": "MKTAY"}, {"sequence": "GSH"}],
                "params": {"repr_layers": [0, -1], "include": ["mean", "bos", "per_token", "contacts"]},
            },
        ),
        "extensions": Example(
            "Two chains, one attention map, and what made the answer",
            {
                "items": [{"sequence": "MKT:AY"}],
                "params": {
                    "include": ["mean", "attentions"],
                    "layers": [-1],
                    "heads": [1],
                    "chains": {"linker": 25},
                    "provenance": True,
                },
            },
        ),
    },
    "predict": {"mask": _PREDICT},
    "log_prob": {"two": _LOG_PROB},
}


def requests(action: str, *, is_legacy: bool = False) -> dict[str, Any]:
    """Requests of an action as OpenAPI's `examples`."""
    return {
        name: {"summary": each.summary, "value": _legacy_body(each.body) if is_legacy else each.body}
        for name, each in _EXAMPLES[action].items()
    }


def answers(
    version: Version, action: str, shape: ModelShape, bounds: Bounds, *, is_legacy: bool = False
) -> dict[str, Any]:
    """Answers to these requests, under the same names, as OpenAPI's `examples`."""
    found: dict[str, Any] = {}
    for name, each in _EXAMPLES[action].items():
        kind = esm2.request_type(version, action, bounds)
        wanted: Any = kind.model_validate(each.body)
        call = esm2.plan(action, [item.sequence for item in wanted.items], wanted.params, shape, bounds)
        value: dict[str, Any] = {legacy.RESULTS_KEY if is_legacy else "results": _entries(version, call, shape)}
        if call.provenance:
            value["esmkit"] = _PROVENANCE
        found[name] = {"summary": each.summary, "description": _MADE_UP, "value": value}
    return found


def _legacy_body(body: dict[str, Any]) -> dict[str, Any]:
    instances = [{"data": {"text": item["sequence"]}} for item in body["items"]]
    return {"instances": instances, **{key: value for key, value in body.items() if key != "items"}}


def _entries(version: Version, call: Esm2Call, shape: ModelShape) -> list[Any]:
    results = [
        Result(record.index, record.id, _arrays(call, shape, alphabet.num_residues(record.sequence)))
        for record in call.records
    ]
    plain: list[Any] = _plain(call.entries(version, results))
    return plain


def _arrays(call: Esm2Call, shape: ModelShape, length: int) -> dict[str, Any]:
    """What the engine gives for a record, as numbers that look the part."""
    chosen = call.options
    layers, heads = len(chosen.attention_layers or ()), len(chosen.attention_heads or ())
    sizes: dict[str, tuple[int, ...]] = {
        "mean": (SHOWN_WIDTH,),
        "max": (SHOWN_WIDTH,),
        "bos": (SHOWN_WIDTH,),
        "per_residue": (length, SHOWN_WIDTH),
        "contacts": (length, length),
        "logits": (length, len(VOCABULARY)),
        "attentions": (shape.num_layers, length),
        "attention_maps": (layers or shape.num_layers, heads or shape.num_heads, length, length),
    }
    arrays: dict[str, Any] = {"log_prob": -2.75 * length} if "log_prob" in call.outputs else {}
    for output in call.outputs:
        if output in ("mean", "max", "bos", "per_residue"):
            arrays |= {f"{output}_{layer}": _numbers(sizes[output]) for layer in call.layers}
        elif output != "log_prob":
            arrays[output] = np.abs(_numbers(sizes[output])) if output != "logits" else _numbers(sizes[output])
    return arrays


def _numbers(shape: tuple[int, ...]) -> Array:
    return np.round(np.sin(np.arange(1, 1 + np.prod(shape))) / 2, 2).reshape(shape)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return np.round(value, 2).tolist() if isinstance(value, np.ndarray) else value
