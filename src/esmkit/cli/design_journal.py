"""Scores of a search in a file beside its result, so that a search that was killed goes on where it stopped.

A search is the same every time, so it needs nothing but the scores to come back to where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from esmkit.applications.design.objective import Term

Known = dict[str, dict[str, float]]
"""Term -> sequence -> score."""


class Journal:
    """One line for each score; nothing where there is no file."""

    def __init__(self, file: TextIO | None, known: Known) -> None:
        self._file, self.known = file, known

    def note(self, term: Term, sequence: str, score: float) -> None:
        """Keeps a score that was costly."""
        if self._file is not None and term.costly:
            self._file.write(json.dumps([term.name, sequence, score]) + "\n")


@contextmanager
def open_journal(out: Path | None, identity: Mapping[str, Any]) -> Iterator[Journal]:
    """The journal of a result, which is removed when the search has ended.

    Args:
        out: the file of the result; None for a journal that keeps nothing.
        identity: what decides the scores; a journal of anything else is begun anew.
    """
    if out is None:
        yield Journal(None, {})
        return
    path = out.with_name(f".{out.name}.scores")
    header = json.dumps(identity, sort_keys=True)
    known = _read(path, header)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w" if known is None else "a", encoding="utf-8", buffering=1) as file:
        file.write("\n" if known is not None else header + "\n")  # ends a torn line
        yield Journal(file, known or {})
    path.unlink()


def _read(path: Path, header: str) -> Known | None:
    """The scores of a journal of the same search, without lines that a killed run left torn, or None."""
    if not path.is_file():
        return None
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    if first != header:
        return None
    known: Known = {}
    for line in lines:
        try:
            name, sequence, score = json.loads(line)
        except ValueError:
            continue
        known.setdefault(name, {})[sequence] = score
    return known
