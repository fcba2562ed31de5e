"""Variants worth making: before anything was measured, and after a round of measurements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from esmkit.server.actions import designing, next_round
from esmkit.server.services import services
from esmkit.web.page import Page
from esmkit.web.pages.predictors import shown_predictors


async def _data(request: Request) -> Mapping[str, Any]:
    server = services(request)
    return {
        "predictors": [each for each in shown_predictors(server) if each["level"] == "sequence" and each["served_by"]],
        "design": {
            "most_variants": designing.MAX_SCORED,
            "most_letters": designing.MAX_LETTERS,
            "most_computed": designing.MAX_COMPUTED,
        },
        "next": {
            "is_served": next_round.ACTION.is_served(server.resources),
            "most_measured": next_round.MAX_MEASURED,
            "most_candidates": next_round.MAX_CANDIDATES,
            "most_letters": next_round.MAX_LETTERS,
        },
    }


PAGE = Page(
    name="design",
    path="/design",
    title="Design",
    description="Which variants of a protein to make next: what a model proposes, or what measurements suggest.",
    data=_data,
)
