"""Which models there are: BioLM's catalogue, and the pages of its open gateway."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from esmkit.server.answers import json_response
from esmkit.server.catalog import LISTED_ACTIONS, ServedModel
from esmkit.server.service_docs import ModelEntry, ModelPage, ResourceSpec, answered
from esmkit.server.services import Services, services
from esmkit.server.wire import esm2_knowledge
from esmkit.server.wire.esm2_knowledge import KNOWLEDGE, Knowledge

router = APIRouter(tags=["catalogue"])
hub = APIRouter(tags=["catalogue"])
Slug = Annotated[str, Path(description="A slug of a served model, in any case.")]
_SEQUENCES = {"predict": "MKTAY<mask>AKQR"}
_MARKDOWN = {"text/markdown": {"schema": {"type": "string"}, "example": "# ESM2\n"}}


class Format(StrEnum):
    """Forms of a model's description."""

    JSON = "json"
    MARKDOWN = "md"


@router.get(
    "/api/ui/community-api-models",
    summary="The served models",
    **answered(list[ModelEntry]),
)
@router.get("/ui/community-api-models", include_in_schema=False)
async def models(request: Request) -> Response:
    """The list that BioLM's command line shows."""
    return json_response([model.entry() for model in services(request).catalog.models], request=request)


@router.get(
    "/api/ui/community-api-models/{slug}",
    summary="One model with code examples",
    **answered(ModelPage, 404),
)
@router.get("/ui/community-api-models/{slug}", include_in_schema=False)
async def model(request: Request, slug: Slug) -> Response:
    """The page of one model in BioLM's command line; its query parameters make no difference."""
    found = services(request).catalog.find(slug)
    return json_response({**found.entry(), "code_examples": _commands(request, found)}, request=request)


@router.get(
    "/resource-specs",
    summary="What each model takes",
    **answered(dict[str, ResourceSpec]),
)
async def resource_specs(request: Request) -> Response:
    """Memory, threads and device by slug, in the words of BioLM's open gateway."""
    server = services(request)
    return json_response({model.slug: _resources(server, model) for model in server.catalog.models})


@hub.get(
    "/api/v1/{slug}/knowledge",
    summary="What the family of a model is good for",
    response_model=Knowledge,
    responses={200: {"content": _MARKDOWN}, 400: {}, 404: {}},
)
async def knowledge(
    request: Request,
    slug: Annotated[str, Path(description="A slug of a served model, in any case, or esm2.")],
    form: Annotated[Format, Query(alias="format", description="json, or md for a page in Markdown.")] = Format.JSON,
) -> Response:
    """Strengths, weaknesses, papers and license, as BioLM's open gateway tells them."""
    if slug.casefold() != esm2_knowledge.FAMILY:
        services(request).catalog.find(slug)
    if form is Format.MARKDOWN:
        return Response(esm2_knowledge.markdown(KNOWLEDGE), media_type="text/markdown")
    return json_response(KNOWLEDGE.model_dump(), request=request)


def _commands(request: Request, model: ServedModel) -> dict[str, str]:
    """A command per action that runs when copied into a shell, once KEY is replaced."""
    base = str(request.base_url).rstrip("/")
    return {
        action: f"curl {base}/api/v3/{model.slug}/{action}/ -H 'Content-Type: application/json' "
        "-H 'Authorization: Token KEY' "
        f'-d \'{{"items": [{{"sequence": "{_SEQUENCES.get(action, "MKTAYIAKQR")}"}}]}}\''
        for action in LISTED_ACTIONS
    }


def _resources(server: Services, model: ServedModel) -> dict[str, Any]:
    info, settings = server.queue.info(model.name), server.settings
    device = (info.provenance or {}).get("device", settings.device)
    gpu = None if device in ("auto", "cpu") else device
    return {
        "cpu": settings.threads,
        "memory": math.ceil(info.memory_bytes / 2**20),
        "gpu": gpu,
        "gpu_count": 1 if gpu else None,
        "timeout": math.ceil(settings.deadline_s),
        "startup_timeout": None,
        "scaledown_window": None,
        "max_containers": 1,
    }
