"""JSON lines: one object per record, `{"id": "P69905", "sequence": "MVLS"}`."""

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
    passed over.

    Args:
        source: path, or `-` for standard input; plain or compressed.

    Raises:
        InvalidInputError: the source cannot be read, or a line is no such object.
    """
    index = 0
    with open_text(source, newline="\n") as text:
        for line, content in enumerate(text, start=1):
            if content.strip():
                found = _object(content, source, line)
                record_id = found.get("id", f"row{index + 1}")
                yield Record(index, str(record_id), found["sequence"], origin=Origin(source, line))
                index += 1


def _object(content: str, source: str, line: int) -> dict[str, Any]:
    try:
        found = json.loads(as_utf8(content))
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _error(source, line, f"is no JSON: {reason}") from None
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
