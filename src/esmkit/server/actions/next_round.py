"""`next_round`: the next variants to measure, from what earlier rounds measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from esmkit.applications.design import Featurizer, Measured, Plate, Policy, Space, next_plate, offspring
from esmkit.applications.design.plate import Acquisition
from esmkit.applications.mutations.variants import check_wild_type, describe, parse
from esmkit.applications.vectors import Pooling
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError, UserError
from esmkit.server.actions.base import Action, Cost, Resources, checked_residues, request_type
from esmkit.server.actions.designing import DesignItem, constraint_issue, space_of
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire import esm2
from esmkit.server.wire.base import Body, Bounds
from esmkit.server.wire.esm2_docs import Shown, answer_type

MAX_MEASURED = 384
"""Variants of a request that are learnt from, four plates of 96: some seconds of one core."""
MAX_CANDIDATES = 5000
MAX_LETTERS = 2**18
"""Residues of all variants of a request, measured ones and candidates."""
_NUMBERS_PER_LETTER = 30
_NUMBERS_PER_VARIANT = 1600
"""Memory while it learns, in numbers of an answer of 16 bytes each: a residue is 20 features, an embedding 1,280."""


class MeasuredVariant(Body):
    """What was measured of a variant."""

    variant: str = Field(
        min_length=1, max_length=40_000, description="A24G, A24G:K30R, or a whole sequence.", examples=["A4G"]
    )
    value: float = Field(description="Its label.")


class NextItem(DesignItem):
    """A wild type, what was measured of its variants, and what may change."""

    measured: list[MeasuredVariant] = Field(
        min_length=1,
        max_length=MAX_MEASURED,
        description="All earlier rounds; what comes several times gets the mean.",
    )
    candidates: list[str] | None = Field(
        None,
        min_length=1,
        max_length=MAX_CANDIDATES,
        description="Variants to choose from, written as the measured ones; otherwise made by the constraints.",
    )
    most: int = Field(50, ge=1, le=50, description="Mutations of a candidate, at most.")


class NextParams(esm2.Params):
    """How it is learnt and chosen."""

    long: Literal["error"] = Field("error", description="A wild type must fit into the limit.")
    generate: Literal["combinations", "offspring"] = Field(
        "combinations", description="Without candidates: combinations of `positions`, or offspring of the best so far."
    )
    max_candidates: int = Field(
        500,
        ge=1,
        le=MAX_CANDIDATES,
        description=f"Of a larger space so many at random. Measured variants and candidates have at most "
        f"{MAX_LETTERS:,} residues together, over all items.",
    )
    parents: int = Field(10, ge=1, le=MAX_MEASURED, description="Of offspring: the best so many.")
    features: Literal["both", "embeddings", "residues"] = Field("both", description="What is learnt from.")
    layer: int = Field(-1, ge=-128, le=128, description="Of embeddings: 0 to N, or from the end.")
    pooling: Pooling = Field("mean", description="Of embeddings.")
    members: int = Field(32, ge=2, le=32, description="Of the ensemble.")
    plate: int = Field(96, ge=1, le=384, description="How many variants are wanted of each wild type.")
    goal: Literal["max", "min"] = Field("max", description="High labels are wanted, or low ones.")
    acquisition: Acquisition = Field(
        "ucb", description="Best mean (exploit); mean + beta x sd (ucb); or a random member's best (thompson)."
    )
    beta: float = Field(1.0, ge=0, le=1000, description="Of ucb: more explores more.")
    min_distance: int = Field(1, ge=1, le=100, description="Positions at which any two differ at least.")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Of everything random.")


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


@dataclass(frozen=True, slots=True)
class _Round:
    """An item, read.

    Attributes:
        wild_type: the sequence.
        offset: of the numbering.
        measured: earlier rounds.
        listed: the candidates, where they were given.
        space: what they come from otherwise.
    """

    wild_type: str
    offset: int
    measured: Measured
    listed: tuple[str, ...] | None
    space: Space | None

    def variants(self, params: NextParams) -> int:
        """How many are learnt from and chosen from, at most."""
        made = params.max_candidates if self.space is None else min(params.max_candidates, self.space.size)
        return len(self.measured.sequences) + (made if self.listed is None else len(self.listed))

    def candidates(self, params: NextParams) -> Sequence[str]:
        """What to choose from."""
        if self.listed is not None:
            return self.listed
        assert self.space is not None
        random = np.random.default_rng([params.seed, 1])  # another stream than that of the policy
        if params.generate == "combinations":
            return self.space.sample(params.max_candidates, random)
        sign = 1 if params.goal == "max" else -1
        best = np.argsort(-sign * self.measured.values, kind="stable")[: params.parents]
        found = offspring(self.space, [self.measured.sequences[at] for at in best], params.max_candidates, random)
        if not found:
            raise InvalidConfigError(
                "no offspring of the best measured variants keeps the constraints; allow more positions, residues or "
                "mutations",
                setting="generate",
            )
        return found


@cache
def _request(bounds: Bounds) -> type[BaseModel]:
    return request_type("NextRound", bounds, NextParams, NextItem)


def _cost(asked: Any, bounds: Bounds) -> Cost:
    params: NextParams = asked.params
    checked_residues(asked.items, params, bounds)
    if sum(len(item.measured) for item in asked.items) > MAX_MEASURED:
        message = f"more than {MAX_MEASURED} measured variants in one request; send fewer items"
        raise InvalidRequestError([Issue(("items",), message, "measured")])
    rounds = _rounds(asked.items, params)
    variants = sum(each.variants(params) for each in rounds)
    letters = sum(each.variants(params) * len(each.wild_type) for each in rounds)
    if letters > MAX_LETTERS:
        message = f"{letters:,} residues of measured variants and candidates, at most {MAX_LETTERS:,} are allowed"
        raise InvalidRequestError([Issue(("params", "max_candidates"), message, "candidates")])
    residues = 0 if params.features == "residues" else letters
    return Cost(len(rounds), residues, _NUMBERS_PER_LETTER * letters + _NUMBERS_PER_VARIANT * variants)


def _rounds(items: Sequence[NextItem], params: NextParams) -> list[_Round]:
    """All items, read.

    Raises:
        InvalidRequestError: lists everything that is wrong with them.
    """
    issues: list[Issue] = []
    rounds = [_round(number, item, params, issues) for number, item in enumerate(items)]
    if issues:
        raise InvalidRequestError(issues)
    return [each for each in rounds if each is not None]


def _round(number: int, item: NextItem, params: NextParams, issues: list[Issue]) -> _Round | None:
    """One item, read; adds to `issues` what is wrong with it."""
    before = len(issues)
    try:
        check_wild_type(item.sequence, offset=item.offset, name="the wild type")
    except UserError as error:
        issues.append(Issue(("items", number, "sequence"), error.message, "sequence_residue"))
        return None
    labels = [each.value for each in item.measured]
    texts: dict[tuple[str | int, ...], str] = {
        ("measured", at, "variant"): each.variant for at, each in enumerate(item.measured)
    }
    texts |= {("candidates", at): text for at, text in enumerate(item.candidates or ())}
    read = [_read(text, item, ("items", number, *place), issues) for place, text in texts.items()]
    if len(issues) > before:
        return None
    listed = None if item.candidates is None else tuple(read[len(labels) :])
    if listed is None and params.generate == "combinations" and item.positions is None:
        message = "combinations need positions; or list candidates, or let params.generate be offspring"
        issues.append(Issue(("items", number, "positions"), message, "positions_missing"))
        return None
    try:
        measured = Measured.of(zip(read[: len(labels)], labels, strict=True))
    except UserError as error:
        issues.append(Issue(("items", number, "measured"), error.message, "measured"))
        return None
    try:
        space = None if listed is not None else space_of(item)
    except UserError as error:
        issues.append(constraint_issue(number, error))
        return None
    return _Round(item.sequence, item.offset, measured, listed, space)


def _read(text: str, item: NextItem, place: tuple[str | int, ...], issues: list[Issue]) -> str:
    """The sequence of a variant; adds to `issues` what is wrong with it."""
    try:
        sequence = parse(text, item.sequence, offset=item.offset)
    except UserError as error:
        issues.append(Issue(place, error.message, "variant"))
        return ""
    if len(sequence) != len(item.sequence):
        message = f"{len(sequence)} residues, and the wild type {len(item.sequence)}; designs substitute residues only"
        issues.append(Issue(place, message, "variant_length"))
    return sequence


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
        for each in _rounds(asked.items, params)
    ]


def _entry(asked: _Round, plate: Plate) -> dict[str, Any]:
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
