"""`esmkit keys`: who may use the server."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from esmkit.cli.database import Config, configured_store, duration, print_json, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esmkit.store import KeyInfo, Store

app = typer.Typer(no_args_is_help=True, help="Make, list, revoke and rotate the API keys of the server.")

Key = Annotated[str, typer.Argument(metavar="KEY", help="Name or id; see 'esmkit keys list'.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Only = "May be repeated. By default all."


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose or what for.")],
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help=f"A model it may use. {Only}")] = None,
    action: Annotated[
        list[str] | None, typer.Option("--action", "-a", help=f"encode, predict, log_prob, mutations or jobs. {Only}")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="How long it works: 12h, 90d, 4w. By default for ever.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="It may do what an operator may.")] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Make a key. It is printed on standard output, this once."""
    until = None if expires is None else datetime.now(UTC) + duration(expires, option="--expires")
    with configured_store(config) as store:
        key, secret = store.keys.create(name, models=model, actions=action, expires_at=until, admin=admin)
    if as_json:
        print_json(_facts(key) | {"secret": secret})
        return
    end = f"until {shown(key.expires_at, otherwise='')} UTC" if key.expires_at else "without end"
    _say(f"made key {key.name} ({key.id}) for {_names(key.models, 'models')}, {_names(key.actions, 'actions')}, {end}")
    _print_secret(secret, store)


@app.command("list")
def list_keys(
    every: Annotated[bool, typer.Option("--all", help="Also keys that were revoked.")] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Every key, what it may do, and when it was last used. Times are in UTC."""
    with configured_store(config) as store:
        keys = [key for key in store.keys.list() if every or key.revoked_at is None]
    if as_json:
        print_json([_facts(key) for key in keys])
    elif keys:
        _print_table(keys)
    else:
        _say(f"there are no keys in {store.name}; make one with: esmkit keys create NAME")


@app.command()
def revoke(key: Key, as_json: AsJson = False, config: Config = None) -> None:
    """Make a key useless, at once and for good. Its usage stays on record."""
    with configured_store(config) as store:
        revoked = store.keys.revoke(key)
    if as_json:
        print_json(_facts(revoked))
    else:
        _say(f"revoked key {revoked.name} ({revoked.id})")


@app.command()
def rotate(
    key: Key,
    grace: Annotated[
        str | None, typer.Option(help="How long the old secret still works: 30m, 24h. By default not at all.")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Give a key a new secret; name, scopes, expiry and usage stay."""
    kept = timedelta(0) if grace is None else duration(grace, option="--grace")
    with configured_store(config) as store:
        secret = store.keys.rotate(key, grace=kept)
        rotated = store.keys.get(key)
    if as_json:
        print_json(_facts(rotated) | {"secret": secret})
        return
    _say(
        f"new secret for key {rotated.name} ({rotated.id}); the old one "
        + (f"works for another {grace}" if kept else "is dead")
    )
    _print_secret(secret, store)


def _print_secret(secret: str, store: Store) -> None:
    """The secret alone on stdout, so that a script can catch it."""
    _say(f"the key is shown only now, keep it safe; {store.name} has no more than its hash:")
    typer.echo(secret)


def _say(message: str) -> None:
    typer.echo(f"esmkit: {message}", err=True)


def _facts(key: KeyInfo) -> dict[str, Any]:
    return dataclasses.asdict(key) | {"state": key.state(datetime.now(UTC))}


def _names(names: Iterable[str] | None, what: str) -> str:
    return f"all {what}" if names is None else ", ".join(names)


def _print_table(keys: list[KeyInfo]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("name", overflow="fold", max_width=24)
    table.add_column("may use", overflow="fold")
    for title in ("expires", "last used", "state"):
        table.add_column(title, no_wrap=True)
    for key in keys:
        scope = f"{_names(key.models, 'models')}: {_names(key.actions, 'actions')}"
        state = key.state(datetime.now(UTC)) + (" admin" if key.admin else "")
        expires = f"{key.expires_at:%Y-%m-%d}" if key.expires_at else "never"
        table.add_row(Text(key.name), Text(scope), expires, shown(key.last_used_at, otherwise="never"), state)
    Console().print(table)
