"""`annotate`: labels from the nearest labelled proteins of an index that the operator put on the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, Field

from esmkit.applications.search import MIN_RELIABILITY, NEIGHBOURS, Annotator, Calibration, Index
from esmkit.applications.search.calibration import kept_calibration, kept_calibrations
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError
from esmkit.server.actions.base import Action, Cost, Resources, checked_residues, request_type
from esmkit.server.actions.indexed import MOST_HITS, IndexParams, opened, queries, stacked, wrong
from esmkit.server.wire.base import Bounds
from esmkit.server.wire.esm2_docs import Shown, answer_type

_NUMBERS = 256
"""What an annotation takes in an answer."""


class AnnotateParams(IndexParams):
    """Which labels, and how sure they must be."""

    label_column: str = Field(description="Column of the index that holds the labels.", examples=["family"])
    k: int = Field(NEIGHBOURS, ge=1, le=MOST_HITS, description="Labelled neighbours that vote.")
    min_reliability: float = Field(
        MIN_RELIABILITY, ge=0, le=1, description="Below this probability of being right a label is `unknown`."
    )


class AnnotateResult(Shown):
    """What the neighbours of one protein say."""

    label: str = Field(description="The best one, or `unknown` if it is not reliable enough.")
    reliability: float = Field(description="The probability that the best one is right, as measured on the index.")
    neighbour: str = Field(description="The nearest protein that has the best label.")
    cosine: float = Field(description="To that.")
    best: str = Field(description="The best label in any case.")
    second: str | None = Field(description="The label with the second most votes, if there is one.")


def _request(bounds: Bounds) -> type[BaseModel]:
    return request_type("Annotate", bounds, AnnotateParams)


def _cost(asked: Any, bounds: Bounds) -> Cost:
    items = len(asked.items)
    return Cost(items, checked_residues(asked.items, asked.params, bounds), _NUMBERS * items)


def _run(asked: Any, model: Model, resources: Resources) -> Sequence[Mapping[str, Any]]:
    params: AnnotateParams = asked.params
    index = opened(params.index, model, resources)
    annotator = Annotator(index, _calibration(index, params), params.min_reliability)
    found = annotator.annotate(stacked(queries(asked.items, index, model)))
    return [asdict(annotation) for annotation in found]


def _calibration(index: Index, params: AnnotateParams) -> Calibration:
    """That which is kept with the index; a request measures none, which takes long and writes to the folder."""
    try:
        found = kept_calibration(index, params.label_column, params.k)
    except InvalidConfigError as error:
        raise wrong("label_column", error.message) from error
    if found is None:
        proteins = len(index.table)
        kept = [each for each in kept_calibrations(index.folder) if each.proteins == proteins]
        choices = ", ".join(f"{each.label!r} with k {each.neighbours}" for each in kept) or "none yet"
        raise wrong(
            "label_column",
            f"the reliability of labels in {params.label_column!r} with k {params.k} has not been measured on this "
            f"index (measured: {choices}); the operator does so by annotating with it once, by 'esmkit annotate'",
        )
    return found


ACTION = Action(
    name="annotate",
    title="labels from the neighbours in an index",
    description="Labels of proteins as their nearest neighbours in an index have them, with the probability that this "
    "is right. `esmkit annotate` measures that at the first use of a column; here columns can be asked for which that "
    "was done.",
    request=_request,
    answer=answer_type(AnnotateResult),
    cost=_cost,
    run=_run,
    body={
        "items": [{"sequence": "MKTAYIAKQRQISFVKSHFSRQ"}],
        "params": {"index": "reviewed", "label_column": "family"},
    },
    result={
        "label": "MutT",
        "reliability": 0.91,
        "neighbour": "P0A9H1",
        "cosine": 0.93,
        "best": "MutT",
        "second": None,
    },
    is_served=lambda resources: bool(resources.indexes),
)
