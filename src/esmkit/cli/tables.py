"""Results on stdout, for people (aligned columns) or programs (--json: one JSON object a line)."""

from __future__ import annotations

import json as json_module
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import typer

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
            typer.echo(json_module.dumps({"id": item.id, "length": item.meta["length"], **_plain(item.arrays)}))
            return
        if not self._started:
            typer.echo(self.header(item))
            self._started = True
        for line in self.lines(item):
            typer.echo(line)

    @abstractmethod
    def header(self, first: Result) -> str:
        """The line above the first result."""

    @abstractmethod
    def lines(self, result: Result) -> list[str]:
        """The lines of one result."""


class ScalarTable(Table):
    """One line per record: id, length, and every float of the result."""

    def header(self, first: Result) -> str:
        """Column names."""
        names = [f"{name:>21}" for name, value in first.arrays.items() if isinstance(value, float)]
        return f"{'id':{ID_WIDTH}} {'length':>6} {' '.join(names)}"

    def lines(self, result: Result) -> list[str]:
        """One line."""
        values = [f"{value:>21.4f}" for value in result.arrays.values() if isinstance(value, float)]
        return [f"{short(result.id):{ID_WIDTH}} {result.meta['length']:>6} {' '.join(values)}"]


class PredictionTable(Table):
    """One line per mask with its best residues, then the filled sequence."""

    def header(self, first: Result) -> str:
        """Column names."""
        return f"{'id':{ID_WIDTH}} {'position':>8}  residues, most probable first"

    def lines(self, result: Result) -> list[str]:
        """Masks, then the sequence in lines of 60."""
        arrays = result.arrays
        rows = zip(
            arrays["masked_positions"], arrays["predicted_residues"], arrays["predicted_probabilities"], strict=True
        )
        lines = []
        for position, residues, probabilities in rows:
            best = " ".join(f"{letter} {share:.3f}" for letter, share in zip(residues, probabilities, strict=True))
            lines.append(f"{short(result.id):{ID_WIDTH}} {position:>8}  {best}")
        filled = str(arrays["filled_sequence"])
        return lines + [
            f"{'':{ID_WIDTH}} {start + 1:>8}  {filled[start : start + 48]}" for start in range(0, len(filled), 48)
        ]


def short(record_id: str) -> str:
    """An id cut to the width of its column."""
    return record_id if len(record_id) <= ID_WIDTH else f"{record_id[: ID_WIDTH - 1]}…"


def _plain(arrays: Any) -> dict[str, Any]:
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in arrays.items()}
