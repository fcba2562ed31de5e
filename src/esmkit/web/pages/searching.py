"""The nearest proteins in an index of the server, and labels taken over from them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from esmkit.applications.search import Index
from esmkit.applications.search.calibration import kept_calibrations
from esmkit.server.services import Services, services
from esmkit.web.page import Page


async def _data(request: Request) -> Mapping[str, Any]:
    server = services(request)
    found = await asyncio.to_thread(_indexes, server)
    return {"indexes": found}


def _indexes(server: Services) -> list[dict[str, Any]]:
    return [_shown(name, index, server) for name, index in server.resources.indexes.items()]


def _shown(name: str, index: Index, server: Services) -> dict[str, Any]:
    """What the page says of an index.

    `model` is the served one that it was built with, or None; `labels` are columns whose reliability was measured.
    """
    card, proteins = index.card, len(index.table)
    served = [model.slug for model in server.catalog.models if card.space.slug.casefold() in (model.slug, model.name)]
    return {
        "name": name,
        "proteins": proteins,
        "built_with": card.space.slug,
        "model": served[0] if served else None,
        "pooling": card.space.pooling,
        "layers": card.space.layers,
        "approximate": card.approximate is not None,
        "columns": [{"name": column.name, "kind": column.kind} for column in card.columns],
        "labels": [
            {"column": each.label, "k": each.neighbours}
            for each in kept_calibrations(index.folder)
            if each.proteins == proteins
        ],
    }


PAGE = Page(
    name="search",
    path="/search",
    title="Search",
    description="Which known proteins are most like yours, by their embeddings.",
    data=_data,
)
