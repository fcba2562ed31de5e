"""What a table says of proteins that come from elsewhere, found by their ids."""

from __future__ import annotations

from collections.abc import Sequence

from esmkit.errors import InvalidInputError
from esmkit.inputs.rows import open_rows
from esmkit.inputs.tables import DEFAULT_COLUMNS


def read_annotations(source: str, ids: Sequence[str], columns: Sequence[str]) -> dict[str, list[str]]:
    """Cells of chosen columns for each protein.

    Args:
        source: a table whose column `id` (or name, accession, entry), or else its first one, holds ids.
        ids: the proteins; rows of others are passed over.
        columns: which columns.

    Returns:
        By column the text of every protein, empty where the table has no row for it.

    Raises:
        InvalidInputError: a column is missing, an id stands in two rows, or no row has one of these ids.
    """
    names, rows = open_rows(source)
    for column in columns:
        if column not in names:
            raise InvalidInputError(
                f"{source} has no column {column!r}; its columns are {', '.join(map(repr, names))}",
                source=source,
                line=1,
            )
    lowered = [name.lower() for name in names]
    id_at = next((lowered.index(name) for name in DEFAULT_COLUMNS["id"] if name in lowered), 0)
    places = [names.index(column) for column in columns]
    wanted = set(ids)
    found: dict[str, list[str]] = {}
    for origin, cells in rows:
        protein = cells[id_at]
        if protein not in wanted:
            continue
        if protein in found:
            raise InvalidInputError(
                f"{source}, line {origin.line}: column {names[id_at]!r} holds {protein!r}, which an earlier row has; "
                "keep one row per protein",
                source=source,
                line=origin.line,
            )
        found[protein] = [cells[at] for at in places]
    if not found:
        raise InvalidInputError(
            f"no row of {source} has one of the {len(wanted):,} ids in its column {names[id_at]!r}; the first id is "
            f"{ids[0]!r}",
            source=source,
        )
    nothing = [""] * len(columns)
    cells_of = [found.get(protein, nothing) for protein in ids]
    return {column: [cells[at] for cells in cells_of] for at, column in enumerate(columns)}
