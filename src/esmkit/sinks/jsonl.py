"""JSON Lines: one object per record, arrays as nested lists; readable anywhere, large for large outputs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.sinks.format import Array, Format, Layout, Writer, long_text
from esmkit.types import Result


def plain(array: Array) -> Any:
    """Python values; a float has the fewest digits that give the stored value back when read as its type.

    Example:
        >>> plain(np.array([0.1, 2.0], np.float32))
        [0.1, 2.0]
    """
    if array.ndim > 1:
        return [plain(row) for row in array]
    if array.dtype.kind == "f":
        return array.astype(np.str_).astype(np.float64).tolist()
    return array.tolist()


class _JsonlWriter(Writer):
    def __init__(self, path: Path, layout: Layout) -> None:
        self._file = path.open("w", encoding="utf-8", newline="\n")
        self._layout = layout

    def write(self, result: Result) -> None:
        row: dict[str, Any] = {"index": result.index, "id": result.id, "length": result.meta["length"]}
        long = long_text(result)
        if long is not None:
            row["long"] = long
        row.update((column.name, plain(array)) for column, array in self._layout.arrays(result))
        self._file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    def close(self) -> None:
        self._file.close()


class _Jsonl(Format):
    """JSON Lines, UTF-8."""

    name = "jsonl"
    suffixes = (".jsonl", ".ndjson")

    def open(self, path: Path, layout: Layout) -> Writer:
        return _JsonlWriter(path, layout)

    def assemble(self, parts: Sequence[Path], path: Path, layout: Layout) -> None:
        with path.open("wb") as whole:
            for part in parts:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, whole, 2**20)


FORMAT = _Jsonl()
