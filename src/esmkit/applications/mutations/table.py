"""A table of variants: which columns it has, and its rows as variants, or as failures that name the row."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from esmkit.applications.mutations.variants import Variant, check_wild_type, describe, parse
from esmkit.errors import EsmkitError, InvalidConfigError, InvalidInputError, InvalidVariantError
from esmkit.inputs.rows import Row, open_rows
from esmkit.sinks.format import RESERVED
from esmkit.types import Column, Failure, Origin

VARIANT_COLUMNS = ("mutant", "variant", "mutation", "mutations")
SEQUENCE_COLUMNS = ("mutated_sequence", "sequence", "seq")
"""Names that are looked for, in this order and in any case, where the caller names none."""
OWN = ("mutant", "mutated_sequence")
"""Columns that esmkit writes anew, beside those of every file."""


@dataclass(frozen=True)
class Columns:
    """Where things stand in a table; None where it has no such column.

    Attributes:
        variant: what `parse` reads.
        sequence: the whole sequence of the variant.
        wild_type: the sequence to compare with, for tables of several proteins.
    """

    variant: int | None
    sequence: int | None
    wild_type: int | None


class VariantTable:
    """The variants of a table, as often as they are asked for.

    Args:
        source: CSV, TSV or Parquet, see `inputs.rows`.
        wild_type: what the variants are compared with; None if every row says so itself.
        offset: what the numbering of the variants adds to places in the wild type.
        variant_column: its name; by default one of `VARIANT_COLUMNS`.
        sequence_column: its name; by default one of `SEQUENCE_COLUMNS`.
        wild_type_column: its name, for tables of several proteins.

    Raises:
        InvalidInputError: there is no such column, or no such table.
        InvalidConfigError: no wild type was given, or two.
        InvalidSequenceError: the wild type does not consist of the 20 amino acids.

    Attributes:
        cells: the columns of `Variant.shown`: mutant, mutated_sequence, and those of the table that are handed on.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        wild_type: str | None = None,
        offset: int = 0,
        variant_column: str | None = None,
        sequence_column: str | None = None,
        wild_type_column: str | None = None,
    ) -> None:
        if (wild_type is None) == (wild_type_column is None):
            raise InvalidConfigError(
                "give either the wild type or the column that holds it, one of the two", setting="wild_type"
            )
        self.source, self.offset = os.fspath(source), offset
        self.wild_type = None if wild_type is None else check_wild_type(wild_type, offset=offset)
        self.names, self._first_rows = open_rows(self.source)
        self.columns = Columns(
            self._find(variant_column, VARIANT_COLUMNS),
            self._find(sequence_column, SEQUENCE_COLUMNS),
            self._find(wild_type_column, ()),
        )
        if self.columns.variant is None and self.columns.sequence is None:
            raise self._missing(f"{' or '.join(map(repr, (VARIANT_COLUMNS[0], SEQUENCE_COLUMNS[0])))}")
        used = (self.columns.variant, self.columns.sequence)
        self._carried = [
            at for at, name in enumerate(self.names) if at not in used and name not in (*RESERVED, *OWN) and name
        ]
        self.cells = [Column(name, "str", ()) for name in (*OWN, *(self.names[at] for at in self._carried))]

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process opens the table anew."""
        return {**self.__dict__, "_first_rows": iter(())}

    def variants(self, *, on_error: Literal["stop", "skip"] = "stop") -> Iterator[Variant | Failure]:
        """The rows in order.

        Args:
            on_error: `stop` raises at the first bad row; `skip` puts a Failure in its place.

        Raises:
            InvalidVariantError: under `stop`; what is wrong with the row.
            InvalidInputError: the table itself cannot be read on.
        """
        seen: dict[int, int] = {}
        for index, (origin, cells) in enumerate(self._rows()):
            name = cells[self.columns.variant] if self.columns.variant is not None else ""
            try:
                variant = self._variant(index, name, origin, cells)
                key = hash((variant.wild_type, variant.sequence))
                if first := seen.get(key):
                    raise _refusal(variant.id, f"is the same as line {first}; keep one of the two", origin)
                seen[key] = origin.line
                yield variant
            except EsmkitError as error:
                if on_error == "stop":
                    raise
                yield Failure(index, name or f"row{index + 1}", error)

    def _rows(self) -> Iterator[Row]:
        """From the start; what was opened to see the header is used up first, since a pipe opens once."""
        rows, self._first_rows = self._first_rows, iter(())
        first = next(rows, None)
        if first is None:
            _, rows = open_rows(self.source)
        else:
            yield first
        yield from rows

    def _variant(self, index: int, name: str, origin: Origin, cells: Sequence[str]) -> Variant:
        at = self.columns
        wild_type = self.wild_type
        if wild_type is None:
            assert at.wild_type is not None
            place = f"the wild type of {self.source}, line {origin.line}"
            wild_type = check_wild_type(cells[at.wild_type], offset=self.offset, name=place)
        sequence = ""
        if at.sequence is not None:
            sequence = parse(cells[at.sequence], wild_type, offset=self.offset, origin=origin)
        made = parse(name, wild_type, offset=self.offset, origin=origin) if at.variant is not None else sequence
        if sequence and made != sequence:
            raise _refusal(
                name,
                f"makes another sequence than the one in column {self.names[at.sequence or 0]!r}, which is "
                f"{describe(wild_type, sequence, offset=self.offset)[:80]}; correct one of the two",
                origin,
            )
        if not name or name == made:
            name = describe(wild_type, made, offset=self.offset)
        shown = {OWN[0]: name, OWN[1]: made, **{self.names[each]: cells[each] for each in self._carried}}
        return Variant(index, name, made, origin=origin, wild_type=wild_type, shown=shown)

    def _find(self, wanted: str | None, defaults: Sequence[str]) -> int | None:
        if wanted is not None:
            if wanted not in self.names:
                raise self._missing(repr(wanted))
            return self.names.index(wanted)
        lowered = [name.lower() for name in self.names]
        return next((lowered.index(name) for name in defaults if name in lowered), None)

    def _missing(self, wanted: str) -> InvalidInputError:
        return InvalidInputError(
            f"{self.source} has no column {wanted}; its columns are {', '.join(map(repr, self.names))}: choose with "
            "--variant-column, --sequence-column or --wild-type-column",
            source=self.source,
            line=1,
        )


def _refusal(variant: str, problem: str, origin: Origin) -> InvalidVariantError:
    return InvalidVariantError(
        f"variant {variant!r} ({origin.source}, line {origin.line}) {problem}",
        variant=variant,
        source=origin.source,
        line=origin.line,
    )
