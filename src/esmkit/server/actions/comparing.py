"""`compare`: two proteins, residue by residue, through their representations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, Field

from esmkit.applications import comparison
from esmkit.applications.comparison import Mode, view
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError
from esmkit.server.actions.base import Action, Cost, Pair, Resources, checked_residues, request_type
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire import esm2
from esmkit.server.wire.base import Bounds
from esmkit.server.wire.esm2_docs import Shown, answer_type

MAX_CELLS = 2**22
"""Residues of A times residues of B; their matrix and what is made of it take some 60 bytes for each."""
MAX_WORK = 2**25
"""The same over all items, for every alignment: some ten seconds of one core."""
_LEAST_ROW = 500
"""Cells that a row of an alignment takes as long as, however short it is."""
_NUMBERS_PER_CELL = 4
_NUMBERS_PER_RESIDUE = 320
"""Memory while it is computed, in numbers of an answer, which take 16 bytes: a representation of 1,280 takes that."""


class CompareParams(esm2.Params):
    """How two proteins are compared."""

    long: Literal["error", "window"] = Field(
        "error", description="Sequences above the limit: refuse, or compute overlapping windows and average."
    )
    layer: int = Field(-1, ge=-128, le=128, description="Of the representations: 0 to N, or from the end.")
    mode: Mode = Field("local", description="The stretches that are alike, or all of both proteins.")
    background: float = Field(0.5, ge=-100, le=100, description="Similarity from which a pair is worth aligning.")
    gap_open: float = Field(2.0, ge=0, le=1000, description="Cost of the first residue of a gap.")
    gap_extend: float = Field(0.5, ge=0, le=1000, description="Cost of each further residue; at most gap_open.")
    conserved: float = Field(1.5, ge=-100, le=100, description="Similarity of a conserved stretch.")
    shortest: int = Field(6, ge=1, le=10_000, description="Pairs of a conserved stretch, at least.")
    shuffles: int = Field(
        20,
        ge=0,
        le=100,
        description="Shuffled Bs that the score is compared with; 0 for none, which leaves out z_score. Residues of A "
        f"times residues of B, or {_LEAST_ROW} if that is more, times one more than shuffles: at most {MAX_WORK:,} "
        f"over all items. Residues of A times residues of B: at most {MAX_CELLS:,}.",
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Of the shuffles.")


class ConservedStretch(Shown):
    """A stretch of pairs without a gap in which the proteins are alike."""

    start_a: int = Field(description="Its first residue in A, from 1.")
    end_a: int = Field(description="Its last residue in A.")
    start_b: int = Field(description="Its first residue in B, from 1.")
    end_b: int = Field(description="Its last residue in B.")
    similarity: float = Field(description="Mean over its pairs, in standard deviations.")
    identity: float = Field(description="Share of its pairs that are one and the same residue.")


class CompareResult(Shown):
    """What two proteins share."""

    score: float = Field(description="Of the alignment: the similarities above background, minus gaps.")
    z_score: float | None = Field(
        description="Standard deviations of the score above those with shuffled Bs; null without shuffles, or where "
        "these all have one score."
    )
    shuffled_scores: list[float] | None = Field(description="Scores with shuffled Bs; null without shuffles.")
    aligned_pairs: int = Field(description="How many.")
    identity: float = Field(description="Share of the pairs that are one and the same residue; 0 without pairs.")
    mean_cosine: float | None = Field(description="Of the representations of pairs; null without pairs.")
    mean_similarity: float | None = Field(description="Of pairs, in standard deviations; null without pairs.")
    stretches: list[ConservedStretch] = Field(description="Conserved stretches, in order.")
    pairs: list[tuple[int, int]] = Field(description="Aligned residues of A and B, from 1.")


@cache
def _request(bounds: Bounds) -> type[BaseModel]:
    return request_type("Compare", bounds, CompareParams, Pair)


def _cost(asked: Any, bounds: Bounds) -> Cost:
    params: CompareParams = asked.params
    items: list[Pair] = asked.items
    checked_residues(items, params, bounds)
    settings = _settings(params)
    alignments = 1 + settings.shuffles
    work = 0
    for number, item in enumerate(items):
        cells = len(item.a) * len(item.b)
        work += len(item.a) * max(len(item.b), _LEAST_ROW) * alignments
        if cells > MAX_CELLS:
            message = f"{len(item.a)} x {len(item.b)} residues, at most {MAX_CELLS:,} pairs of residues are compared"
            raise InvalidRequestError([Issue(("items", number), message, "pair_too_large")])
    if work > MAX_WORK:
        message = f"{work:,} steps of alignments, at most {MAX_WORK:,} are allowed; ask for fewer shuffles or items"
        raise InvalidRequestError([Issue(("params", "shuffles"), message, "shuffles")])
    residues = sum(len(item.a) + len(item.b) * alignments for item in items)
    largest = max(len(item.a) * len(item.b) for item in items)
    longest = max(len(item.a) + len(item.b) * alignments for item in items)
    return Cost(2 * len(items), residues, _NUMBERS_PER_CELL * largest + _NUMBERS_PER_RESIDUE * longest)


def _settings(params: CompareParams) -> comparison.Settings:
    """What the library takes.

    Raises:
        InvalidRequestError: parameters are at odds.
    """
    if params.gap_extend > params.gap_open:
        message = f"{params.gap_extend} for each further residue is more than gap_open, {params.gap_open}"
        raise InvalidRequestError([Issue(("params", "gap_extend"), message, "gap_extend")])
    names = ("layer", "mode", "background", "gap_open", "gap_extend", "conserved", "shortest", "shuffles", "seed")
    try:
        return comparison.Settings(**{name: getattr(params, name) for name in names})
    except InvalidConfigError as error:
        raise InvalidRequestError([Issue(("params", error.setting or ""), error.message, "setting")]) from None


def _run(asked: Any, model: Model, resources: Resources) -> Sequence[Mapping[str, Any]]:
    settings = _settings(asked.params)
    found = (view.facts(comparison.compare(model, item.a, item.b, settings)) for item in asked.items)
    return [{name: facts[name] for name in CompareResult.model_fields} for facts in found]


ACTION = Action(
    name="compare",
    title="two proteins, residue by residue",
    description="Two proteins aligned by the similarity of their representations, without a substitution matrix: "
    "which residues correspond, which stretches are conserved, and how far the score is above that of shuffled "
    "proteins. Similarities are in standard deviations above what is usual for the two residues.",
    request=_request,
    answer=answer_type(CompareResult),
    cost=_cost,
    run=_run,
    body={
        "items": [{"a": "MKTAYIAKQR", "b": "MKTAYIAKQR"}],
        "params": {"shuffles": 2},
    },
    result={
        "score": 20.6,
        "z_score": 4.2,
        "shuffled_scores": [7.1, 9.8],
        "aligned_pairs": 10,
        "identity": 1.0,
        "mean_cosine": 1.0,
        "mean_similarity": 2.56,
        "stretches": [{"start_a": 1, "end_a": 10, "start_b": 1, "end_b": 10, "similarity": 2.56, "identity": 1.0}],
        "pairs": [[at, at] for at in range(1, 11)],
    },
)
