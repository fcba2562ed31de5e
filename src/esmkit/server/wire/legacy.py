"""BioLM's first API, of 2022: `{"instances": [{"data": {"text": ...}}]}`, answered as `predictions`."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, Field, create_model

from esmkit.server.wire import esm2
from esmkit.server.wire.base import Body, Bounds, Call, Version, parsed
from esmkit.types import ModelShape

RESULTS_KEY = "predictions"


def instances_field(index: int) -> tuple[str | int, ...]:
    """Where the sequence of an item stands in a request."""
    return ("instances", index, "data", "text")


def plan(body: bytes, action: str, shape: ModelShape, bounds: Bounds) -> Call:
    """What the queue must compute for a request.

    Raises:
        InvalidRequestError: lists every field that is wrong.
    """
    wanted = parsed(request_type(action, bounds), body)
    texts = [instance.data.text for instance in wanted.instances]
    return esm2.plan(action, texts, wanted.params, shape, bounds, field_of=instances_field, results_key=RESULTS_KEY)


@cache
def request_type(action: str, bounds: Bounds) -> type[BaseModel]:
    """The request of an action."""
    params = esm2.request_type(Version.V2, action, bounds).model_fields["params"]
    data = create_model("Data", __base__=Body, __doc__="One protein.", text=esm2.sequence_field(action, bounds))
    instance = create_model(
        "Instance", __base__=Body, __doc__="One item.", data=(data, Field(description="What the item holds."))
    )
    instances = Field(min_length=1, max_length=bounds.max_items, description="The proteins; answered in this order.")
    fields: dict[str, Any] = {
        "instances": (list[instance], instances),  # type: ignore[valid-type]
        "params": (params.annotation, params),
    }
    return create_model(
        "LegacyRequest",
        __base__=esm2.Request,
        __doc__=esm2.Request.__doc__,
        **fields,
    )
