"""Structures for tests: real chains from examples/, and what is made of them or by hand."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.cli_calls import ROOT

STRUCTURES = ROOT / "examples" / "structures"
LETTERS = {"A": "ALA", "G": "GLY", "M": "MET", "K": "LYS"}
Atom = tuple[str, tuple[float, float, float]]


def lines_of(name: str) -> list[str]:
    """The ATOM lines of an example."""
    text = gzip.decompress((STRUCTURES / f"{name}.pdb.gz").read_bytes()).decode()
    return [line for line in text.splitlines() if line.startswith("ATOM")]


def write(path: Path, lines: Iterable[str]) -> Path:
    """A PDB file."""
    path.write_text("\n".join([*lines, "END", ""]))
    return path


def residue(name: str, number: int, atoms: Sequence[Atom], *, chain: str = "A", hetero: bool = False) -> list[str]:
    """The lines of one residue."""
    start = f"{'HETATM' if hetero else 'ATOM':6}{1:5}"
    return [
        f"{start} {atom:^4} {name:>3} {chain}{number:4}    {x:8.3f}{y:8.3f}{z:8.3f}{1:6.2f}{0:6.2f}{atom[0]:>12}"
        for atom, (x, y, z) in atoms
    ]


def strand(sequence: str, *, first: int = 1, chain: str = "A", x: float = 0.0) -> list[str]:
    """An extended chain along y, 3.8 Å a residue, all bonded; the C-beta atoms are 1.5 Å beside it."""
    lines = []
    for index, letter in enumerate(sequence):
        y = 3.8 * index
        atoms = [("N", (x, y - 1.2, 0.0)), ("CA", (x, y, 0.0)), ("C", (x, y + 1.2, 0.0))]
        lines += residue(LETTERS[letter], first + index, [*atoms, ("CB", (x + 1.5, y, 0.0))], chain=chain)
    return lines
