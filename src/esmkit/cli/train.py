"""`esmkit train`: makes models. `head` and `finetune` are in `train_labels`, the others in a module each."""

from __future__ import annotations

import typer

from esmkit.cli import train_contacts, train_labels, train_mlm

app = typer.Typer(no_args_is_help=True, help="Train models: from nothing, or on from a checkpoint.")
for module in (train_mlm, train_labels, train_contacts):
    module.register(app)
