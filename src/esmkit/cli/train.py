"""`esmkit train`: makes models. One command per kind of training, a module each; `mlm` is in `train_mlm`."""

from __future__ import annotations

import typer

from esmkit.cli import train_contacts, train_mlm

app = typer.Typer(no_args_is_help=True, help="Train models: from nothing, or on from a checkpoint.")
for module in (train_mlm, train_contacts):
    module.register(app)
