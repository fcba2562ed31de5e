"""Regions of chains, as a table with the columns chain, start, end, region, and as masks over residues."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from esmkit.errors import InvalidConfigError, InvalidInputError
from esmkit.inputs.rows import open_rows
from esmkit.types import Origin

REGIONS = ("FR1", "CDR1", "FR2", "CDR2", "FR3", "CDR3", "FR4")
COLUMNS = ("chain", "start", "end", "region")


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of a chain; positions are 1-based places in its sequence, both included."""

    chain: str
    start: int
    end: int
    region: str


def regions_csv(regions: Iterable[Region]) -> str:
    """The table that `read_regions` and `esmkit design --regions` read.

    Example:
        >>> regions_csv([Region("heavy", 26, 33, "CDR1")])
        'chain,start,end,region\\nheavy,26,33,CDR1\\n'
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows((each.chain, each.start, each.end, each.region) for each in regions)
    return text.getvalue()


def read_regions(path: str | os.PathLike[str]) -> list[Region]:
    """The regions of a table with the columns start, end and region, and chain if there are several.

    Args:
        path: CSV, TSV or Parquet.

    Raises:
        InvalidInputError: a column is missing, or a row does not say a stretch; it names the line.
    """
    names, rows = open_rows(path)
    source = os.fspath(path)
    for name in COLUMNS[1:]:
        if name not in names:
            raise InvalidInputError(
                f"{source} has no column {name!r}; its columns are {', '.join(map(repr, names))}: a table of regions "
                "has start, end and region, and chain if there are several",
                source=source,
                line=1,
            )
    return [_region(origin, dict(zip(names, cells, strict=True))) for origin, cells in rows]


def _region(origin: Origin, cells: dict[str, str]) -> Region:
    start, end = (_position(origin, name, cells[name]) for name in ("start", "end"))
    if end < start:
        raise _wrong(origin, f"column 'end' holds {end}, which is before start, {start}")
    if not cells["region"]:
        raise _wrong(origin, "column 'region' is empty; name the region, such as CDR1")
    return Region(cells.get("chain", ""), start, end, cells["region"])


def _position(origin: Origin, column: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise _wrong(origin, f"column {column!r} holds {text!r}, which is no position; positions are 1, 2, 3 ...")
    return int(text)


def _wrong(origin: Origin, problem: str) -> InvalidInputError:
    return InvalidInputError(f"{origin.source}, line {origin.line}: {problem}", source=origin.source, line=origin.line)


def region_mask(
    regions: Iterable[Region], length: int, *, chain: str = "", names: Sequence[str] = ("CDR1", "CDR2", "CDR3")
) -> np.ndarray[Any, np.dtype[np.bool]]:
    """Which residues of a chain lie in certain regions.

    Args:
        regions: of this chain and of others.
        length: residues of the chain.
        chain: its name in the regions.
        names: the regions that count.

    Returns:
        bool [L].

    Raises:
        InvalidConfigError: none of the regions is one of this chain with such a name, or one ends after the chain.

    Example:
        >>> region_mask([Region("", 2, 3, "CDR1")], 5).tolist()
        [False, True, True, False, False]
    """
    mask = np.zeros(length, dtype=np.bool)
    for each in regions:
        if each.chain == chain and each.region in names:
            if each.end > length:
                raise InvalidConfigError(
                    f"{each.region} of chain {chain!r} ends at {each.end}, but the chain has {length} residues",
                    setting="regions",
                )
            mask[each.start - 1 : each.end] = True
    if not mask.any():
        raise InvalidConfigError(
            f"there is no region {' or '.join(names)} of chain {chain!r} among the regions", setting="regions"
        )
    return mask
