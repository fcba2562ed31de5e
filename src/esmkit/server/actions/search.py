"""`search`: the nearest proteins of an index that the operator put on the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, Field

from esmkit.applications.search import Entry, Hit, align
from esmkit.applications.search.identity import demand_parasail
from esmkit.engine import Model
from esmkit.server.actions.base import Action, Cost, Resources, checked_residues, request_type
from esmkit.server.actions.indexed import MOST_HITS, IndexParams, conditions, opened, queries, stacked, wrong
from esmkit.server.wire.base import Bounds
from esmkit.server.wire.esm2_docs import Shown, answer_type

MOST_CELLS = 200_000_000
"""Of all alignments of a request, residues x residues: about a second."""
_HIT_NUMBERS = 128
"""What a hit takes in an answer, its metadata too."""


class SearchParams(IndexParams):
    """Where to search, and for how many."""

    k: int = Field(10, ge=1, le=MOST_HITS, description="Hits per protein; fewer where there are no more.")
    where: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Conditions on hits, all of which must hold: length > 100 AND organism = 'Homo sapiens'.",
    )
    identity: bool = Field(
        False,
        description="Align each hit with the query, and say how alike they are; residues of queries times residues of "
        f"hits are {MOST_CELLS:,} at most in a request.",
    )
    sequences: bool = Field(False, description="Give the sequence of each hit.")


class SearchHit(Shown):
    """A protein near a query."""

    id: str = Field(description="Of the protein.")
    cosine: float = Field(description="Of the angle between both embeddings.")
    length: int = Field(description="Residues.")
    metadata: dict[str, str | float | None] = Field(description="What the index keeps of it, by column.")
    sequence: str | None = Field(
        None, description="With params.sequences, unless the protein was added as an embedding."
    )
    identity: float | None = Field(None, description="Identical pairs / aligned columns.")
    aligned: int | None = Field(None, description="Pairs of residues.")
    coverage: float | None = Field(None, description="Residues of the query in pairs / residues of the query.")


class SearchResult(Shown):
    """What was found for one protein."""

    hits: list[SearchHit] = Field(description="Nearest first; equally near ones in the order of their ids.")


def _request(bounds: Bounds) -> type[BaseModel]:
    return request_type("Search", bounds, SearchParams)


def _cost(asked: Any, bounds: Bounds) -> Cost:
    items = len(asked.items)
    # A letter takes a byte of the four of a number; few proteins of an index are longer than a request may have.
    hit_numbers = _HIT_NUMBERS + (bounds.max_residues // 4 if asked.params.sequences else 0)
    return Cost(items, checked_residues(asked.items, asked.params, bounds), hit_numbers * items * asked.params.k)


def _run(asked: Any, model: Model, resources: Resources) -> Sequence[Mapping[str, Any]]:
    params: SearchParams = asked.params
    index = opened(params.index, model, resources)
    where = conditions(index, params.where)
    entries = queries(asked.items, index, model)
    found = index.search(stacked(entries), k=params.k, where=where)
    if params.identity:
        _check_alignments(entries, found)
    return [{"hits": [_shown(entry, hit, params) for hit in hits]} for entry, hits in zip(entries, found, strict=True)]


def _check_alignments(entries: Sequence[Entry], found: Sequence[Sequence[Hit]]) -> None:
    demand_parasail()
    if missing := next((hit.id for hits in found for hit in hits if hit.about["sequence"] is None), None):
        raise wrong("identity", f"the index has no sequence of {missing!r}: it was added as an embedding")
    pairs = zip(entries, found, strict=True)
    cells = sum(entry.length * sum(hit.about["length"] for hit in hits) for entry, hits in pairs)
    if cells > MOST_CELLS:
        raise wrong("identity", f"the alignments have {cells:,} cells, at most {MOST_CELLS:,} are allowed; lower k")


def _shown(entry: Entry, hit: Hit, params: SearchParams) -> dict[str, Any]:
    metadata = {name: value for name, value in hit.about.items() if name not in ("sequence", "length")}
    shown = {"id": hit.id, "cosine": hit.cosine, "length": hit.about["length"], "metadata": metadata}
    if params.sequences:
        shown["sequence"] = hit.about["sequence"]
    if params.identity and entry.sequence is not None:
        shown |= asdict(align(entry.sequence, hit.about["sequence"]))
    return shown


ACTION = Action(
    name="search",
    title="nearest proteins of an index",
    description="The proteins of an index whose embeddings are nearest by the cosine. It was made by `esmkit index "
    "build` with this model, and put on the server by its operator.",
    request=_request,
    answer=answer_type(SearchResult),
    cost=_cost,
    run=_run,
    body={"items": [{"sequence": "MKTAYIAKQRQISFVKSHFSRQ"}], "params": {"index": "reviewed", "k": 1}},
    result={"hits": [{"id": "P0A9H1", "cosine": 0.93, "length": 168, "metadata": {"family": "MutT"}}]},
    is_served=lambda resources: bool(resources.indexes),
)
