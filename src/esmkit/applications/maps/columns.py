"""What is known of proteins, as colours: columns of text are numbers on a ramp or categories with a colour each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from esmkit.applications.maps.clusters import NOISE
from esmkit.errors import InvalidInputError
from esmkit.types import FloatArray, IntArray

Kind = Literal["auto", "numbers", "categories"]

MISSING = frozenset({"", "na", "n/a", "nan", "null", "?", "-"})
"""Cells that say nothing, in any case of letters."""
_FEW = 12
"""As many different numbers may still be the names of classes."""
_MOSTLY = 0.9

COLORS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#000000")
"""Okabe and Ito's (2008), told apart by all kinds of colour vision; without their yellow, which is faint on white."""
SHAPES = ("circle", "square", "triangle", "diamond")
"""When the colours are used up they begin again with the next shape."""
OTHERS_COLOR, NOTHING_COLOR = "#808080", "#c4c4c4"


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column of numbers.

    Attributes:
        values: float64 [n], NaN where there is none.
        odd: rows that hold something else than a number.
    """

    values: FloatArray
    odd: tuple[int, ...]

    @property
    def limits(self) -> tuple[float, float]:
        """Where the colours end: 1st and 99th percentile, so that an outlier does not take them all."""
        low, high = np.nanpercentile(self.values, [1, 99], method="nearest").tolist()
        return (low, high) if low < high else (low - 0.5, low + 0.5)

    @property
    def missing(self) -> int:
        """Rows without a number."""
        return int(np.isnan(self.values).sum())


@dataclass(frozen=True, slots=True)
class Categories:
    """A column of names.

    Attributes:
        names: every name once, the most frequent first.
        codes: int64 [n] places in `names`, -1 where there is none.
    """

    names: tuple[str, ...]
    codes: IntArray

    @property
    def missing(self) -> int:
        """Rows without a name."""
        return int((self.codes < 0).sum())


Shown = Numbers | Categories


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the legend, and the points that it stands for.

    Attributes:
        label: what it says.
        color: `#rrggbb`.
        shape: of `SHAPES`.
        codes: categories, -1 for what is missing.
        count: points.
    """

    label: str
    color: str
    shape: str
    codes: tuple[int, ...]
    count: int


def understand(name: str, cells: Sequence[str], kind: Kind = "auto") -> Shown:
    """A column as numbers or categories.

    By default it is one of numbers when nine of ten cells that say something are finite numbers, more than 12 different
    ones. Nothing is left out: what says nothing, and in a column of numbers what is none, is missing.

    Args:
        name: of the column, for the message.
        cells: text of each protein.
        kind: decides in place of the rule.

    Raises:
        InvalidInputError: it shall be numbers, and holds none.

    Example:
        >>> understand("class", ["a", "b", "b", "NA"]).names
        ('b', 'a')
        >>> understand("ddG", ["1.5", "", "> 4"], "numbers").odd
        (2,)
    """
    cells = [cell.strip() for cell in cells]
    is_given = np.array([cell.lower() not in MISSING for cell in cells], dtype=bool)
    values = np.array([_number(cell) for cell in cells])
    is_number = ~np.isnan(values)
    if kind == "numbers" and not is_number.any():
        raise InvalidInputError(f"column {name!r} holds no number; show it as categories, or choose another column")
    if kind == "auto":
        mostly = is_number.sum() >= _MOSTLY * is_given.sum()
        kind = "numbers" if mostly and len(np.unique(values[is_number])) > _FEW else "categories"
    if kind == "numbers":
        return Numbers(values, tuple(np.flatnonzero(is_given & ~is_number).tolist()))
    counts = Counter(cell for cell, given in zip(cells, is_given.tolist(), strict=True) if given)
    names = tuple(name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    places = {name: place for place, name in enumerate(names)}
    return Categories(names, np.array([places.get(cell, -1) for cell in cells]))


def legend(categories: Categories) -> list[Entry]:
    """A colour and shape for each category; the rarest share one, noise and what is missing are grey."""
    counts = np.bincount(categories.codes + 1, minlength=len(categories.names) + 1)[1:].tolist()
    own = [code for code, name in enumerate(categories.names) if name != NOISE]
    first, rest = own[: len(COLORS) * len(SHAPES)], tuple(own[len(COLORS) * len(SHAPES) :])
    entries = []
    for at, code in enumerate(first):
        shape = SHAPES[at // len(COLORS)]
        entries.append(Entry(categories.names[code], COLORS[at % len(COLORS)], shape, (code,), counts[code]))
    if rest:
        entries.append(Entry(f"{len(rest)} others", OTHERS_COLOR, "circle", rest, sum(counts[code] for code in rest)))
    if NOISE in categories.names:
        code = categories.names.index(NOISE)
        entries.append(Entry(NOISE, NOTHING_COLOR, "circle", (code,), counts[code]))
    if categories.missing:
        entries.append(Entry("missing", NOTHING_COLOR, "circle", (-1,), categories.missing))
    return entries


def _number(cell: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
