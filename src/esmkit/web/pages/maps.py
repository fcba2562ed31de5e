"""A map of many proteins: which are alike, coloured by what is known of them."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from starlette.requests import Request

from esmkit.server.actions.many import MOST_ITEMS
from esmkit.server.services import services
from esmkit.web.page import Page


async def _data(request: Request) -> Mapping[str, Any]:
    return {
        "most_items": MOST_ITEMS,
        "most_bytes": services(request).settings.max_body_bytes,
        "offers": {"maps": _has("sklearn"), "umap": _has("umap"), "leiden": _has("igraph")},
    }


def _has(module: str) -> bool:
    return find_spec(module) is not None


PAGE = Page(
    name="map",
    path="/map",
    title="Map",
    description="Many proteins as points: like embeddings lie close together.",
    data=_data,
)
