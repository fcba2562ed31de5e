"""_failures.jsonl: the records without an answer, one JSON object per line, in order of index."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from esmkit.sinks.files import publish, temporary
from esmkit.types import Failure


def replace_failures(path: Path, *, first: int, stop: int | None, failures: Iterable[Failure]) -> None:
    """Rewrite _failures.jsonl: the lines of records `first` to `stop` (exclusive; None: to the end) become `failures`.

    One pass over the file, in order of index; without any failure there is no file.
    """
    added = [
        json.dumps({"index": f.index, "id": f.id, "error": f.error.to_dict()}, ensure_ascii=False) + "\n"
        for f in failures
    ]
    if not added and not path.exists():
        return
    temp = temporary(path)
    try:
        with temp.open("w", encoding="utf-8", newline="\n") as file:
            for index, line in failure_lines(path):
                if added and index >= first:
                    file.writelines(added)
                    added = []
                if index < first or (stop is not None and index >= stop):
                    file.write(line)
            file.writelines(added)
            empty = file.tell() == 0
        if empty:
            path.unlink()
        else:
            publish(temp, path)
    finally:
        temp.unlink(missing_ok=True)


def failure_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(record index, line) of a _failures.jsonl, nothing when there is none."""
    if path.exists():
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)["index"], line
