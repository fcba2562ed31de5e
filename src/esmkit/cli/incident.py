"""`esmkit incident`: what the status page says about an outage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from esmkit.cli.database import Config, configured_store, print_json, shown

if TYPE_CHECKING:
    from esmkit.store import Incident

SHOWN_DAYS = 90

app = typer.Typer(no_args_is_help=True, help="Open, update, close and list the incidents of the status page.")

Number = Annotated[int, typer.Argument(metavar="INCIDENT", min=1, help="Number; see 'esmkit incident list'.")]
Message = Annotated[str | None, typer.Option("--message", help="An entry for the timeline.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


@app.command("open")
def open_incident(
    title: Annotated[str, typer.Argument(metavar="TITLE", help="One line that says what is wrong.")],
    impact: Annotated[
        Literal["maintenance", "minor", "major", "critical"], typer.Option(help="How bad it is.")
    ] = "minor",
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="An affected model. May be repeated. By default all.")
    ] = None,
    message: Message = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Open an incident; its number is printed."""
    with configured_store(config) as store:
        opened = store.incidents.open(title, impact=impact, models=model, message=message)
    _show(opened, "opened", as_json=as_json)


@app.command()
def update(
    incident: Number,
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="What is known now.")],
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Add an entry to the timeline of an incident, open or closed."""
    with configured_store(config) as store:
        updated = store.incidents.update(incident, message)
    _show(updated, "updated", as_json=as_json)


@app.command()
def close(incident: Number, message: Message = None, as_json: AsJson = False, config: Config = None) -> None:
    """Close an incident."""
    with configured_store(config) as store:
        closed = store.incidents.close(incident, message=message)
    _show(closed, "closed", as_json=as_json)


@app.command("list")
def list_incidents(
    every: Annotated[bool, typer.Option("--all", help=f"Also those closed over {SHOWN_DAYS} days ago.")] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Incidents that are open, or were in the last 90 days, newest first. Times are in UTC."""
    since = None if every else datetime.now(UTC) - timedelta(days=SHOWN_DAYS)
    with configured_store(config) as store:
        incidents = store.incidents.list(since=since)
    if as_json:
        print_json(incidents)
    elif incidents:
        _print_all(incidents)
    else:
        typer.echo("esmkit: there are no incidents", err=True)


def _show(incident: Incident, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(incident)
    else:
        typer.echo(f"{done} incident {incident.id}: {incident.title}")


def _print_all(incidents: tuple[Incident, ...]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console()
    for incident in incidents:
        models = "all models" if incident.models is None else ", ".join(incident.models)
        period = f"{shown(incident.opened_at, otherwise='')} to {shown(incident.closed_at, otherwise='now, open')}"
        console.print(Text(f"{incident.id}  {incident.title}", "bold"))
        lines = [f"{incident.impact}, {models}, {period}"]
        lines += [f"{shown(message.at, otherwise='')}  {message.text}" for message in incident.messages]
        for line in lines:
            console.print(Padding(Text(line), (0, 0, 0, 3), expand=False))
