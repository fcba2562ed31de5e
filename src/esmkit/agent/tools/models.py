"""`list_models`: which models a server has."""

from __future__ import annotations

from typing import Any

from esmkit.agent.tools.base import Answer, Arguments, Session, Tool
from esmkit.agent.tools.calling import bounds

_OWN = {"mutations", "compare", "search", "design"}
_NEEDED = {"search": "search", "design": "design_proposals"}


class ListModels(Arguments):
    """No arguments."""


async def _list_models(_: ListModels, session: Session) -> Answer:
    models = await session.service.get("/api/ui/community-api-models")
    paths = (await session.service.get("/openapi.json"))["paths"]
    listed: list[dict[str, Any]] = []
    for model in models:
        slug = model["slug"]
        limit = await bounds(session, slug, "encode")
        offered = sorted(action for action in _OWN if f"/api/v3/{slug}/{action}" in paths)
        listed.append(
            {
                "slug": slug,
                "title": model["name"],
                "description": model["description"],
                "most_residues_of_a_sequence": limit["residues"],
                "offers": ["embeddings", "contacts", "masked prediction", *offered],
            }
        )
    content: dict[str, Any] = {"models": listed, "default": listed[0]["slug"] if listed else None}
    if listed and not any("search" in each["offers"] for each in listed):
        content["search"] = "not offered: the operator has put no index on this server"
    return Answer(content)


LIST_MODELS = Tool(
    name="list_models",
    title="List models",
    description="Which ESM-2 protein language models this server has, how long a sequence may be (residues), and what "
    "is offered. Use it first when the user asks what is possible, or names a model. Larger models (650m, 3b) are "
    "better and slower than small ones (8m, 35m); esm2-mini is for trying out and knows little biology.",
    arguments=ListModels,
    run=_list_models,
)
