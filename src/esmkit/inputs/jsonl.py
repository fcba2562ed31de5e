"""JSON lines: one object per record, `{"id": "P69905", "sequence": "MVLS"}`, or per request, with its items."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from esmkit.errors import InvalidInputError
from esmkit.inputs.format import Format
from esmkit.inputs.source import as_utf8, open_text
from esmkit.types import Origin, Record

_FORM = 'write one object per line, such as {"id": "P69905", "sequence": "MVLSPADKT"}'


def read_jsonl(source: str) -> Iterator[Record]:
    """Records of a file of JSON lines, each as soon as its line has been read; blank lines are passed over.

    `sequence` is text; `id` is text or a number, and `row1`, `row2`, ... where there is none; further fields are
    passed over. A line may also be a request as the HTTP API takes it, `{"items": [{"sequence": "MVLS"}]}`, whose
    items are so many records; one with `params` is refused, as a run has the same options for all records.

    Args:
        source: path, or `-` for standard input; plain or compressed.

    Raises:
        InvalidInputError: the source cannot be read, or a line is no such object.
    """
    index = 0
    with open_text(source, newline="\n") as text:
        for line, content in enumerate(text, start=1):
            if content.strip():
                for found in _items(content, source, line):
                    record_id = found.get("id", f"row{index + 1}")
                    yield Record(index, str(record_id), found["sequence"], origin=Origin(source, line))
                    index += 1


def _items(content: str, source: str, line: int) -> list[dict[str, Any]]:
    """The records of a line."""
    try:
        found = json.loads(as_utf8(content))
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _error(source, line, f"is no JSON: {reason}") from None
    if isinstance(found, dict) and isinstance(found.get("items"), list):
        if found.get("params"):
            raise _error(source, line, 'has "params"; options are the same for all records and are not set here')
        return [_item(each, source, line) for each in found["items"]]
    return [_item(found, source, line)]


def _item(found: Any, source: str, line: int) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise _error(source, line, "is no JSON object")
    if not isinstance(found.get("sequence"), str):
        raise _error(source, line, 'has no text under "sequence"')
    if isinstance(found.get("id", ""), bool) or not isinstance(found.get("id", ""), str | int):
        raise _error(source, line, 'has neither text nor a number under "id"')
    return found


def _error(source: str, line: int, reason: str) -> InvalidInputError:
    return InvalidInputError(f"{source}, line {line}: the line {reason}; {_FORM}", source=source, line=line)


FORMATS = (Format("jsonl", (".jsonl", ".ndjson"), read_jsonl),)
