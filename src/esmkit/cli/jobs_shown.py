"""What `esmkit jobs` shows: a bar or lines on stderr while it waits, facts on stdout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from esmkit.cli.database import print_json
from esmkit.errors import EsmkitError, InternalError, UserError

POLL_S = 1.0
LINE_EVERY_S = 10.0
OK, SOME_FAILED = 0, 1
_ENDED = ("done", "failed", "cancelled")


def watched(ask: Callable[[], dict[str, Any]], *, quiet: bool) -> dict[str, Any]:
    """The page of a job that has ended; shows how far it is until then.

    Args:
        ask: gives the page as it is now.
        quiet: shows nothing.
    """
    console = Console(stderr=True)
    if console.is_terminal and not quiet:
        return _with_bar(ask, console)
    said, said_at = "", 0.0
    while (page := ask())["state"] not in _ENDED:
        line = _line(page)
        if not quiet and line != said and time.monotonic() - said_at >= LINE_EVERY_S:
            _say(line)
            said, said_at = line, time.monotonic()
        time.sleep(POLL_S)
    return page


def ended(page: dict[str, Any], *, quiet: bool, json: bool) -> int:
    """Says what became of a job; returns the exit code.

    Raises:
        EsmkitError: it failed.
    """
    if json:
        print_json(page)
    if page["state"] == "failed":
        raise _failure(page["error"])
    if not quiet and not json:
        _say(_line(page))
    return SOME_FAILED if page["failures"] or page["state"] == "cancelled" else OK


def made(page: dict[str, Any], *, quiet: bool, json: bool) -> None:
    """A new job: its id alone on stdout, for scripts."""
    if json:
        print_json(page)
        return
    if not quiet:
        counts = page["progress"]
        _say(f"sent {counts['records_total']:,} proteins with {counts['residues_total']:,} residues as job")
        if page.get("webhook_secret"):
            _say(f"webhooks are signed with {page['webhook_secret']}")
    typer.echo(page["id"])


def saved(out: Path, size_bytes: int, *, quiet: bool) -> None:
    """A result that was brought."""
    if not quiet:
        _say(f"{out}: {size_bytes:,} bytes")


def cancelled(page: dict[str, Any], *, quiet: bool, json: bool) -> None:
    """A job that was to end."""
    if json:
        print_json(page)
    elif not quiet:
        _say(f"{page['id']} {'ends soon' if page['state'] == 'running' else 'is ' + page['state']}")


def listed(pages: Iterable[dict[str, Any]], *, json: bool) -> None:
    """A line per job."""
    if json:
        print_json(list(pages))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("job", no_wrap=True)
    for title in ("name", "model"):
        table.add_column(title, overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("failed", justify="right", no_wrap=True)
    for page in pages:
        share = f" {100 * page['progress']['share']:.0f} %" if page["state"] == "running" else ""
        table.add_row(page["id"], Text(page["name"]), page["model"], page["state"] + share, f"{page['failures']:,}")
    Console(highlight=False).print(table)


def _with_bar(ask: Callable[[], dict[str, Any]], console: Console) -> dict[str, Any]:
    columns = (BarColumn(bar_width=None), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task("", total=1.0)
        while (page := ask())["state"] not in _ENDED:
            bar.update(task, completed=page["progress"]["share"], description=_line(page))
            time.sleep(POLL_S)
    return page


def _line(page: dict[str, Any]) -> str:
    counts = page["progress"]
    parts = [f"{page['state']}: {counts['records']:,} of {counts['records_total']:,} proteins"]
    if page["failures"]:
        parts.append(f"{page['failures']:,} failed")
    if counts["residues_per_s"]:
        parts.append(f"{counts['residues_per_s']:,.0f} residues/s")
    if counts["seconds_left"] is not None:
        parts.append(f"{timedelta(seconds=round(counts['seconds_left']))} left")
    return ", ".join(parts) + (f"; {page['note']}" if page["note"] else "")


def _failure(error: dict[str, Any]) -> EsmkitError:
    kind = UserError if error["code"].startswith("user.") else InternalError
    return kind(f"the job failed: {error['message']}")


def _say(message: str) -> None:
    typer.echo(f"esmkit: {message}", err=True)
