"""Protein structures: one chain of a PDB or mmCIF file as its sequence and the places of its C-beta atoms.

biotite reads the files, and nothing else in esmkit imports it. How a chain becomes a sequence:

- The chain is named, or the only one with amino acids. Model 1, the first alternative location of an atom.
- A modified residue is its parent (MSE is M), as the Chemical Component Dictionary says; X where it names none.
- Amino acids among the hetero atoms that are bonded to no neighbour are ligands, and left out.
- Where the chain is broken, as many X as the numbers of the residues leave room for stand for those that are missing;
  they have no place, nor have residues without the atoms for it.

Shape suffixes: L residues.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.errors import InvalidInputError, demand_module
from esmkit.inputs.source import COMPRESSIONS, open_text
from esmkit.types import FloatArray

SUFFIXES = {".pdb": "pdb", ".ent": "pdb", ".cif": "mmcif", ".mmcif": "mmcif"}
BOND = 2.5
"""Å between C and N of neighbours at most: a peptide bond is 1.33, and nothing else brings them this near."""
MAX_MISSING = 100
"""Residues that a break may lack; larger jumps in the numbers are taken for another way of numbering."""
_BACKBONE = ("N", "CA", "C")


@dataclass(frozen=True, slots=True)
class Structure:
    """One protein chain.

    Attributes:
        id: name of the file without its endings, `:`, and the chain.
        sequence: its residues in order, X where one is missing or unknown.
        cb_L3: float32 [L, 3] in Å, where the C-beta atoms are. Of glycine, and where the atom is missing, where N, CA
            and C would have it; NaN where these are missing too.
    """

    id: str
    sequence: str
    cb_L3: FloatArray


def read_structures(sources: Sequence[str], *, chain: str | None = None) -> list[Structure]:
    """The structures of files and folders, in the order given.

    Args:
        sources: PDB or mmCIF files, compressed or not, each a path or `path:chain`, or folders of them.
        chain: the chain of those that name none; by default the only one.

    Raises:
        InvalidInputError: a file cannot be read, or has no such chain, or several to choose from, or a chain that no
            sequence can be made of; names file, chain and residue.
        MissingExtraError: biotite is not installed.
    """
    return [read_structure(file, chain=chain) for source in sources for file in _files(source)]


def read_structure(source: str, *, chain: str | None = None) -> Structure:
    """One chain of one file; see `read_structures`."""
    path, named = _path_and_chain(source)
    atoms, chain = _chain(_atoms(path), named or chain, path)
    residues = _Residues.of(atoms).without_ligands()
    where = f"{path}, chain {chain}"
    if not residues.names:
        raise InvalidInputError(f"{where}: its amino acids are single ones, no protein; choose another", source=path)
    missing = residues.missing(where)
    places = np.cumsum(np.concatenate([[0], missing + 1]))
    letters = np.full(places[-1] + 1, "X")
    letters[places] = [_letter(residue) for residue in residues.names]
    cb_L3 = np.full((len(letters), 3), np.nan, dtype=np.float32)
    cb_L3[places] = residues.cb()
    if np.isnan(cb_L3).all():
        raise InvalidInputError(
            f"{where}: no residue has a C-beta atom, or N, CA and C to place one; give a structure with the atoms of "
            "the backbone",
            source=path,
        )
    return Structure(f"{_stem(path)}:{chain}", "".join(letters), cb_L3)


@dataclass(frozen=True, slots=True)
class _Residues:
    """The amino acids of a chain.

    Attributes:
        names: three-letter names.
        numbers: int [L] as the authors numbered them.
        hetero: bool [L].
        atoms: name -> float32 [L, 3], NaN where it is missing; N, CA, C and CB.
    """

    names: Sequence[str]
    numbers: np.ndarray[Any, np.dtype[np.int64]]
    hetero: np.ndarray[Any, np.dtype[np.bool_]]
    atoms: dict[str, FloatArray]

    @classmethod
    def of(cls, array: Any) -> _Residues:
        """From the atoms of whole residues."""
        from biotite.structure import get_residue_starts

        starts = get_residue_starts(array)
        residue = np.searchsorted(starts, np.arange(array.array_length()), side="right") - 1
        atoms = {}
        for name in (*_BACKBONE, "CB"):
            atoms[name] = np.full((len(starts), 3), np.nan, dtype=np.float32)
            wanted = array.atom_name == name
            atoms[name][residue[wanted]] = array.coord[wanted]
        return cls(array.res_name[starts].tolist(), array.res_id[starts], array.hetero[starts], atoms)

    def bonds(self) -> FloatArray:
        """Å from C of each residue to N of the next, [L - 1]; NaN where one of them is missing."""
        gap: FloatArray = np.linalg.norm(self.atoms["N"][1:] - self.atoms["C"][:-1], axis=-1)
        return gap

    def without_ligands(self) -> _Residues:
        """Without hetero residues that are bonded to no neighbour."""
        bonded = np.concatenate([[False], self.bonds() < BOND, [False]])
        kept = np.flatnonzero(~self.hetero | bonded[1:] | bonded[:-1]).tolist()
        atoms = {name: places[kept] for name, places in self.atoms.items()}
        return _Residues([self.names[index] for index in kept], self.numbers[kept], self.hetero[kept], atoms)

    def missing(self, where: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """How many residues are missing between each and the next, int [L - 1].

        Raises:
            InvalidInputError: the chain is broken and the numbers do not say what is missing.
        """
        gap, jump = self.bonds(), np.diff(self.numbers) - 1
        broken = (gap >= BOND) | (np.isnan(gap) & (jump != 0))
        for index in np.flatnonzero(broken & ~((jump >= 1) & (jump <= MAX_MISSING))).tolist():
            pair = " and ".join(f"{self.names[i]} {self.numbers[i]}" for i in (index, index + 1))
            raise InvalidInputError(
                f"{where}: the chain is broken between {pair} (C to N {gap[index]:.1f} Å), and their numbers do not "
                f"say how many residues are missing (1 to {MAX_MISSING}); number the residues as in the whole protein, "
                "or leave this structure out"
            )
        return np.where(broken, jump, 0)

    def cb(self) -> FloatArray:
        """C-beta atoms, [L, 3]: as in the file, else in the ideal place (as in ProteinMPNN, Dauparas et al. 2022)."""
        n, ca, c = (self.atoms[name] for name in _BACKBONE)
        b, d = ca - n, c - ca
        ideal = -0.58273431 * np.cross(b, d) + 0.56802827 * b - 0.54067466 * d + ca
        return np.where(np.isnan(self.atoms["CB"]), ideal, self.atoms["CB"])


def _files(source: str) -> Iterator[str]:
    """The file itself, or the structures of a folder by name."""
    if not Path(source).is_dir():
        yield source
        return
    found = sorted(str(path) for path in Path(source).iterdir() if _suffix(path) in SUFFIXES)
    if not found:
        raise InvalidInputError(f"{source} holds no file that ends with {', '.join(SUFFIXES)}", source=source)
    yield from found


def _path_and_chain(source: str) -> tuple[str, str | None]:
    path, colon, chain = source.rpartition(":")
    return (path, chain) if colon and not Path(source).exists() else (source, None)


def _uncompressed(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path


def _suffix(path: Path) -> str:
    return _uncompressed(path).suffix.lower()


def _stem(path: str) -> str:
    return _uncompressed(Path(path)).stem


def _atoms(path: str) -> Any:
    """Model 1 of a file, as biotite's AtomArray."""
    demand_module("biotite.structure.io.pdbx", reason="reading structures needs biotite", extra="structure")
    from biotite.structure.io import pdb, pdbx

    file_format = SUFFIXES.get(_suffix(Path(path)))
    if file_format is None:
        raise InvalidInputError(
            f"{path}: a structure ends with {', '.join(SUFFIXES)}, compressed or not; rename it, or convert it",
            source=path,
        )
    with open_text(path) as lines, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # elements guessed, author's names missing: no matter here
        try:
            if file_format == "pdb":
                return pdb.PDBFile.read(lines).get_structure(model=1)
            return pdbx.get_structure(pdbx.CIFFile.read(lines), model=1)
        except InvalidInputError:
            raise
        except Exception as error:  # its parsers let through whatever int, float and indexing raise
            raise InvalidInputError(
                f"{path} cannot be read as {file_format} ({type(error).__name__}: {error}); is it a whole structure?",
                source=path,
            ) from error


