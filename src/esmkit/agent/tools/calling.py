"""How tools ask the server: which model, in how many requests, and what its answer says about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from esmkit.agent.errors import ToolError
from esmkit.agent.tools.base import Session

_DIGEST = 12


@dataclass(frozen=True)
class Called:
    """What the server answered.

    Attributes:
        results: one entry per item, in order.
        made_by: the model, its weights and the program, in one line.
    """

    results: list[Any]
    made_by: str


async def chosen(session: Session, model: str | None) -> str:
    """The slug of a model, or the first of the server."""
    if model:
        return model
    models = (await session.service.get("/")).get("supported_models")
    if not models:
        raise ToolError("the server has no model")
    return str(models[0])


async def called(
    session: Session,
    model: str | None,
    action: str,
    items: Sequence[Mapping[str, Any]],
    params: Mapping[str, Any] | None = None,
) -> Called:
    """The answer of an action to all items, in as many requests as the server wants."""
    slug = await chosen(session, model)
    at_once = 1 if len(items) == 1 else (await bounds(session, slug, action))["items"]
    results, made_by = [], ""
    for start in range(0, len(items), at_once):
        wanted = {**(params or {}), "provenance": True}
        answer = await session.service.call(slug, action, items[start : start + at_once], wanted)
        results += answer["results"]
        made_by = _line(answer.get("esmkit") or {"slug": slug})
    return Called(results, made_by)


async def bounds(session: Session, slug: str, action: str) -> dict[str, int]:
    """How many `items` and `residues` of each one request to a model may hold."""
    schema = await session.service.get(f"/api/v3/schema/{quote(slug, safe='')}/{action}")
    items = schema["properties"]["items"]
    longest = items["items"]["properties"].get("sequence", {})
    return {"items": int(items["maxItems"]), "residues": int(longest.get("maxLength", 0))}


def _line(found: Mapping[str, Any]) -> str:
    digest = str(found.get("weights_sha256", ""))[:_DIGEST]
    parts = (
        str(found.get("slug", "")),
        f"weights sha256 {digest} ({found.get('source', 'unknown')})" if digest else "",
        str(found.get("dtype", "")),
        f"esmkit {found['esmkit']}" if "esmkit" in found else "",
    )
    return ", ".join(part for part in parts if part)
