"""Writes the chains of extra_backbones.npz as PDB files, to fit a contact head on.

    python training/backbones_to_pdb.py labelled/structures/extra_backbones.npz build/structures

The file holds N, CA, C and O of every residue in hundredths of an Å, chains end to end. C-beta atoms are not in it:
`esmkit train contacts` places them. Needs biotite, esmkit's extra `structure`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from biotite.sequence import ProteinSequence
from biotite.structure import AtomArray
from biotite.structure.io.pdb import PDBFile

ATOMS = ("N", "CA", "C", "O")


def chain(sequence: str, coordinates_LA3: np.ndarray) -> AtomArray:
    """One chain, residues numbered from 1; float Å [L, 4, 3]."""
    atoms = AtomArray(len(sequence) * len(ATOMS))
    atoms.coord = coordinates_LA3.reshape(-1, 3).astype(np.float32)
    atoms.chain_id[:] = "A"
    atoms.res_id = np.repeat(np.arange(1, len(sequence) + 1), len(ATOMS))
    atoms.res_name = np.repeat([ProteinSequence.convert_letter_1to3(letter) for letter in sequence], len(ATOMS))
    atoms.atom_name = np.tile(ATOMS, len(sequence))
    atoms.element = np.tile([name[0] for name in ATOMS], len(sequence))
    return atoms


def main() -> None:
    """Writes one file per chain, named by its id, into the folder given."""
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(source) as content:
        ids, sequences, lengths = content["ids"], content["seqs"], content["lengths"]
        parts = np.split(content["bb_N_CA_C_O_centi_angstrom"] / 100, np.cumsum(lengths)[:-1])
    for name, sequence, part in zip(ids.tolist(), sequences.tolist(), parts, strict=True):
        file = PDBFile()
        file.set_structure(chain(sequence, part))
        file.write(str(folder / f"{name}.pdb"))
    print(f"{len(ids)} structures in {folder}")


if __name__ == "__main__":
    main()
