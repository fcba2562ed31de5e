"""`fetch_result`: what a handle stands for, in bounded slices."""

from __future__ import annotations

import json
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from esmkit.agent.errors import ToolError
from esmkit.agent.text import MARK
from esmkit.agent.tools.base import Answer, Arguments, Session, Tool

MOST_NUMBERS = 500
MOST_CHARACTERS = 8000
_DIGITS = 5


class FetchResult(Arguments):
    """A slice of a kept result."""

    handle: Annotated[
        str, Field(max_length=100, description="As a tool gave it.", examples=["result-3q2-8nZy1m7dYcVvQf0kJw"])
    ]
    part: Annotated[
        str | None,
        Field(max_length=100, description="Which part; leave it out to be told the parts and their sizes."),
    ] = None
    first_row: Annotated[int, Field(ge=1, description="First row or entry, from 1.")] = 1
    rows: Annotated[int, Field(ge=1, le=MOST_NUMBERS, description="Rows or entries, at most.")] = 20
    first_column: Annotated[int, Field(ge=1, description="Of a table: its first column, from 1.")] = 1
    columns: Annotated[int, Field(ge=1, le=MOST_NUMBERS, description="Of a table: columns, at most.")] = 20


async def _fetch(asked: FetchResult, session: Session) -> Answer:
    kept = session.results.get(session.owner, asked.handle)
    if asked.part is None:
        parts = {name: _size(value) for name, value in kept.items() if isinstance(value, (np.ndarray, list))}
        facts = {name: value for name, value in kept.items() if name not in parts}
        return Answer({**facts, "parts": parts, "next": "name a part; rows and columns count from 1", "note": MARK})
    value = kept.get(asked.part)
    if not isinstance(value, (np.ndarray, list)):
        choices = [name for name, each in kept.items() if isinstance(each, (np.ndarray, list))]
        raise ToolError(f"part: the result has no such part; choose from {', '.join(choices)}")
    if asked.first_row > len(value):
        raise ToolError(f"first_row: {asked.part} has {len(value)} rows")
    found = _rows(asked, value) if isinstance(value, list) else _table(asked, value)
    content = {"part": asked.part, "size": _size(value), **found, "note": MARK, "made_by": kept["made_by"]}
    return Answer(content)


def _size(value: np.ndarray[Any, Any] | list[Any]) -> str:
    if isinstance(value, list):
        return f"{len(value)} entries"
    rows, columns = value.shape
    return f"{rows} rows x {columns} columns"


def _rows(asked: FetchResult, value: list[Any]) -> dict[str, Any]:
    """As many as fit, but one."""
    start, characters = asked.first_row - 1, 0
    taken: list[Any] = []
    for entry in value[start : start + asked.rows]:
        characters += len(json.dumps(entry))
        if taken and characters > MOST_CHARACTERS:
            break
        taken.append(entry)
    last = start + len(taken)
    return {"rows": [asked.first_row, last], "entries": taken, "more_rows": len(value) - last}


def _table(asked: FetchResult, value: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Whole rows of as many columns as were asked for, so many that the numbers are not too many."""
    top, left = asked.first_row - 1, asked.first_column - 1
    height, width = value.shape
    if left >= width:
        raise ToolError(f"first_column: {asked.part} has {width} columns")
    right = min(width, left + asked.columns)
    bottom = min(height, top + max(1, min(asked.rows, MOST_NUMBERS // (right - left))))
    part = value[top:bottom, left:right]
    numbers = part.tolist() if part.dtype.kind == "i" else [[_short(each) for each in line] for line in part.tolist()]
    return {
        "rows": [asked.first_row, bottom],
        "columns": [asked.first_column, right],
        "numbers": numbers,
        "more_rows": height - bottom,
        "more_columns": width - right,
    }


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


FETCH_RESULT = Tool(
    name="fetch_result",
    title="Fetch a kept result",
    description="Numbers and lists that another tool kept behind a handle, in slices of at most 500 numbers; rows and "
    "columns count from 1. Without a part it tells which parts there are and how large. Use it only when the summary "
    "is not enough: reading thousands of numbers answers few questions.",
    arguments=FetchResult,
    run=_fetch,
)
