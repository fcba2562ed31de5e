"""Results on stdout, for people (aligned columns) or programs (--json: one JSON object a line)."""

from __future__ import annotations

import json as json_module
import sys
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import typer
from rich.cells import cell_len, set_cell_size

from esmkit.types import Failure, Result

ID_WIDTH = 20


class Table(ABC):
    """Prints each result as it comes; a failure is reported by the summary on stderr."""

    def __init__(self) -> None:
        self._started = False

    def show(self, item: Result | Failure, *, json: bool) -> None:
        """One result."""
        if isinstance(item, Failure):
            return
        if json:
            about = {name: item.meta[name] for name in ("length", "long") if name in item.meta}
            typer.echo(json_module.dumps({"id": item.id, **about, **_plain(item.arrays)}))
            return
        if not self._started:
            typer.echo(self.header(item))
            self._started = True
        *lines, last = self.lines(item)
        long = item.meta.get("long")
        for line in (*lines, f"{last}  {long['policy']}" if long else last):
            typer.echo(line)

    @abstractmethod
    def header(self, first: Result) -> str:
        """The line above the first result."""

    @abstractmethod
    def lines(self, result: Result) -> list[str]:
        """The lines of one result."""


class ScalarTable(Table):
    """One line per record: id, length, and every number of the result.

    Args:
        texts: every text, too.
    """

    def __init__(self, *, texts: bool = False) -> None:
        super().__init__()
        self._shown = (float, str) if texts else (float,)

    def header(self, first: Result) -> str:
        """Column names."""
        names = (f"{name:>{_width(name)}}" for name, value in first.arrays.items() if isinstance(value, self._shown))
        return f"{'id':{ID_WIDTH}} {'length':>6} {' '.join(names)}"

    def lines(self, result: Result) -> list[str]:
        """One line."""
        values = (
            f"{value:>{_width(name)}.4f}" if isinstance(value, float) else f"{value:>{_width(name)}}"
            for name, value in result.arrays.items()
            if isinstance(value, self._shown)
        )
        return [f"{id_cell(result.id)} {result.meta['length']:>6} {' '.join(values)}"]


def _width(name: str) -> int:
    return max(len(name), 10)


class PredictionTable(Table):
    """One line per mask with its best residues, then the filled sequence."""

    def header(self, first: Result) -> str:
        """Column names."""
        return f"{'id':{ID_WIDTH}} {'position':>8}  residues, most probable first"

    def lines(self, result: Result) -> list[str]:
        """Masks, then the sequence in lines of 48, each with its first position."""
        arrays = result.arrays
        rows = zip(
            arrays["masked_positions"], arrays["predicted_residues"], arrays["predicted_probabilities"], strict=True
        )
        lines = []
        for position, residues, probabilities in rows:
            best = " ".join(f"{letter} {share:.3f}" for letter, share in zip(residues, probabilities, strict=True))
            lines.append(f"{id_cell(result.id)} {position:>8}  {best}")
        filled = str(arrays["filled_sequence"])
        return lines + [
            f"{'  filled':{ID_WIDTH}} {start + 1:>8}  {filled[start : start + 48]}"
            for start in range(0, len(filled), 48)
        ]


def id_cell(record_id: str) -> str:
    """An id in its column: a terminal shows the part that fits, a file or pipe gets all of it."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in record_id)
    width = cell_len(shown)
    if width > ID_WIDTH and sys.stdout.isatty():
        return f"{set_cell_size(shown, ID_WIDTH - 1)}…"
    return set_cell_size(shown, max(width, ID_WIDTH))


def _plain(arrays: Any) -> dict[str, Any]:
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in arrays.items()}
