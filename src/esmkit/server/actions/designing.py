"""`design`: variants of a protein that a model, a predictor, or both like best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, Field

from esmkit.applications.design import (
    Likelihood,
    Objective,
    PredictedProperty,
    Proposal,
    Space,
    Strategy,
    Weighted,
    propose,
)
from esmkit.applications.design.proposals import StrategyName
from esmkit.applications.mutations.methods import METHODS
from esmkit.applications.mutations.variants import AMINO_ACIDS
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError, UserError
from esmkit.server.actions.base import Action, Cost, Item, Resources, checked_residues, request_type
from esmkit.server.actions.properties import ServedPredictor, predictor_named
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire import esm2
from esmkit.server.wire.base import Body, Bounds
from esmkit.server.wire.esm2_docs import Shown, answer_type

MAX_SCORED = 100_000
"""Variants that the search of a request looks at: some seconds of one core."""
MAX_LETTERS = 2**25
"""Their residues."""
MAX_COMPUTED = 2**20
"""Residues of variants where each goes through the model."""
_BLOCK = 40
"""Among so many sequences a step of Gibbs sampling chooses, at most: all residues of two positions, and its own."""
_NUMBERS_PER_LETTER = 1
_NUMBERS_PER_VARIANT = 40
"""Memory while it searches, in numbers of an answer, which take 16 bytes."""


class AllowedAt(Body):
    """Residues of one position."""

    position: int = Field(description="In the numbering of the item.")
    residues: str = Field(min_length=1, max_length=20, description="That may be put in there.", examples=["AVIL"])


class DesignItem(Item):
    """A parent, and what may change."""

    positions: list[int] | None = Field(
        None, min_length=1, max_length=4096, description="That may change, from 1 plus the offset; all by default."
    )
    fixed: list[int] = Field([], max_length=4096, description="Positions that may not.")
    allowed: str = Field(AMINO_ACIDS, min_length=1, max_length=20, description="Residues that may be put in.")
    allowed_at: list[AllowedAt] = Field([], max_length=4096, description="The same for single positions.")
    fewest: int = Field(1, ge=1, le=50, description="Mutations of a proposal, at least.")
    most: int = Field(3, ge=1, le=50, description="At most.")
    offset: int = Field(
        0, ge=-1_000_000, le=1_000_000, description="What positions add to places in the sequence, from 1."
    )


class DesignParams(esm2.Params):
    """What is wanted, and how it is searched."""

    long: Literal["error"] = Field("error", description="A parent must fit into the limit.")
    method: Literal["masked_marginal", "wt_marginal", "mutant_marginal", "one_pass_pll"] = Field(
        "masked_marginal",
        description="Of the likelihood. The first two compute the parent only; the others compute every variant that "
        f"the search looks at, and so does a predictor: at most {MAX_COMPUTED:,} residues of them then.",
    )
    model_weight: float | None = Field(
        None, ge=-1e6, le=1e6, description="Of the likelihood; by default 1, and 0 with a predictor."
    )
    predictor: str | None = Field(None, max_length=200, description="A predictor of this server, see `property`.")
    predictor_class: str | None = Field(None, max_length=200, description="The class whose probability is wanted.")
    predictor_weight: float = Field(1.0, ge=-1e6, le=1e6, description="Negative where less is better.")
    strategy: StrategyName = Field(
        "beam",
        description=f"How to search. It looks at up to {MAX_SCORED:,} variants, of {MAX_LETTERS:,} residues together; "
        "greedy and beam at all mutations of each of the `width` sequences that they keep, at each of `most` steps.",
    )
    width: int = Field(5, ge=1, le=1000, description="Of beam: variants kept.")
    chains: int = Field(5, ge=1, le=1000, description="Of gibbs and anneal, side by side.")
    steps: int = Field(100, ge=1, le=10_000, description="Of each chain.")
    temperature: float = Field(
        1.0, ge=1e-3, le=1e3, description="Of gibbs; of anneal the first. In units of the objective."
    )
    final_temperature: float = Field(0.05, ge=1e-3, le=1e3, description="Of anneal: the last.")
    proposals: int = Field(10, ge=1, le=100, description="How many are wanted of each parent.")
    min_distance: int = Field(1, ge=1, le=100, description="Positions at which any two differ at least.")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Of everything random.")


class DesignProposal(Shown):
    """A variant to make."""

    mutant: str = Field(description="Such as A24G:K30R.")
    sequence: str = Field(description="All of it.")
    effects: dict[str, float] = Field(description="By mutation, what the objective loses without it.")
    objective: float = Field(description="The parent has 0.")
    terms: dict[str, float] = Field(
        description="What each term of the objective says: the likelihood by its method, prediction, or probability_ "
        "and the class."
    )
    nearest: int = Field(description="Positions at which it differs from the nearest better one; 0 for the best.")
    found: str = Field(description="How.")


class DesignResult(Shown):
    """Proposals for one parent."""

    proposals: list[DesignProposal] = Field(
        description="The best first; fewer than wanted where no other that was found is far enough."
    )


@cache
def _request(bounds: Bounds) -> type[BaseModel]:
    return request_type("Design", bounds, DesignParams, DesignItem)


def _cost(asked: Any, bounds: Bounds) -> Cost:
    params: DesignParams = asked.params
    items: list[DesignItem] = asked.items
    checked_residues(items, params, bounds)
    _check(params)
    spaces = _spaces(items)
    scored = [_scored(space, params) for space in spaces]
    letters = sum(count * len(space.parent) for count, space in zip(scored, spaces, strict=True))
    advice = "allow fewer positions, residues or mutations, or search with a smaller width, fewer chains or steps"
    if sum(scored) > MAX_SCORED or letters > MAX_LETTERS:
        message = (
            f"the search would look at {sum(scored):,} variants of {letters:,} residues, at most {MAX_SCORED:,} of "
            f"{MAX_LETTERS:,} are allowed; {advice}"
        )
        raise InvalidRequestError([Issue(("params", "strategy"), message, "search_too_large")])
    method = METHODS[params.method]
    computes_all = (method.reads_variant and _model_weight(params) != 0) or params.predictor is not None
    if computes_all and letters > MAX_COMPUTED:
        message = f"{letters:,} residues of variants would be computed, at most {MAX_COMPUTED:,} are allowed; {advice}"
        raise InvalidRequestError([Issue(("params", "strategy"), message, "search_too_large")])
    rows = [_masked_rows(space, params) if method.masks else 1 for space in spaces]
    parents = sum(len(space.parent) * count for space, count in zip(spaces, rows, strict=True))
    numbers = _NUMBERS_PER_LETTER * letters + _NUMBERS_PER_VARIANT * sum(scored)
    return Cost(len(items), parents + (letters if computes_all else 0), numbers)


def _check(params: DesignParams) -> None:
    """Refuses what is at odds.

    Raises:
        InvalidRequestError: a class without a predictor, or every weight is 0.
    """
    if params.predictor is None and params.predictor_class is not None:
        message = "a class is one of a predictor; name it in params.predictor"
        raise InvalidRequestError([Issue(("params", "predictor_class"), message, "option_unused")])
    if not _model_weight(params) and (params.predictor is None or not params.predictor_weight):
        message = "every weight is 0, so that nothing is wanted"
        raise InvalidRequestError([Issue(("params", "model_weight"), message, "weights")])


def _model_weight(params: DesignParams) -> float:
    return float(params.predictor is None) if params.model_weight is None else params.model_weight


def _spaces(items: Sequence[DesignItem]) -> list[Space]:
    """What may change, per item.

    Raises:
        InvalidRequestError: lists every item of which that makes no sense.
    """
    spaces, issues = [], []
    for number, item in enumerate(items):
        try:
            spaces.append(space_of(item))
        except UserError as error:
            issues.append(constraint_issue(number, error))
    if issues:
        raise InvalidRequestError(issues)
    return spaces


def constraint_issue(number: int, error: UserError) -> Issue:
    """What `space_of` found wrong with an item, by its field."""
    setting = (error.setting if isinstance(error, InvalidConfigError) else None) or "sequence"
    return Issue(("items", number, {"mutations": "fewest"}.get(setting, setting)), error.message, "constraint")


def space_of(item: DesignItem) -> Space:
    """What may change.

    Raises:
        UserError: the constraints make no sense.
    """
    return Space.of(
        item.sequence,
        positions=item.positions,
        fixed=item.fixed,
        allowed=item.allowed,
        allowed_at={each.position: each.residues for each in item.allowed_at},
        mutations=(item.fewest, item.most),
        offset=item.offset,
    )


def _scored(space: Space, params: DesignParams) -> int:
    """How many sequences a search looks at, at most."""
    singles = sum(map(len, space.choices.values()))
    by_strategy = {
        "greedy": singles * space.most,
        "beam": singles * (1 + params.width * (space.most - 1)),
        "gibbs": params.chains * (1 + params.steps * _BLOCK),
        "anneal": params.chains * (1 + params.steps),
    }
    return by_strategy[params.strategy] + params.proposals * (space.most + 1)


def _masked_rows(space: Space, params: DesignParams) -> int:
    """Positions of the parent that are masked one by one: all that may change, or those of proposals alone."""
    places = len(space.choices)
    return places if _model_weight(params) else min(places, params.proposals * space.most)


def _run(asked: Any, model: Model, resources: Resources) -> Sequence[Mapping[str, Any]]:
    params: DesignParams = asked.params
    terms = list(_terms(params, model, resources))
    names = ("width", "chains", "steps", "temperature", "final_temperature", "seed")
    strategy = Strategy(params.strategy, **{name: getattr(params, name) for name in names})
    return [{"proposals": _proposals(item, terms, strategy, params)} for item in asked.items]


def _proposals(
    item: DesignItem, terms: Sequence[Weighted], strategy: Strategy, params: DesignParams
) -> list[dict[str, Any]]:
    found: list[Proposal] = propose(
        Objective(item.sequence, terms),
        space_of(item),
        strategy,
        proposals=params.proposals,
        min_distance=params.min_distance,
        offset=item.offset,
    )
    return [asdict(proposal) for proposal in found]


def _terms(params: DesignParams, model: Model, resources: Resources) -> Iterator[Weighted]:
    """What is maximised."""
    yield Weighted(Likelihood(model, params.method), _model_weight(params))
    if params.predictor is not None:
        predictor = ServedPredictor(predictor_named(params.predictor, resources), model)
        try:
            wanted = PredictedProperty(predictor, params.predictor_class)
        except InvalidConfigError as error:
            place = ("params", error.setting or "predictor")
            raise InvalidRequestError([Issue(place, error.message, "predictor")]) from None
        yield Weighted(wanted, params.predictor_weight)


ACTION = Action(
    name="design",
    title="proposals for directed evolution",
    description="Variants of a parent that the model finds most plausible, or for which a predictor of this server "
    "says most, or both, within constraints; far enough from each other, with what each mutation adds.",
    request=_request,
    answer=answer_type(DesignResult),
    cost=_cost,
    run=_run,
    body={
        "items": [{"sequence": "MKTAYIAKQR", "positions": [4], "allowed": "K", "most": 1}],
        "params": {"proposals": 1},
    },
    result={
        "proposals": [
            {
                "mutant": "A4K",
                "sequence": "MKTKYIAKQR",
                "effects": {"A4K": 0.41},
                "objective": 0.41,
                "terms": {"masked_marginal": 0.41},
                "nearest": 0,
                "found": "step 1",
            }
        ]
    },
)
