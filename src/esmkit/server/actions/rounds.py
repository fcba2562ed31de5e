"""Requests for a next round: what was measured, what may change, and what may be proposed from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from esmkit.applications.design import Measured, Space, offspring_of_best
from esmkit.applications.design.plate import Acquisition
from esmkit.applications.mutations.variants import check_wild_type, parse
from esmkit.applications.vectors import Pooling
from esmkit.errors import UserError
from esmkit.server.actions.designing import DesignItem, constraint_issue, space_of
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire import esm2
from esmkit.server.wire.base import Body

MAX_MEASURED = 384
"""Variants of a request that are learnt from, four plates of 96: some seconds of one core."""
MAX_CANDIDATES = 5000
MAX_LETTERS = 2**18
"""Residues of all variants of a request, measured ones and candidates."""


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


@dataclass(frozen=True, slots=True)
class Round:
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
        return offspring_of_best(
            self.space, self.measured, params.max_candidates, random, parents=params.parents, goal=params.goal
        )


def rounds_of(items: Sequence[NextItem], params: NextParams) -> list[Round]:
    """All items, read.

    Raises:
        InvalidRequestError: lists everything that is wrong with them.
    """
    issues: list[Issue] = []
    rounds = [_round(number, item, params, issues) for number, item in enumerate(items)]
    if issues:
        raise InvalidRequestError(issues)
    return [each for each in rounds if each is not None]


def _round(number: int, item: NextItem, params: NextParams, issues: list[Issue]) -> Round | None:
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
    return Round(item.sequence, item.offset, measured, listed, space)


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
