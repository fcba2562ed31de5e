"""`esmkit train`: makes models. `mlm` is in `train_mlm`, `head` and `finetune` in `train_labels`, `contacts` in its own."""

from __future__ import annotations

import typer

from esmkit.cli import train_contacts, train_labels, train_mlm

app = typer.Typer(no_args_is_help=True, help="Train models: from nothing, or on from a checkpoint.")
for module in (train_mlm, train_labels, train_contacts):
    module.register(app)
