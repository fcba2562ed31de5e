"""Assays in the format of ProteinGym (Notin et al. 2023, doi:10.1101/2023.12.07.570727), and how well scores rank them.

An assay is a CSV with `mutant`, `mutated_sequence` and `DMS_score`; a reference table, ProteinGym's own
`DMS_substitutions.csv` or one like it, names wild types (`target_seq`) and what the official mean groups by.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.errors import InvalidInputError
from esmkit.inputs.rows import open_rows

MEASURED = "DMS_score"
_SUBSTITUTION = re.compile(r"([A-Z])([0-9]{1,9})([A-Z])")


@dataclass(frozen=True, slots=True)
class Assay:
    """One deep mutational scan.

    Attributes:
        name: of the file, without its suffix.
        path: of the CSV.
        wild_type: the sequence that was mutated.
        protein: UniProt name, from the reference.
        selection: kind of assay, from the reference.
    """

    name: str
    path: Path
    wild_type: str
    protein: str = ""
    selection: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well scores rank the measurements of one assay.

    Attributes:
        assay: which.
        variants: how many have a score and a measurement.
        spearman: rank correlation, -1 to 1.
    """

    assay: Assay
    variants: int
    spearman: float


def find_assays(folder: Path, *, reference: Path | None = None, only: Sequence[str] = ()) -> list[Assay]:
    """The assays of a folder, by name.

    Args:
        folder: with one CSV per assay.
        reference: a table with DMS_id or DMS_filename, target_seq, and perhaps UniProt_ID and coarse_selection_type;
            without one, wild types are worked out from `mutant` and `mutated_sequence`.
        only: names of assays; all by default.

    Raises:
        InvalidInputError: there is no assay, none of that name, or its wild type cannot be found.
    """
    no_assay = None if reference is None else reference.resolve()
    paths = {path.stem: path for path in sorted(folder.glob("*.csv")) if path.resolve() != no_assay}
    if unknown := [name for name in only if name not in paths]:
        raise InvalidInputError(f"{folder} holds no assay {unknown[0]!r}; it holds {', '.join(paths) or 'no CSV'}")
    if not paths:
        raise InvalidInputError(f"{folder} holds no CSV; give a folder with one per assay")
    known = {} if reference is None else _references(reference)
    return [_assay(name, paths[name], known) for name in (only or paths)]


def _references(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a reference table by name of assay."""
    names, rows = open_rows(path)
    missing = "target_seq" not in names or not {"DMS_id", "DMS_filename"} & set(names)
    if missing:
        raise InvalidInputError(f"{path} needs the columns DMS_id (or DMS_filename) and target_seq", source=str(path))
    tables = (dict(zip(names, cells, strict=True)) for _, cells in rows)
    return {row.get("DMS_id") or row["DMS_filename"].removesuffix(".csv"): row for row in tables}


def _assay(name: str, path: Path, known: dict[str, dict[str, str]]) -> Assay:
    if name in known:
        row = known[name]
        return Assay(name, path, row["target_seq"], row.get("UniProt_ID", ""), row.get("coarse_selection_type", ""))
    return Assay(name, path, wild_type_of(path))


def wild_type_of(path: Path) -> str:
    """The wild type of an assay, from the first variant whose substitutions can be taken back.

    Raises:
        InvalidInputError: a column is missing, or no row says.
    """
    names, rows = open_rows(path)
    if not {"mutant", "mutated_sequence"} <= set(names):
        raise InvalidInputError(
            f"{path} needs the columns mutant and mutated_sequence, or a --reference that names its target_seq; its "
            f"columns are {', '.join(map(repr, names))}",
            source=str(path),
            line=1,
        )
    at, sequence_at = names.index("mutant"), names.index("mutated_sequence")
    for _, cells in rows:
        edits = [_SUBSTITUTION.fullmatch(part) for part in cells[at].split(":")]
        letters = list(cells[sequence_at])
        if all(edit and 1 <= int(edit[2]) <= len(letters) and letters[int(edit[2]) - 1] == edit[3] for edit in edits):
            for edit in edits:
                assert edit is not None
                letters[int(edit[2]) - 1] = edit[1]
            return "".join(letters)
    raise InvalidInputError(
        f"{path}: no row has substitutions that fit its mutated_sequence; name the wild type in a --reference",
        source=str(path),
    )


def agreement(assay: Assay, scored: Path, column: str) -> Agreement:
    """Compares the scores in a table with the measurements beside them.

    Args:
        assay: which.
        scored: table with `DMS_score` and the scores; rows without a measurement are left out.
        column: of the scores.

    Raises:
        InvalidInputError: measurements are missing or no numbers, or there are not enough.
    """
    names, rows = open_rows(scored)
    if MEASURED not in names:
        raise InvalidInputError(f"{assay.path} has no column {MEASURED!r}", source=str(assay.path), line=1)
    measured_at, score_at = names.index(MEASURED), names.index(column)
    pairs = []
    for _, cells in rows:
        text = cells[measured_at].strip()
        if text.lower() in ("", "nan", "na"):
            continue
        try:
            pairs.append((float(text), float(cells[score_at])))
        except ValueError:
            raise InvalidInputError(
                f"{assay.path}: {MEASURED} of {cells[names.index('mutant')]} is {text!r}, which is no number",
                source=str(assay.path),
            ) from None
    measured, scores = np.array(pairs).reshape(-1, 2).T
    try:
        return Agreement(assay, len(pairs), spearman(measured, scores))
    except ValueError as error:
        raise InvalidInputError(f"{assay.path}: {error}", source=str(assay.path)) from None


def spearman(first: Any, second: Any) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks.

    Raises:
        ValueError: fewer than two values, or all values of one side are equal.

    Example:
        >>> round(spearman([1, 2, 2, 9], [3, 5, 4, 8]), 4)
        0.9487
    """
    a, b = (_ranks(np.asarray(values, dtype=np.float64)) for values in (first, second))
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        raise ValueError("a rank correlation needs two different values on either side")
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """0-based ranks, means of them for equal values."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[inverse])


def mean_spearman(agreements: Iterable[Agreement]) -> float:
    """Mean over assays."""
    return float(np.mean([each.spearman for each in agreements]))


def official_mean(agreements: Iterable[Agreement]) -> float | None:
    """ProteinGym's mean: over kinds of assay, of the means over proteins; None where the reference does not say."""
    groups: dict[str, dict[str, list[float]]] = {}
    for each in agreements:
        if not each.assay.protein or not each.assay.selection:
            return None
        groups.setdefault(each.assay.selection, {}).setdefault(each.assay.protein, []).append(each.spearman)
    means = [np.mean([np.mean(values) for values in proteins.values()]) for proteins in groups.values()]
    return float(np.mean(means))
