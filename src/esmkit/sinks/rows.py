"""Small tables whose rows are no records, written whole: CSV, TSV, JSON or Parquet, by the suffix."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from esmkit.errors import InvalidConfigError
from esmkit.sinks.files import publish, temporary, write_whole

SUFFIXES = (".csv", ".tsv", ".json", ".parquet")


def check_rows_path(path: Path) -> None:
    """Refuses before the work what could not be written after it.

    Raises:
        InvalidConfigError: the suffix is that of something else.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidConfigError(f"--out {path}: choose {', '.join(SUFFIXES)}", setting="out")


def write_rows(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table, and the folder it is in.

    Args:
        path: see `check_rows_path`.
        names: of the columns.
        rows: text and numbers; in JSON each becomes an object.

    Raises:
        InvalidConfigError: the suffix is that of something else.
    """
    check_rows_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        _write_parquet(path, names, objects)
    elif suffix == ".json":
        write_whole(path, "".join(("[\n", ",\n".join(map(json.dumps, objects)), "\n]\n")))
    else:
        text = io.StringIO()
        table = csv.writer(text, delimiter="\t" if suffix == ".tsv" else ",", lineterminator="\n")
        table.writerow(names)
        table.writerows(
            [f"{value:.6g}" if isinstance(value, float) else value for value in each.values()] for each in objects
        )
        write_whole(path, text.getvalue())


def _write_parquet(path: Path, names: Sequence[str], objects: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    temp = temporary(path)
    try:
        pq.write_table(pa.table({name: [each[name] for each in objects] for name in names}), temp)
        publish(temp, path)
    finally:
        temp.unlink(missing_ok=True)
