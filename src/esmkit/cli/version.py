"""`esmkit version`: what runs here."""

from __future__ import annotations

from typing import Annotated

import typer


def version(
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show versions, devices and threads: what to put into a bug report."""
    import json as json_module
    import platform

    import torch

    from esmkit import __version__
    from esmkit.layers import native

    facts = {
        "esmkit": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "kernel": native.level() or "none",
        "cuda": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }
    if json:
        typer.echo(json_module.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name:10} {', '.join(value) or 'none' if isinstance(value, list) else value}")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("version")(version)
