"""`esmkit train contacts`: fits the contact head of a model to structures."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from esmkit.cli.options import with_options

if TYPE_CHECKING:
    from esmkit.engine import Model
    from esmkit.inputs.structures import Structure
    from esmkit.training.contacts import Examples, FittedHead
    from esmkit.training.precision import Precision

DATA, MODEL, FIT, RUN, OUT = "Data", "Model", "Fit", "Run", "Output"
REPORT = "contact_head.json"


@dataclass(frozen=True, slots=True)
class ContactOptions:
    """Of `esmkit train contacts`."""

    structures: Annotated[
        list[str] | None,
        typer.Argument(metavar="STRUCTURES...", help="PDB or mmCIF files (.gz .zst ...), file:chain, or folders."),
    ] = None
    valid: Annotated[
        list[str] | None,
        typer.Option(
            help="Structures to measure precision on; repeatable. By default cross-validation.", rich_help_panel=DATA
        ),
    ] = None
    chain: Annotated[
        str | None, typer.Option(help="Of files that name none; by default the only one.", rich_help_panel=DATA)
    ] = None
    model: Annotated[
        str, typer.Option("--model", "-m", help="Whose contact head: slug, hub id, or path.", rich_help_panel=MODEL)
    ] = "esm2-mini"
    c: Annotated[float, typer.Option(min=1e-6, help="Inverse strength of the L1 penalty.", rich_help_panel=FIT)] = 0.15
    folds: Annotated[int, typer.Option(min=2, help="Of cross-validation.", rich_help_panel=FIT)] = 5
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=RUN)] = "auto"
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.", rich_help_panel=RUN)] = None
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.", rich_help_panel=RUN)] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.", rich_help_panel=RUN)] = False
    json: Annotated[bool, typer.Option("--json", help="The report as JSON on stdout.", rich_help_panel=RUN)] = False
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the model.", rich_help_panel=OUT)] = None
    name: Annotated[
        str | None, typer.Option(help="Slug of the model; by default the name of --out.", rich_help_panel=OUT)
    ] = None
    out_dtype: Annotated[
        Literal["float32", "float16", "bfloat16"], typer.Option(help="Of the model.", rich_help_panel=OUT)
    ] = "float32"


@with_options(ContactOptions, "options")
def contacts(options: ContactOptions) -> int:
    """Fit the contact head of a model to protein structures, as its authors did.

    Example: esmkit train contacts structures --model run/model --out with-contacts
    """
    from esmkit.config import Settings
    from esmkit.engine import load
    from esmkit.errors import InvalidConfigError
    from esmkit.inputs.structures import read_structures
    from esmkit.models.save import demand_new
    from esmkit.training.contacts import demand_scikit_learn

    if not options.structures or options.out is None:
        raise InvalidConfigError(
            "name structures and a folder: esmkit train contacts STRUCTURES --out with-contacts", setting="out"
        )
    demand_new(options.out)
    demand_scikit_learn()
    structures = read_structures(options.structures, chain=options.chain)
    held_out = read_structures(options.valid or [], chain=options.chain)
    if not held_out and len(structures) < options.folds:
        raise InvalidConfigError(
            f"{options.folds} folds need at least as many structures, and there are {len(structures)}; give more (the "
            "authors took 20), fewer --folds, or others to measure on with --valid",
            setting="folds",
        )
    settings = Settings.from_env(os.environ, offline=options.offline or None)
    # All maps of a batch are held at once, so a batch is one protein.
    model = load(options.model, device=options.device, threads=options.threads, batch_tokens=1, settings=settings)
    if model.engine.loaded.notice:
        _say(model.engine.loaded.notice, options)
    _fit_and_save(options, model, structures, held_out)
    return 0


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("contacts")(contacts)


def _fit_and_save(
    options: ContactOptions, model: Model, structures: Sequence[Structure], held_out: Sequence[Structure]
) -> None:
    import torch

    from esmkit.models.save import save_pretrained
    from esmkit.training.contacts import fit

    assert options.out is not None
    loaded = model.engine.loaded
    examples = _examples(options, model, structures)
    _say(f"fitting {examples.features_PM.shape[1]} maps to {len(examples.touch):,} pairs", options)
    head = fit(examples, c=options.c)
    how, measured = _measured(options, model, head, examples, held_out)
    report = {
        "model": {name: loaded.provenance[name] for name in ("slug", "weights_sha256")},
        "structures": [structure.id for structure in structures],
        "held_out": [structure.id for structure in held_out],
        "pairs": len(examples.touch),
        "contacts": int(examples.touch.sum()),
        "c": options.c,
        "maps": len(head.weights_M),
        "maps_used": int((head.weights_M != 0).sum()),
        "measured_by": how,
        "precision": measured,
    }
    head.put_into(loaded.module)
    about = {**loaded.about, "slug": options.name or options.out.resolve().name}
    save_pretrained(loaded.module, options.out, dtype=getattr(torch, options.out_dtype), about=about)
    (options.out / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _show(options, report, measured)


def _measured(
    options: ContactOptions, model: Model, head: FittedHead, examples: Examples, held_out: Sequence[Structure]
) -> tuple[str, Precision]:
    """How precision was measured, and what came out."""
    from esmkit.training.contacts import cross_validate, score
    from esmkit.training.precision import mean_precision

    if held_out:
        return "held-out structures", mean_precision(score(head, _examples(options, model, held_out)))
    return f"{options.folds}-fold cross-validation", cross_validate(examples, folds=options.folds, c=options.c)


def _examples(options: ContactOptions, model: Model, structures: Sequence[Structure]) -> Examples:
    from esmkit.cli.progress import Progress
    from esmkit.inputs import from_sequences
    from esmkit.training.contacts import Examples

    sequences = [structure.sequence for structure in structures]
    with Progress(lambda: from_sequences(sequences), [False], enabled=not options.quiet) as progress:

        def count(structure: Structure) -> None:
            progress.record(len(structure.sequence))
            progress.tokens(len(structure.sequence) + 2)

        return Examples.of(model.engine, structures, on_structure=count)


def _show(options: ContactOptions, report: dict[str, Any], measured: Precision) -> None:
    """The report to stdout, as a table or as JSON."""
    from esmkit.training.precision import RANGES, TOPS

    if options.json:
        typer.echo(json.dumps({**report, "out": str(options.out)}))
        return
    _say(
        f"{len(report['structures'])} structures, {report['pairs']:,} pairs, {report['contacts']:,} of them contacts; "
        f"{report['maps_used']} of {report['maps']} maps have a weight",
        options,
    )
    if not report["maps_used"]:
        _say("without any weight, every pair gets the same probability: raise --c, or train the model first", options)
    _say(f"precision by {report['measured_by']}, of the most probable pairs; model in {options.out}", options)
    typer.echo(f"{'pairs':8}{'positions':>11}{'chance':>8}" + "".join(f"{'top ' + top:>9}" for top in TOPS))
    for name, (least, below) in RANGES.items():
        apart = f"{least}-{below - 1}" if below else f"{least} or more"
        cells = [measured[name][top] for top in ("chance", *TOPS)]
        shown = ["-" if cell is None else f"{cell:.3f}" for cell in cells]
        typer.echo(f"{name:8}{apart:>11}{shown[0]:>8}" + "".join(f"{cell:>9}" for cell in shown[1:]))


def _say(message: str, options: ContactOptions) -> None:
    if not options.quiet:
        print(f"esmkit: {message}", file=sys.stderr)  # noqa: T201
