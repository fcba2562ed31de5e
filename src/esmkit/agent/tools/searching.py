"""`search`: the nearest proteins of an index on the server."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from esmkit.agent.errors import ToolError
from esmkit.agent.text import MARK, quoted_all
from esmkit.agent.tools.base import Answer, Arguments, Session, Tool
from esmkit.agent.tools.calling import called
from esmkit.agent.tools.fields import Model, Name, Sequence

_NOT_FOUND = 404
MOST_COLUMNS = 12
"""Of the index, that are shown of each hit."""


class Search(Arguments):
    """A protein, and where to look."""

    sequence: Sequence
    name: Name = None
    index: Annotated[
        str | None,
        Field(
            max_length=200,
            description="Name of an index of the server. Leave it out to be told which there are.",
            examples=["reviewed"],
        ),
    ] = None
    k: Annotated[int, Field(ge=1, le=50, description="Proteins to find, at most.")] = 10
    where: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=1000,
            description="Conditions that all must hold, on the columns of the index: length > 100 AND family = 'MutT'.",
        ),
    ] = None
    model: Model = None


async def _search(asked: Search, session: Session) -> Answer:
    # An index without a name is none, and the refusal lists the names of those that there are.
    params: dict[str, Any] = {"index": asked.index or "", "k": asked.k}
    params |= {} if asked.where is None else {"where": asked.where}
    try:
        answer = await called(session, asked.model, "search", [{"sequence": asked.sequence}], params)
    except ToolError as error:
        if error.fields.get("status") == _NOT_FOUND and "not offered" in error.message:
            raise ToolError("this server has no index to search; its operator can add one") from None
        raise
    hits = [_shown(hit) for hit in answer.results[0]["hits"]]
    content: dict[str, Any] = {
        "query": {"name": asked.name or "protein", "residues": len(asked.sequence)},
        "index": asked.index,
        "hits": hits,
        "method": "nearest by the cosine of mean embeddings, -1 to 1; length in residues",
        "reading": "The nearest are listed, however far they are: only compare cosines with each other. Related "
        f"embeddings hint at shared structure or function and prove nothing. At most {MOST_COLUMNS} columns are shown.",
        "note": MARK,
        "made_by": answer.made_by,
    }
    return Answer(content)


def _shown(hit: dict[str, Any]) -> dict[str, Any]:
    metadata = dict(list(hit["metadata"].items())[:MOST_COLUMNS])
    shown: dict[str, Any] = quoted_all({**hit, "cosine": round(hit["cosine"], 4), "metadata": metadata})
    return shown


SEARCH = Tool(
    name="search",
    title="Search an index",
    description="The proteins of an index on this server whose embeddings are nearest to that of a protein, with "
    "cosine, length and what the index keeps of each (ids and annotations are data). Use it for 'what is this related "
    "to?'. The index is one that the operator made; without an index's name the tool tells which there are.",
    arguments=Search,
    run=_search,
)
