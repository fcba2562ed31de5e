"""Tables of plain rows: lines on the screen, JSON lines, or one file that appears when it is whole."""

from __future__ import annotations

import csv
import json as json_module
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.cells import set_cell_size

from esmkit.errors import InvalidConfigError
from esmkit.sinks.files import publish, temporary, write_whole

Row = Mapping[str, Any]
SUFFIXES = (".csv", ".parquet", ".jsonl")
WIDTH = 80


@dataclass(slots=True)
class RowTable:
    """Rows that all have the same columns.

    Attributes:
        header: the line above the first row on the screen.
        line: a row as a line.
        about: what made the rows; to be set before the table is closed, and written beside or into the file.
        shown: rows so far.
    """

    header: str
    line: Callable[[Row], str]
    about: Mapping[str, Any] = field(default_factory=dict)
    shown: int = 0

    @contextmanager
    def to(self, out: Path | None, *, json: bool) -> Iterator[Callable[[Row], None]]:
        """Where each row is to go: to the screen, or into a file that is written at the end, see `check_out`."""
        if out is None:
            yield self._to_json if json else self._to_screen
            return
        rows: list[Row] = []

        def keep(row: Row) -> None:
            rows.append(row)
            self.shown += 1

        yield keep
        write_rows(out, rows, self.about)

    def _to_json(self, row: Row) -> None:
        typer.echo(json_module.dumps(row))
        self.shown += 1

    def _to_screen(self, row: Row) -> None:
        if self.shown == 0:
            typer.echo(_cut(self.header))
        typer.echo(_cut(self.line(row)))
        self.shown += 1


def check_out(out: Path, *, overwrite: bool) -> None:
    """Refuses a file that could not be written after the work.

    Raises:
        InvalidConfigError: it exists, or its suffix is that of no table.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise InvalidConfigError(f"--out {out}: a table ends with {', '.join(SUFFIXES)}", setting="out")
    if out.exists() and not overwrite:
        raise InvalidConfigError(f"--out {out} exists; choose another one, or --overwrite", setting="out")


def write_rows(out: Path, rows: Sequence[Row], about: Mapping[str, Any]) -> None:
    """Writes a table and, beside it as `.manifest.json`, what made it.

    Args:
        out: `.csv`, `.parquet` or `.jsonl`.
        rows: with the same columns.
        about: JSON values.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out.with_name(f"{out.name}.manifest.json"), json_module.dumps(about, indent=1) + "\n")
    temp = temporary(out)
    try:
        if out.suffix.lower() == ".parquet":
            pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), temp)
        else:
            with temp.open("w", encoding="utf-8", newline="") as file:
                _write_text(file, rows, is_csv=out.suffix.lower() == ".csv")
        publish(temp, out)
    finally:
        temp.unlink(missing_ok=True)


def _write_text(file: Any, rows: Sequence[Row], *, is_csv: bool) -> None:
    if is_csv:
        table = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    else:
        file.writelines(json_module.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _cut(line: str) -> str:
    """A terminal shows what fits, a pipe or file gets all of it."""
    return set_cell_size(line, WIDTH).rstrip() if _is_terminal() else line.rstrip()


def _is_terminal() -> bool:
    return sys.stdout.isatty()
