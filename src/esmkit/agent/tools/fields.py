"""Arguments that several tools take."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from esmkit.agent.text import quoted
from esmkit.agent.tools.base import Arguments

MOST_CHARACTERS = 100_000
"""Of a sequence as it is given; the server has a limit of its own, of residues."""


def _residues(value: object) -> object:
    """Letters without line breaks, upper case; what they may be, the server says."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith(">"):
        raise ValueError("give the residues alone, without the FASTA header; a header may be the name")
    return re.sub(r"\s+", "", value).upper().replace("<MASK>", "<mask>")


def _name(value: object) -> object:
    return quoted(value) if isinstance(value, str) else value


Sequence = Annotated[
    str,
    BeforeValidator(_residues),
    Field(
        min_length=1,
        max_length=MOST_CHARACTERS,
        description="Amino acids in one-letter code, N to C terminus. Residue 1 is the first letter.",
        examples=["MKTAYIAKQRQISFVKSHFSRQ"],
    ),
]
Model = Annotated[
    str | None,
    Field(
        max_length=100,
        pattern=r"^\w[\w.+ -]*$",
        description="Slug of a model as list_models gives it; by default the first model of the server.",
        examples=["esm2-650m"],
    ),
]
Name = Annotated[
    str | None,
    BeforeValidator(_name),
    Field(max_length=80, description="What to call the protein in the answer.", examples=["P0A9H1"]),
]
Offset = Annotated[
    int,
    Field(
        ge=-1_000_000,
        le=1_000_000,
        description="Added to every position, given or answered: 23 if the first residue of the sequence is residue 24 "
        "of the protein.",
    ),
]


class Protein(Arguments):
    """One protein."""

    sequence: Sequence
    name: Name = None


def names_of(proteins: list[Protein]) -> list[str]:
    """What the answer calls each: its name, or its number from 1."""
    return [protein.name or f"protein {number}" for number, protein in enumerate(proteins, 1)]
