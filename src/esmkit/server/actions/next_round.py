"""`next_round`: the next variants to measure, from what earlier rounds measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

from pydantic import BaseModel, Field

from esmkit.applications.design import Featurizer, Plate, Policy, next_plate
from esmkit.applications.mutations.variants import describe
from esmkit.engine import Model
from esmkit.server.actions.base import Action, Cost, Resources, checked_residues, request_type
from esmkit.server.actions.rounds import (
    MAX_CANDIDATES,
    MAX_LETTERS,
    MAX_MEASURED,
    NextItem,
    NextParams,
    Round,
    rounds_of,
)
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire.base import Bounds
from esmkit.server.wire.esm2_docs import Shown, answer_type

__all__ = ["ACTION", "MAX_CANDIDATES", "MAX_LETTERS", "MAX_MEASURED"]

_NUMBERS_PER_LETTER = 30
_NUMBERS_PER_VARIANT = 1600
"""Memory while it learns, in numbers of an answer of 16 bytes each: a residue is 20 features, an embedding 1,280."""


class NextSuggestion(Shown):
    """A variant to measure."""

    mutant: str = Field(description="Such as A24G:K30R.")
    sequence: str = Field(description="All of it.")
    predicted_mean: float = Field(description="Label, the mean over the ensemble.")
    predicted_sd: float = Field(description="Standard deviation over the ensemble.")
    acquisition: float = Field(description="What it was chosen by; higher is better.")
    rank_by_mean: int = Field(description="Among all candidates, from 1.")
    rank_by_sd: int = Field(description="The same, the most uncertain first.")
    nearest: int = Field(description="Positions at which it differs from the nearest one chosen before; 0 first.")
    measured: str = Field(description="The nearest variant that was measured, WT for the wild type.")
    measured_distance: int = Field(description="Positions at which it differs from that.")
    measured_value: float = Field(description="The label of that.")


class NextResult(Shown):
    """The next plate."""

    measured: int = Field(description="Different variants that were learnt from.")
    candidates: int = Field(description="Of which it was chosen; none was measured before.")
    spearman: float | None = Field(
        description="Rank correlation of labels with predictions by members that did not see them; null if undefined."
    )
    suggestions: list[NextSuggestion] = Field(
        description="The best first; fewer than wanted where no other candidate is far enough."
    )


@cache
def _request(bounds: Bounds) -> type[BaseModel]:
    return request_type("NextRound", bounds, NextParams, NextItem)


def _cost(asked: Any, bounds: Bounds) -> Cost:
    params: NextParams = asked.params
    checked_residues(asked.items, params, bounds)
    if sum(len(item.measured) for item in asked.items) > MAX_MEASURED:
        message = f"more than {MAX_MEASURED} measured variants in one request; send fewer items"
        raise InvalidRequestError([Issue(("items",), message, "measured")])
    rounds = rounds_of(asked.items, params)
    variants = sum(each.variants(params) for each in rounds)
    letters = sum(each.variants(params) * len(each.wild_type) for each in rounds)
    if letters > MAX_LETTERS:
        message = f"{letters:,} residues of measured variants and candidates, at most {MAX_LETTERS:,} are allowed"
        raise InvalidRequestError([Issue(("params", "max_candidates"), message, "candidates")])
    residues = 0 if params.features == "residues" else letters
    return Cost(len(rounds), residues, _NUMBERS_PER_LETTER * letters + _NUMBERS_PER_VARIANT * variants)


def _run(asked: Any, model: Model, resources: Resources) -> Sequence[Mapping[str, Any]]:
    params: NextParams = asked.params
    featurize = Featurizer(
        () if params.features == "residues" else (model,),
        residues=params.features != "embeddings",
        layer=params.layer,
        pooling=params.pooling,
    )
    names = ("acquisition", "beta", "goal", "members", "min_distance", "seed")
    policy = Policy(**{name: getattr(params, name) for name in names})
    return [
        _entry(each, next_plate(each.measured, each.candidates(params), featurize, policy, wells=params.plate))
        for each in rounds_of(asked.items, params)
    ]


def _entry(asked: Round, plate: Plate) -> dict[str, Any]:
    def named(sequence: str) -> str:
        return describe(asked.wild_type, sequence, offset=asked.offset)

    return {
        "measured": len(asked.measured.sequences),
        "candidates": plate.candidates,
        "spearman": plate.ensemble.spearman,
        "suggestions": [
            {
                "mutant": named(each.sequence),
                "sequence": each.sequence,
                "predicted_mean": each.mean,
                "predicted_sd": each.sd,
                "acquisition": each.acquisition,
                "rank_by_mean": each.rank_by_mean,
                "rank_by_sd": each.rank_by_sd,
                "nearest": each.nearest,
                "measured": named(each.measured),
                "measured_distance": each.measured_distance,
                "measured_value": each.measured_value,
            }
            for each in plate.suggestions
        ],
    }


ACTION = Action(
    name="next_round",
    title="the next plate of an evolution",
    description="Learns from the measured variants of a protein, with an ensemble on embeddings and residues, and "
    "chooses those to measure next. What was measured is not proposed again.",
    request=_request,
    answer=answer_type(NextResult),
    cost=_cost,
    run=_run,
    body={
        "items": [
            {
                "sequence": "MKTAYIAKQR",
                "measured": [
                    {"variant": "WT", "value": 1.0},
                    {"variant": "A4G", "value": 1.4},
                    {"variant": "A4K", "value": 0.3},
                    {"variant": "K8R", "value": 1.7},
                    {"variant": "K8E", "value": 0.2},
                ],
                "candidates": ["A4G:K8R"],
            }
        ]
    },
    result={
        "measured": 5,
        "candidates": 1,
        "spearman": 0.1,
        "suggestions": [
            {
                "mutant": "A4G:K8R",
                "sequence": "MKTGYIARQR",
                "predicted_mean": 1.5,
                "predicted_sd": 0.2,
                "acquisition": 1.7,
                "rank_by_mean": 1,
                "rank_by_sd": 1,
                "nearest": 0,
                "measured": "K8R",
                "measured_distance": 1,
                "measured_value": 1.7,
            }
        ],
    },
    is_served=lambda resources: find_spec("sklearn") is not None,
)
