"""Asking the predictors of this server, and fitting one to measurements of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from esmkit.applications.predictors import Card
from esmkit.server.actions.fitting import FEWEST_LABELLED, MOST_CLASSES, MOST_NUMBERS
from esmkit.server.actions.many import MOST_ITEMS
from esmkit.server.services import Services, services
from esmkit.web.page import Page


async def _data(request: Request) -> Mapping[str, Any]:
    return {
        "predictors": shown_predictors(services(request)),
        "fit": {
            "fewest": FEWEST_LABELLED,
            "most": MOST_ITEMS,
            "most_classes": MOST_CLASSES,
            "most_numbers": MOST_NUMBERS,
        },
    }


def shown_predictors(server: Services) -> list[dict[str, Any]]:
    """What a page says of the predictors of this server.

    Returns:
        Per predictor its name, what is on its card, and `served_by`: the slug of the served model that it belongs
        to, None if there is none.
    """
    return [_shown(name, saved.card, server) for name, saved in server.resources.predictors.items()]


def _shown(name: str, card: Card, server: Services) -> dict[str, Any]:
    long = card.provenance.get("long")
    return {
        "name": name,
        "task": card.task.kind,
        "level": card.task.level,
        "label": card.task.label,
        "classes": card.task.classes,
        "estimator": card.settings.get("estimator"),
        "layers": card.layers,
        "pooling": card.pooling,
        "base": card.base.slug,
        "served_by": _served_by(card, server),
        "metrics": card.metrics,
        "split": card.provenance.get("split"),
        "groups": card.provenance.get("groups"),
        "longest": long.get("max_length") if isinstance(long, Mapping) else None,
        "data_sha256": card.provenance.get("data_sha256"),
    }


def _served_by(card: Card, server: Services) -> str | None:
    """By its weights, as soon as these are known; by its name before."""
    for model in server.catalog.models:
        provenance = server.queue.info(model.name).provenance
        if provenance is None:
            is_it = model.slug == card.base.slug.lower()
        else:
            is_it = provenance["weights_sha256"] == card.base.weights_sha256
        if is_it:
            return model.slug
    return None


PAGE = Page(
    name="predictors",
    path="/predictors",
    title="Predictors",
    description="A property of a protein from its sequence: ask a predictor, or fit one to what you measured.",
    data=_data,
)
