"""Constraints as people write them: a range of mutations, residues by position, regions of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from esmkit.errors import InvalidConfigError, InvalidInputError
from esmkit.inputs.rows import open_rows
from esmkit.types import Origin


def mutation_range(text: str) -> tuple[int, int]:
    """Fewest and most mutations, from `1-4`, or `3` for exactly so many.

    Raises:
        InvalidConfigError: it is no range.

    Example:
        >>> mutation_range("1-4"), mutation_range("2")
        ((1, 4), (2, 2))
    """
    first, _, last = text.partition("-")
    try:
        return int(first), int(last or first)
    except ValueError:
        raise InvalidConfigError(
            f"--mutations {text!r} is no number and no range; write for example 3, or 1-4", setting="mutations"
        ) from None


def residues_by_position(text: str) -> dict[int, str]:
    """Allowed residues of single positions, from `39:AVIL,54:G`, or a table with the columns position and residues.

    Raises:
        InvalidConfigError: it is no such list.
        InvalidInputError: a row of the table is unusable; names it.

    Example:
        >>> residues_by_position("39:AVIL,54:G")
        {39: 'AVIL', 54: 'G'}
    """
    if Path(text).is_file():
        return {
            _number(origin, "position", position): residues
            for origin, (position, residues) in _columns(text, ("position", "residues"))
        }
    try:
        pairs = [part.split(":") for part in text.split(",")]
        return {int(position): residues for position, residues in pairs}
    except ValueError:
        raise InvalidConfigError(
            f"--allowed-at {text!r} is no file, and no list of residues by position; write for example 39:AVIL,54:G",
            setting="allowed_at",
        ) from None


def region_positions(path: str, wanted: Sequence[str]) -> list[int]:
    """The positions of regions, from a table with the columns start, end (both included) and region.

    Args:
        path: CSV, TSV or Parquet.
        wanted: names of regions; all of the table if empty.

    Raises:
        InvalidInputError: a row is unusable; names it.
        InvalidConfigError: there is no such region; names those that there are.
    """
    regions: dict[str, list[int]] = {}
    for origin, (first, last, region) in _columns(path, ("start", "end", "region")):
        start, end = _number(origin, "start", first), _number(origin, "end", last)
        if end < start:
            raise InvalidInputError(
                f"{origin.source}, line {origin.line}: region {region!r} ends at {end}, before it starts at {start}",
                source=origin.source,
                line=origin.line,
            )
        regions.setdefault(region, []).extend(range(start, end + 1))
    if unknown := [name for name in wanted if name not in regions]:
        raise InvalidConfigError(
            f"{path} has no region {unknown[0]!r}; it has {', '.join(regions)}", setting="only_regions"
        )
    return sorted({position for name in wanted or regions for position in regions[name]})


def _columns(path: str, wanted: Sequence[str]) -> list[tuple[Origin, list[str]]]:
    """Some columns of a table, in the order of their names."""
    names, rows = open_rows(path)
    if missing := [name for name in wanted if name not in names]:
        raise InvalidInputError(
            f"{path} has no column {missing[0]!r}; it needs {', '.join(wanted)}, and has {', '.join(names)}",
            source=path,
            line=1,
        )
    return [(origin, [cells[names.index(name)].strip() for name in wanted]) for origin, cells in rows]


def _number(origin: Origin, column: str, cell: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise InvalidInputError(
            f"{origin.source}, line {origin.line}: column {column!r} holds {cell!r}, which is no whole number",
            source=origin.source,
            line=origin.line,
        ) from None
