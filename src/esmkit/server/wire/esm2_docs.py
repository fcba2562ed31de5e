"""The shapes of ESM-2's requests and answers, for the OpenAPI document; the tests check real answers against them."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from esmkit.server.wire import esm2, legacy, schema
from esmkit.server.wire.base import Bounds, Version
from esmkit.types import ModelShape

Vector = list[float]
Matrix = list[Vector]


class Shown(BaseModel):
    """Base of documented shapes: what is not described does not occur."""

    model_config = ConfigDict(extra="forbid")


class LayerEmbedding(Shown):
    """One vector of one layer."""

    layer: int = Field(description="0 (input embedding) to N (after the final norm).")
    embedding: Vector = Field(description="As many numbers as the model is wide.")


class LayerEmbeddings(Shown):
    """One vector per residue of one layer."""

    layer: int = Field(description="0 (input embedding) to N (after the final norm).")
    embeddings: Matrix = Field(description="Residues x width.")


class LongRemark(Shown):
    """What a length policy did."""

    policy: str = Field(description="window or truncate.")
    windows: list[tuple[int, int]] = Field(description="First and last residue of each computed stretch, 1-based.")


class Provenance(Shown):
    """What made an answer."""

    slug: str = Field(description="The model.")
    source: str = Field(description="Where its weights come from: embedded, a hub id, or the name of a folder.")
    weights_sha256: str = Field(description="Digest of the weights.")
    dtype: str = Field(description="Number format of the model.")
    attention: str = Field(description="Attention back end.")
    device: str = Field(description="Kind of device, such as cpu or cuda.")
    esmkit: str = Field(description="Version of esmkit.")
    torch: str = Field(description="Version of PyTorch.")


class Remarks(Shown):
    """What extensions add to a result."""

    chains: list[tuple[int, int]] | None = Field(None, description="First and last residue of each chain, 1-based.")
    long: LongRemark | None = Field(None, description="Only for sequences above the limit, with params.long.")


class Logits(Shown):
    """Logits and what their columns are."""

    logits: Matrix = Field(description="Residues x 20, in the order of vocab_tokens.")
    vocab_tokens: list[str] = Field(description="L A G V S E R T I D P K Q N F Y M H W C.")


class PredictResult(Logits, Remarks):
    """Masked prediction of one item."""

    sequence_tokens: list[str] = Field(description="The residues, `<mask>` as one.")


class PredictResultV2(PredictResult):
    """The same with the name of 2023."""

    alphabet_tokens: list[str] = Field(description="The same as vocab_tokens.")


class LogProbResult(Remarks):
    """Likelihood of one item."""

    log_prob: float = Field(
        description="Sum of log p(residue | whole sequence) over the 20 amino acids, one pass without masks."
    )


class EncodeResult(Remarks):
    """What every version gives for one item; only what was included is there."""

    sequence_index: int = Field(description="Place of the item in the request, from 0.")
    embeddings: list[LayerEmbedding] | None = Field(None, description="mean: residues pooled, per layer.")
    bos_embeddings: list[LayerEmbedding] | None = Field(None, description="bos: the cls token, per layer.")
    contacts: Matrix | None = Field(None, description="contacts: probabilities, residues x residues.")
    logits: Matrix | None = Field(None, description="logits: residues x 20, in the order of vocab_tokens.")
    vocab_tokens: list[str] | None = Field(None, description="With logits: what the 20 columns are.")
    attentions: list[Any] | None = Field(
        None,
        description="attentions: layers x residues, attention received, mean over heads and queries; with "
        "params.layers or heads the full maps, layers x heads x residues x residues.",
    )


class EncodeResultV1(EncodeResult):
    """The same with the name of the open gateway."""

    residue_embeddings: list[LayerEmbeddings] | None = Field(None, description="per_residue: per layer.")


class EncodeResultV3(EncodeResult):
    """The same with the name of today."""

    per_token_embeddings: list[LayerEmbeddings] | None = Field(None, description="per_token: per layer.")


class EncodeResultV2(EncodeResultV3):
    """The same with the names of 2023 besides."""

    mean_representations: dict[str, Vector] | None = Field(None, description="mean, by layer.")
    bos_representations: dict[str, Vector] | None = Field(None, description="bos, by layer.")
    representations: dict[str, Matrix] | None = Field(None, description="per_token, by layer.")
    alphabet_tokens: list[str] | None = Field(None, description="The same as vocab_tokens.")


_ENCODE: dict[Version, type[BaseModel]] = {
    Version.V1: EncodeResultV1,
    Version.V2: EncodeResultV2,
    Version.V3: EncodeResultV3,
}


@cache
def response_type(version: Version, action: str, *, is_legacy: bool = False) -> type[BaseModel]:
    """The answer of an action."""
    result: type[BaseModel] = LogProbResult
    if action == "encode":
        result = _ENCODE[version]
    elif action == "predict":
        result = PredictResultV2 if version is Version.V2 else PredictResult
    return answer_type(result, key=legacy.RESULTS_KEY, prefix="Legacy") if is_legacy else answer_type(result)


def answer_type(
    result: type[BaseModel],
    listed: str = "One entry per item, in the order of the request.",
    *,
    key: str = "results",
    prefix: str = "",
) -> type[BaseModel]:
    """An answer with such results, called like one of them in the plural.

    Args:
        result: type of an entry.
        listed: what the list of them is.
        key: where it is.
        prefix: of the name.
    """
    results: Any = (list[result], Field(description=listed))  # type: ignore[valid-type]
    about: Any = (Provenance | None, Field(None, description="With params.provenance: what made the answer."))
    fields: dict[str, Any] = {key: results, "esmkit": about}
    return create_model(f"{prefix}{result.__name__}s", __base__=Shown, __doc__="The answer to a request.", **fields)


def request_schema(
    version: Version, action: str, bounds: Bounds, shape: ModelShape, *, is_legacy: bool = False
) -> dict[str, Any]:
    """JSON Schema of a request to one model, everything in place, with the layers and heads that it has."""
    kind = legacy.request_type(action, bounds) if is_legacy else esm2.request_type(version, action, bounds)
    described = schema.inlined(kind)
    described["properties"]["params"]["type"] = ["object", "null"]
    if action == "encode":
        params, last = described["properties"]["params"]["properties"], shape.num_layers
        params["repr_layers"]["items"] |= {"minimum": -last - 1, "maximum": last}
        params["layers"]["anyOf"][0]["items"] |= {"minimum": -last, "maximum": last, "not": {"const": 0}}
        params["heads"]["anyOf"][0]["items"] |= {"minimum": 1, "maximum": shape.num_heads}
    return described


class RequestSchema(BaseModel):
    """A JSON Schema of an object; BioLM's clients read `properties.items.maxItems` and `throttle_rate`."""

    type: Literal["object"] = Field(description="Requests are objects.")
    title: str = Field(description="Its name.")
    description: str = Field(description="What it is for.")
    properties: dict[str, Any] = Field(description="Schemas of `items` and `params`.")
    required: list[str] = Field(description="What a request must have.")
    throttle_rate: str = Field(
        pattern=r"^\d+/(second|minute)$", description="How many requests clients may send, in a second or minute."
    )


class ErrorEntry(Shown):
    """One thing that is wrong."""

    loc: list[str | int] = Field(description="Where in the request, from the top.")
    msg: str = Field(description="What was found and what is allowed.")
    type: str = Field(description="Stable name of the kind of error.")


class ErrorBody(Shown):
    """Every error has this shape, whatever its status."""

    error: str | dict[str, list[str]] = Field(description="Text, or messages by field such as items__0__sequence.")
    detail: str = Field(description="All messages as one text.")
    errors: list[ErrorEntry] = Field(description="The messages one by one.")
    status_code: int = Field(description="The HTTP status.")
    code: str = Field(description="user.validation, user.resource_not_found, auth_failed, rate_limited, ...")
