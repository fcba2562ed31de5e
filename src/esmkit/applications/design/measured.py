"""Results of earlier rounds: variants of a wild type, each with what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from esmkit.applications.mutations.table import VariantTable
from esmkit.applications.mutations.variants import Variant
from esmkit.errors import InvalidInputError, InvalidVariantError
from esmkit.types import FloatArray, Origin

FEWEST = 5
"""Variants below which nothing is learnt."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Variants of one length, each once, with their labels.

    Attributes:
        sequences: n of them.
        values: float64 [n].
    """

    sequences: tuple[str, ...]
    values: FloatArray

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, float]]) -> Self:
        """From sequences and labels; a sequence that comes several times gets the mean.

        Raises:
            InvalidInputError: there are too few, or all labels are equal.

        Example:
            >>> Measured.of(zip("ACDEFA", [1, 2, 3, 4, 5, 2], strict=True)).values
            array([1.5, 2. , 3. , 4. , 5. ])
        """
        found: dict[str, list[float]] = {}
        for sequence, value in pairs:
            found.setdefault(sequence, []).append(value)
        values = np.array([float(np.mean(each)) for each in found.values()])
        if len(found) < FEWEST or np.ptp(values) == 0:
            raise InvalidInputError(
                f"the rounds hold {len(found)} variants with {len(set(values.tolist()))} different labels; at least "
                f"{FEWEST} variants that are not all alike are needed to learn from"
            )
        return cls(tuple(found), values)


def read_rounds(tables: Sequence[VariantTable], label: str) -> Measured:
    """The variants of all rounds; one that was measured in several gets the mean.

    Args:
        tables: one for each round.
        label: the column with what was measured.

    Raises:
        InvalidInputError: a table has no such column, or a cell of it is no number; names the row.
        InvalidVariantError: a variant does not fit, or is not as long as the wild type; names the row.
    """
    return Measured.of(pair for table in tables for pair in _labelled(table, label))


def substitution_only(variant: Variant) -> str:
    """The sequence of a variant that is as long as its wild type.

    Raises:
        InvalidVariantError: it is not.
    """
    if len(variant.sequence) != len(variant.wild_type):
        assert variant.origin is not None
        raise InvalidVariantError(
            f"variant {variant.id!r} ({variant.origin.source}, line {variant.origin.line}) has "
            f"{len(variant.sequence)} residues and the wild type {len(variant.wild_type)}; designs substitute residues "
            "only: remove the row",
            variant=variant.id,
            source=variant.origin.source,
            line=variant.origin.line,
        )
    return variant.sequence


def _labelled(table: VariantTable, label: str) -> Iterable[tuple[str, float]]:
    columns = [column.name for column in table.cells]
    if label not in columns:
        raise InvalidInputError(
            f"{table.source} has no column {label!r} to learn from; its other columns are "
            f"{', '.join(map(repr, columns[2:])) or 'none'}: choose with --label-column",
            source=table.source,
            line=1,
        )
    for variant in table.variants():
        assert isinstance(variant, Variant)
        assert variant.origin is not None
        yield substitution_only(variant), _number(str(variant.shown[label]), label, variant.origin)


def _number(cell: str, label: str, origin: Origin) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidInputError(
            f"{origin.source}, line {origin.line}: column {label!r} holds {cell!r}, which is no finite number; mend or "
            "remove the row",
            source=origin.source,
            line=origin.line,
        )
    return value
