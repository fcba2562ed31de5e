"""CSV for spreadsheets: scalars, text, and short vectors as one column per value."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from esmkit.sinks.format import RESERVED, Format, Layout, Writer, long_text
from esmkit.types import Column, Result

MAX_VALUES = 20
"""Values of one output per record, so that the 20 amino acids fit."""


def _headings(column: Column) -> list[str]:
    """`name` for a scalar, `name_0`, `name_1` ... for a vector, `name_0_1` for a matrix."""
    shape = [size for size in column.shape if isinstance(size, int)]
    return ["_".join([column.name, *map(str, place)]) for place in np.ndindex(*shape)]


class _CsvWriter(Writer):
    def __init__(self, path: Path, layout: Layout) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._layout = layout
        self._rows.writerow([*RESERVED, *(heading for column in layout.columns for heading in _headings(column))])

    def write(self, result: Result) -> None:
        # numpy prints the fewest digits that give the stored float back
        values = [text for _, array in self._layout.arrays(result) for text in array.astype(np.str_).ravel()]
        self._rows.writerow([result.index, result.id, result.meta["length"], long_text(result), *values])

    def close(self) -> None:
        self._file.close()


class _Csv(Format):
    """Comma-separated values, UTF-8, one heading line."""

    name = "csv"
    suffixes = (".csv",)

    def refusal(self, column: Column) -> str | None:
        if any(isinstance(size, str) for size in column.shape):
            return f"its shape {column.shape} differs from record to record"
        count = len(_headings(column))
        return f"it has {count} values per record, csv takes {MAX_VALUES}" if count > MAX_VALUES else None

    def open(self, path: Path, layout: Layout) -> Writer:
        return _CsvWriter(path, layout)

    def assemble(self, parts: Sequence[Path], path: Path, layout: Layout) -> None:
        self.open(path, layout).close()
        with path.open("ab") as whole:
            for part in parts:
                with part.open("rb") as file:
                    file.readline()
                    shutil.copyfileobj(file, whole, 2**20)


FORMAT = _Csv()
