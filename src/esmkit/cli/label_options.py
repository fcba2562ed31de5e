"""Options of commands that read a table of labelled proteins, and what they say of it; it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from esmkit.cli.train_options import DATA, Lowercase, StripStop

if TYPE_CHECKING:
    from esmkit.alphabet import ResiduePolicy
    from esmkit.applications.labelled import Columns, Labelled
    from esmkit.applications.predictors import Task
    from esmkit.applications.predictors.card import Level
    from esmkit.batching import LengthPolicy


@dataclass(frozen=True, slots=True)
class TableOptions:
    """The table and its columns."""

    source: Annotated[
        str, typer.Argument(metavar="DATA", help="CSV, TSV or Parquet with sequences and labels.", show_default=False)
    ] = ""
    label_column: Annotated[
        str | None, typer.Option(help="Column of the labels: what to learn.", rich_help_panel=DATA)
    ] = None
    task: Annotated[
        Literal["regression", "classification"] | None,
        typer.Option(help="Labels are numbers, or names of classes.", rich_help_panel=DATA, show_default=False),
    ] = None
    sequence_column: Annotated[str | None, typer.Option(help="Column of the sequences.", rich_help_panel=DATA)] = None
    id_column: Annotated[str | None, typer.Option(help="Column of the ids.", rich_help_panel=DATA)] = None
    split_column: Annotated[
        str | None, typer.Option(help="Column that says train, valid or test.", rich_help_panel=DATA)
    ] = None
    test: Annotated[str | None, typer.Option(help="Table for the final test.", rich_help_panel=DATA)] = None
    lowercase: Lowercase = "error"
    strip_stop: StripStop = False
    long: Annotated[
        Literal["error", "window", "truncate"],
        typer.Option(help="Sequences above --max-length.", rich_help_panel=DATA),
    ] = "error"
    max_length: Annotated[int, typer.Option(min=4, help="Limit in residues.", rich_help_panel=DATA)] = 2048

    def demand(self, out: Path | None) -> None:
        """Refuses a command line that says too little.

        Raises:
            InvalidConfigError: says what to name.
        """
        from esmkit.errors import InvalidConfigError

        if not self.source or out is None or self.label_column is None or self.task is None:
            raise InvalidConfigError(
                "name the table, its column of labels, what these are, and a folder: DATA --label-column NAME "
                "--task regression (or classification) --out run",
                setting="label_column",
            )

    def what(self, level: Level = "sequence") -> Task:
        """What is to be predicted."""
        from esmkit.applications.predictors import Task

        assert self.task is not None
        assert self.label_column is not None
        return Task(self.task, level, self.label_column)

    def columns(self) -> Columns:
        """Where the table holds what."""
        from esmkit.applications.labelled import Columns

        assert self.label_column is not None
        return Columns(self.label_column, self.id_column, self.sequence_column, self.split_column)

    def residues(self) -> ResiduePolicy:
        """What may be repaired in sequences."""
        from esmkit.alphabet import ResiduePolicy

        return ResiduePolicy(self.lowercase, self.strip_stop)

    def length(self) -> LengthPolicy:
        """What happens to long sequences."""
        from esmkit.batching import LengthPolicy

        return LengthPolicy(self.long, self.max_length)


def about(data: Labelled) -> Iterator[str]:
    """What is learnt from what, and what a reader of the scores must know."""
    sizes = ", ".join(f"{len(members):,} {part}" for part, members in data.parts.items())
    drawn = f"; {' and '.join(data.drawn)} drawn at random" if data.drawn else ""
    classes = f" of {len(data.task.classes)} classes" if data.task.classes else ""
    yield f"{data.task.kind}{classes} of {data.task.label!r} per {data.task.level}: proteins {sizes}{drawn}"
    for part, members in data.parts.items():
        if part != "train" and (shared := data.shared(part)):
            yield f"{part}: {shared:,} of {len(members):,} proteins are, letter for letter, in train too"
