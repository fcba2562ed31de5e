"""`esmkit models`: which models there are, and how to get, check and find them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from esmkit.config import Settings
    from esmkit.models.base import Checkpoint
    from esmkit.models.locate import Source
    from esmkit.types import ModelShape

app = typer.Typer(no_args_is_help=True, help="List, download, verify and find models.")

Name = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Slug, checkpoint name, hub id (org/name), folder or .pt file."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Every model esmkit knows by name, and which of them are on this machine."""
    from esmkit.models import registry
    from esmkit.models.locate import embedded_slug, find

    settings = _settings()
    rows = [_local_facts(find(embedded_slug(), settings), "embedded")]
    rows += [_public_facts(known, settings) for known in registry.checkpoints()]
    if as_json:
        _print_json(rows)
    else:
        _print_table(rows)


@app.command()
def info(model: Name, as_json: AsJson = False) -> None:
    """Sizes, memory and origin of one model."""
    from esmkit.models import registry
    from esmkit.models.locate import embedded_slug, find

    settings = _settings()
    known = registry.checkpoint(model)
    facts: dict[str, Any] = {}
    if known is not None:
        facts = _public_facts(known, settings) | {"hub_id": known.hub_id, "licence": known.licence}
    if known is None or facts["state"] == "downloaded":
        source = find(model, settings)
        state = "downloaded" if known else "embedded" if source.slug == embedded_slug() else "local"
        facts = _local_facts(source, state) | facts
        facts |= {"source": source.origin, "folder": str(source.files[0].parent)}
        facts |= {"files": [path.name for path in source.files], "notice": source.notice}
    _print_facts(facts, as_json=as_json)


@app.command()
def pull(
    model: Name,
    offline: Annotated[bool | None, typer.Option("--offline", help="Refuse to use the network.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download a model into ESMKIT_HOME; run again to go on after an interruption."""
    from esmkit.models import hub
    from esmkit.models.locate import find
    from esmkit.models.weights import check_files

    if quiet:
        from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

        disable_progress_bars()
    settings = _settings(offline=offline)
    folder = hub.pull(model, settings)
    source = find(model, settings)
    check_files(source, settings.home)
    _print_facts({"slug": source.slug, "source": source.origin, "path": str(folder)}, as_json=as_json)


@app.command()
def verify(model: Name, as_json: AsJson = False) -> None:
    """Read every byte of a model again: digests, and every tensor by name and shape. Exit status 1 if one is off."""
    from esmkit.errors import WeightsError
    from esmkit.models import digests
    from esmkit.models.weights import verify as verify_model

    try:
        source, found = verify_model(model, _settings())
    except WeightsError as error:
        typer.echo(f"esmkit: error: {error.message}", err=True)
        raise typer.Exit(1) from error
    facts: dict[str, Any] = {"slug": source.slug, "source": source.origin}
    for path, sha256 in found.items():
        published = "as published" if path in source.sha256 else "no published digest to compare with"
        facts[path.name] = f"sha256 {sha256}, {published}"
    facts["weights_sha256"] = digests.combined({path.name: sha256 for path, sha256 in found.items()})
    facts["verified"] = "every tensor accounted for"
    _print_facts(facts, as_json=as_json)


@app.command()
def path(model: Name, as_json: AsJson = False) -> None:
    """Print where the files of a model are."""
    from esmkit.models.locate import find

    folder = str(find(model, _settings()).files[0].parent)
    if as_json:
        _print_json({"path": folder})
    else:
        typer.echo(folder)


def _settings(*, offline: bool | None = None) -> Settings:
    from esmkit.config import Settings

    return Settings.from_env(os.environ, offline=offline)


def _public_facts(known: Checkpoint, settings: Settings) -> dict[str, Any]:
    from esmkit.models.locate import folder_of

    state = "downloaded" if folder_of(known.slug, settings).is_dir() else "not downloaded"
    return _facts(known.slug, known.name, known.shape, known.parameters, state)


def _local_facts(source: Source, state: str) -> dict[str, Any]:
    import torch

    with torch.device("meta"):
        module = source.family.build(source.shape)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return _facts(source.slug, None, source.shape, parameters, state)


def _facts(slug: str, name: str | None, shape: ModelShape, parameters: int, state: str) -> dict[str, Any]:
    return {
        "slug": slug,
        "checkpoint": name,
        "layers": shape.num_layers,
        "width": shape.width,
        "heads": shape.num_heads,
        "parameters": parameters,
        "float32_bytes": 4 * parameters,
        "state": state,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("model", "checkpoint"):
        table.add_column(title, no_wrap=True)
    for title in ("layers", "width", "heads", "params", "float32"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for row in rows:
        sizes = [str(row[name]) for name in ("layers", "width", "heads")]
        numbers = [_short(row["parameters"], ""), _short(row["float32_bytes"], "B")]
        state = {"not downloaded": "", "downloaded": "here"}.get(row["state"], row["state"])
        table.add_row(row["slug"], row["checkpoint"] or "", *sizes, *numbers, state)
    Console().print(table)


def _print_facts(facts: Mapping[str, Any], *, as_json: bool) -> None:
    known = {name: value for name, value in facts.items() if value is not None}
    if as_json:
        _print_json(known)
        return
    width = max(map(len, known))
    for name, value in known.items():
        shown = f"{value:,}" if isinstance(value, int) else ", ".join(value) if isinstance(value, list) else value
        typer.echo(f"{name.ljust(width)}  {shown}")


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


def _short(number: int, unit: str) -> str:
    """Three digits and a decimal prefix: 651 M, 2.60 GB."""
    for prefix, size in (("G", 10**9), ("M", 10**6)):
        if number >= size:
            return f"{number / size:.3g} {prefix}{unit}"
    return f"{number} {unit}"
