"""BioLM's first API, of 2022: `{"instances": [{"data": {"text": ...}}]}`, answered as `predictions`."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, Field, create_model

from esmkit.server.wire import esm2
from esmkit.server.wire.base import Body, Bounds, Call, Version, parsed
from esmkit.types import ModelShape


class _Data(Body):
    text: str = Field(description="The sequence.")


class _Instance(Body):
    data: _Data


def instances_field(index: int) -> tuple[str | int, ...]:
    """Where the sequence of an item stands in a request."""
    return ("instances", index, "data", "text")


def plan(body: bytes, action: str, shape: ModelShape, bounds: Bounds) -> Call:
    """What the queue must compute for a request.

    Raises:
        InvalidRequestError: lists every field that is wrong.
    """
    wanted = parsed(_request_type(action, bounds), body)
    texts = [instance.data.text for instance in wanted.instances]
    return esm2.plan(action, texts, wanted.params, shape, bounds, field_of=instances_field, results_key="predictions")


@cache
def _request_type(action: str, bounds: Bounds) -> type[BaseModel]:
    params = esm2.request_type(Version.V2, action, bounds).model_fields["params"]
    fields: dict[str, Any] = {
        "instances": (list[_Instance], Field(min_length=1, max_length=bounds.max_items)),
        "params": (params.annotation, params),
    }
    return create_model("LegacyRequest", __base__=esm2.Request, **fields)
