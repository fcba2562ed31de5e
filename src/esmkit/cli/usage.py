"""`esmkit usage`: how much was asked of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from esmkit.cli.database import Config, configured_store, day, print_json

if TYPE_CHECKING:
    from datetime import date

    from esmkit.store import UsageTotal

KEYLESS = "(no key)"


def usage(
    by: Annotated[Literal["key", "model", "action", "day"], typer.Option(help="What a line stands for.")] = "key",
    key: Annotated[str | None, typer.Option(help="Only this key: name or id.")] = None,
    since: Annotated[str, typer.Option(help="First day: 2026-11-22, today, or 30d ago.")] = "30d",
    until: Annotated[str, typer.Option(help="Last day, included.")] = "today",
    json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
    config: Config = None,
) -> None:
    """Requests, residues and seconds of computing, by key, model, action or day. Days are in UTC."""
    from esmkit.errors import InvalidConfigError

    first, last = day(since, option="--since"), day(until, option="--until")
    if first > last:
        raise InvalidConfigError(f"--since {first} is after --until {last}", setting="since")
    with configured_store(config) as store:
        key_id = None if key is None else store.keys.get(key).id
        rows = store.usage.totals(by, key_id=key_id, since=first, until=last)
        names = {known.id: known.name for known in store.keys.list()} if by == "key" else {}
    if json:
        print_json(_facts(by, first, last, rows, names))
    elif rows:
        _print_table(by, first, last, rows, names)
    else:
        typer.echo(f"esmkit: no usage from {first} to {last}", err=True)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("usage")(usage)


def _facts(by: str, first: date, last: date, rows: tuple[UsageTotal, ...], names: dict[str, str]) -> dict[str, object]:
    listed = []
    for row in rows:
        label = {"key_id": row.value, "key": names.get(row.value or "")} if by == "key" else {by: row.value}
        listed.append(label | {"requests": row.requests, "residues": row.residues, "seconds": round(row.seconds, 3)})
    return {"since": first, "until": last, "by": by, "rows": listed}


def _print_table(by: str, first: date, last: date, rows: tuple[UsageTotal, ...], names: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_footer=len(rows) > 1)
    table.add_column(by, overflow="fold", footer="all")
    for title in ("requests", "residues", "seconds"):
        total = sum(getattr(row, title) for row in rows)
        table.add_column(title, justify="right", no_wrap=True, footer=_number(total))
    for row in rows:
        label = names.get(row.value or "", row.value or KEYLESS)
        table.add_row(Text(label), _number(row.requests), _number(row.residues), _number(row.seconds))
    console = Console()
    console.print(f"usage from {first} to {last}", highlight=False)
    console.print(table)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
