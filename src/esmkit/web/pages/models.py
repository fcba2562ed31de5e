"""Which models there are: sizes, limits, memory, licence."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from starlette.requests import Request

from esmkit.config import Settings
from esmkit.models import registry
from esmkit.models.locate import EMBEDDED, embedded_slug, find
from esmkit.server.actions import ACTIONS
from esmkit.server.catalog import ServedModel
from esmkit.server.services import Services, services
from esmkit.server.wire import esm2, mutations
from esmkit.server.wire.esm2_knowledge import FAMILY, KNOWLEDGE
from esmkit.types import ModelShape
from esmkit.web.page import Page

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_EMBEDDED_LICENCE = "Apache-2.0"


async def data(request: Request) -> Mapping[str, Any]:
    """The served models, the whole family, and what it is good for."""
    server = services(request)
    settings = server.settings
    return {
        "served": [_served(server, model) for model in server.catalog.models],
        "family": _family({model.slug for model in server.catalog.models}),
        "knowledge": KNOWLEDGE.model_dump(),
        "limits": {
            "max_items": settings.max_items,
            "residues": settings.max_residues,
            "long_residues": settings.max_long_residues,
            "residues_per_minute": settings.limit_residues_per_minute,
            "residues_per_day": settings.limit_residues_per_day,
            "requests_per_s": settings.limit_requests_per_s,
        },
        "actions": [*esm2.ACTIONS, mutations.ACTION, *(n for n, a in ACTIONS.items() if a.is_served(server.resources))],
    }


def _served(server: Services, model: ServedModel) -> dict[str, Any]:
    info = server.queue.info(model.name)
    known = registry.checkpoint(info.slug)
    made_by = info.provenance or {}
    stats = server.queue.stats().models.get(model.slug)
    parameters = known.parameters if known else _count(model.shape)
    is_embedded = info.slug == embedded_slug()
    return {
        "slug": model.slug,
        "title": model.title,
        "is_embedded": is_embedded,
        "state": "down" if info.is_down else info.state,
        "error": info.error,
        "layers": model.shape.num_layers,
        "width": model.shape.width,
        "heads": model.shape.num_heads,
        "parameters": parameters,
        "dtype": made_by.get("dtype", info.dtype),
        "device": made_by.get("device"),
        "attention": made_by.get("attention"),
        "weights_sha256": made_by.get("weights_sha256"),
        "weights_bytes": parameters * BYTES[info.dtype],
        "memory_bytes": info.memory_bytes if info.provenance else None,
        "max_residues": info.max_length,
        "tokens_per_s": stats.tokens_per_s if stats else 0.0,
        "checkpoint": known.name if known else None,
        "hub_id": known.hub_id if known else None,
        "licence": known.licence if known else _EMBEDDED_LICENCE if is_embedded else None,
    }


def _family(served: set[str]) -> list[dict[str, Any]]:
    """All public sizes after the small one that comes with the package; memory of the weights alone."""
    shape = _embedded_shape()
    public = registry.families()[FAMILY].checkpoints
    rows = [
        (embedded_slug(), None, shape, _count(shape), _EMBEDDED_LICENCE),
        *((each.slug, each.name, each.shape, each.parameters, each.licence) for each in public),
    ]
    return [
        {
            "slug": slug,
            "checkpoint": checkpoint,
            "layers": shape.num_layers,
            "width": shape.width,
            "heads": shape.num_heads,
            "parameters": parameters,
            "float32_bytes": 4 * parameters,
            "float16_bytes": 2 * parameters,
            "licence": licence,
            "is_served": slug in served,
        }
        for slug, checkpoint, shape, parameters, licence in rows
    ]


@cache
def _embedded_shape() -> ModelShape:
    return find(embedded_slug(), Settings(EMBEDDED)).shape


@cache
def _count(shape: ModelShape) -> int:
    """Trained numbers in a model of this shape; none of them is allocated."""
    import torch

    with torch.device("meta"):
        module = registry.families()[FAMILY].build(shape)
    return sum(parameter.numel() for parameter in module.parameters())


PAGE = Page(
    name="models",
    path="/models",
    title="Models",
    description="What this server runs, what each model takes, and what it is good for.",
    group="server",
    data=data,
    is_open=True,
)
