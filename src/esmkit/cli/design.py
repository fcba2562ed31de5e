"""`esmkit design`: proposals for directed evolution, and the next plate from measured rounds."""

from __future__ import annotations

from typing import Annotated

import typer

from esmkit.cli.design_options import NextOptions, ProposeOptions, SpaceOptions
from esmkit.cli.mutation_options import ModelsOptions, Offset, ProteinId, ScoringOptions
from esmkit.cli.options import INPUT, Out, with_options

app = typer.Typer(no_args_is_help=True, help="Propose variants to make, and the next plate from what was measured.")


@app.command("propose")
@with_options(ScoringOptions, "scoring")
@with_options(ProposeOptions, "options")
@with_options(SpaceOptions, "space")
def propose(
    scoring: ScoringOptions,
    options: ProposeOptions,
    space: SpaceOptions,
    source: Annotated[
        str, typer.Argument(metavar="PROTEIN", help="File with the parent (FASTA, CSV, ...).", show_default=False)
    ] = "",
    sequence: Annotated[
        str | None, typer.Option(metavar="RESIDUES", help="The parent itself, instead.", rich_help_panel=INPUT)
    ] = None,
    protein_id: ProteinId = None,
    offset: Offset = 0,
    out: Out = None,
) -> int:
    """Search for the best variants of a protein: a ranked table with reasons.

    Example: esmkit design propose protein.fasta --positions 39-41,54 --mutations 1-4 --out proposals.csv
    """
    from esmkit.cli.design_propose import execute
    from esmkit.cli.mutation_scan import given_protein

    parent = given_protein(source, sequence, protein_id, offset=offset)
    return execute(scoring, space, options, parent=parent, offset=offset, out=out)


@app.command("next")
@with_options(ModelsOptions, "models")
@with_options(NextOptions, "options")
@with_options(SpaceOptions, "space")
def next_(
    models: ModelsOptions,
    options: NextOptions,
    space: SpaceOptions,
    rounds: Annotated[
        list[str], typer.Argument(metavar="ROUND...", help="Tables of measured variants, one or several.")
    ],
    wild_type: Annotated[
        str | None,
        typer.Option("--wild-type", "-w", metavar="FILE|RESIDUES", help="The wild type.", rich_help_panel=INPUT),
    ] = None,
    protein_id: ProteinId = None,
    offset: Offset = 0,
    out: Out = None,
) -> int:
    """Learn from measured variants, and fill the next plate.

    Example: esmkit design next round1.csv -w protein.fasta --label-column fitness --positions 39-41,54 --out plate2.csv
    """
    from esmkit.cli.design_next import Request, execute
    from esmkit.cli.mutation_score import wild_type_of
    from esmkit.errors import InvalidConfigError

    parent = wild_type_of(wild_type, protein_id, offset=offset)
    if parent is None:
        raise InvalidConfigError("give the wild type: --wild-type protein.fasta", setting="wild_type")
    return execute(Request(tuple(rounds), parent, offset, models, space, options, out))