def _chain(atoms: Any, chain: str | None, path: str) -> tuple[Any, str]:
    """The amino acids of the chain asked for, or of the only one."""
    amino = atoms[_is_amino_acid(atoms)]
    chains = list(dict.fromkeys(amino.chain_id.tolist()))
    if not chains:
        raise InvalidInputError(f"{path} holds no amino acids; give the structure of a protein", source=path)
    if chain is None and len(chains) > 1:
        raise InvalidInputError(
            f"{path} holds {len(chains)} protein chains ({', '.join(chains)}); choose one: {path}:{chains[0]}",
            source=path,
        )
    if chain is not None and chain not in chains:
        raise InvalidInputError(f"{path} has no protein chain {chain!r}; it has {', '.join(chains)}", source=path)
    chosen = chain or chains[0]
    return amino[amino.chain_id == chosen], chosen


def _is_amino_acid(atoms: Any) -> Any:
    """Bool per atom: its residue has one of the common names, or N, CA and C."""
    from biotite.structure import filter_canonical_amino_acids, get_residue_starts, spread_residue_wise

    starts = get_residue_starts(atoms, add_exclusive_stop=True)
    names = [set(atoms.atom_name[start:stop]) for start, stop in pairwise(starts)]
    whole = spread_residue_wise(atoms, np.array([set(_BACKBONE) <= each for each in names], dtype=bool))
    return whole | filter_canonical_amino_acids(atoms)


def _letter(residue: str) -> str:
    """The letter of an amino acid or of its parent."""
    from biotite.sequence import ProteinSequence
    from biotite.structure.info import one_letter_code

    try:
        letter: str = ProteinSequence.convert_letter_3to1(residue)
    except KeyError:
        letter = one_letter_code(residue) or "X"  # loads the dictionary: seconds, so only where it is needed
    return letter if len(letter) == 1 and letter.isalpha() else "X"
