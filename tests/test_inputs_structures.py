"""Structures: a chain of a PDB or mmCIF file becomes its sequence and its C-beta atoms, or a clear error."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from esmkit.errors import InvalidInputError
from esmkit.inputs.structures import read_structure, read_structures
from tests.structure_files import STRUCTURES, lines_of, residue, strand, write

FREE = [("N", (90.0, 0.0, 0.0)), ("CA", (91.5, 0.0, 0.0)), ("C", (92.0, 1.4, 0.0)), ("CB", (91.5, -1.5, 0.0))]
"""The atoms of an amino acid far from everything."""


def number_of(line: str) -> int:
    return int(line[22:26])


def test_a_real_chain_is_read_with_all_its_atoms_in_place() -> None:
    structure = read_structure(str(STRUCTURES / "2gom_A.pdb.gz"))
    assert structure.id == "2gom_A:A"
    lines = lines_of("2gom_A")
    assert len(structure.sequence) == len({number_of(line) for line in lines}) == 61
    assert not np.isnan(structure.cb_L3).any()
    written = {number_of(line): line for line in lines if line[12:16] == " CB "}
    assert len(written) > 40
    for number, line in written.items():
        expected = [float(line[start : start + 8]) for start in (30, 38, 46)]
        np.testing.assert_allclose(structure.cb_L3[number - 1], expected, atol=1e-3)


def test_a_missing_beta_atom_is_put_where_it_would_be(tmp_path: Path) -> None:
    """The files have idealised atoms, so those that are taken away come back to their place."""
    compared = 0
    for name in ("2gom_A", "4k12_A"):
        with_cb = read_structure(str(STRUCTURES / f"{name}.pdb.gz"))
        bare = write(tmp_path / f"{name}.pdb", [line for line in lines_of(name) if line[12:16] != " CB "])
        without = read_structure(str(bare))
        assert without.sequence == with_cb.sequence
        apart = np.linalg.norm(with_cb.cb_L3 - without.cb_L3, axis=1)
        assert apart.max() < 0.2
        compared += (apart > 0).sum()
    assert compared > 100


def test_mmcif_gives_what_pdb_gives(tmp_path: Path) -> None:
    from biotite.structure.io import pdb, pdbx

    for name in ("2gom_A", "1pby_C"):
        source = pdb.PDBFile.read(str(write(tmp_path / f"{name}.pdb", lines_of(name))))
        file = pdbx.CIFFile()
        pdbx.set_structure(file, source.get_structure(model=1), data_block=name)
        file.write(str(tmp_path / f"{name}.cif"))
        packed = tmp_path / f"{name}.mmcif.gz"
        packed.write_bytes(gzip.compress((tmp_path / f"{name}.cif").read_bytes()))
        first, *others = (read_structure(str(tmp_path / file)) for file in (f"{name}.pdb", f"{name}.cif", packed.name))
        for other in others:
            assert (other.id, other.sequence) == (first.id, first.sequence)
            np.testing.assert_array_equal(other.cb_L3, first.cb_L3)


def test_mmcif_chains_and_numbers_are_those_of_the_authors(tmp_path: Path) -> None:
    columns = (
        "group_PDB",
        "id",
        "type_symbol",
        *(f"label_{name}" for name in ("atom_id", "alt_id", "comp_id", "asym_id", "entity_id", "seq_id")),
        "pdbx_PDB_ins_code",
        *("Cartn_x", "Cartn_y", "Cartn_z", "occupancy", "B_iso_or_equiv"),
        *("auth_seq_id", "auth_asym_id", "pdbx_PDB_model_num"),
    )
    rows = []
    for line in strand("AGK", first=101):
        atom, name, number = line[12:16].strip(), line[17:20], number_of(line)
        place = " ".join(line[start : start + 8] for start in (30, 38, 46))
        rows.append(f"ATOM {len(rows) + 1} {atom[0]} {atom} . {name} B 1 {number - 100} ? {place} 1 0 {number} H 1")
    header = "\n".join(["data_x", "loop_", *(f"_atom_site.{column}" for column in columns)])
    (tmp_path / "x.cif").write_text("\n".join([header, *rows, ""]))
    assert read_structure(f"{tmp_path / 'x.cif'}:H").sequence == "AGK"
    with pytest.raises(InvalidInputError, match="no protein chain 'B'; it has H"):
        read_structure(str(tmp_path / "x.cif"), chain="B")


def test_missing_residues_are_as_many_x_as_their_numbers_leave_room_for(tmp_path: Path) -> None:
    whole = read_structure(str(STRUCTURES / "2gom_A.pdb.gz"))
    kept = [line for line in lines_of("2gom_A") if number_of(line) not in (10, 11, 12)]
    gapped = read_structure(str(write(tmp_path / "gapped.pdb", kept)))
    assert gapped.sequence == whole.sequence[:9] + "XXX" + whole.sequence[12:]
    assert np.isnan(gapped.cb_L3[9:12]).all()
    rest = np.r_[0:9, 12:61]
    np.testing.assert_array_equal(gapped.cb_L3[rest], whole.cb_L3[rest])


def test_a_jump_in_the_numbers_of_bonded_residues_is_no_gap(tmp_path: Path) -> None:
    lines = [
        line if number_of(line) < 3 else f"{line[:22]}{number_of(line) + 40:4}{line[26:]}" for line in strand("AGKMA")
    ]
    assert read_structure(str(write(tmp_path / "x.pdb", lines))).sequence == "AGKMA"


@pytest.mark.parametrize("jump", [0, -3, 200])
def test_a_break_that_the_numbers_do_not_explain_is_an_error(jump: int, tmp_path: Path) -> None:
    lines = [*strand("AGK"), *strand("KMA", first=4 + jump, x=30.0)]
    with pytest.raises(
        InvalidInputError, match=rf"chain A: .* broken between LYS 3 and LYS {4 + jump} \(C to N \d+\.\d Å\)"
    ):
        read_structure(str(write(tmp_path / "x.pdb", lines)))


def test_modified_residues_are_their_parents_and_unknown_ones_x(tmp_path: Path) -> None:
    lines = [
        line.replace("ATOM  ", "HETATM").replace("MET", "MSE") if "MET" in line else line for line in strand("AMGK")
    ]
    lines = [line.replace("LYS", "UNK") for line in lines]
    assert read_structure(str(write(tmp_path / "x.pdb", lines))).sequence == "AMGX"


def test_water_ions_and_free_amino_acids_are_no_residues(tmp_path: Path) -> None:
    others = [
        *residue("GLU", 301, FREE, hetero=True),
        *residue("CA", 302, [("CA", (50.0, 0.0, 0.0))], hetero=True),
        *residue("HOH", 303, [("O", (60.0, 0.0, 0.0))], hetero=True),
    ]
    assert read_structure(str(write(tmp_path / "x.pdb", [*strand("AGK"), *others]))).sequence == "AGK"


def test_the_chain_is_chosen_by_file_or_for_all(tmp_path: Path) -> None:
    two = str(write(tmp_path / "two.pdb", [*strand("AGK"), *strand("MMA", chain="B", x=20.0)]))
    assert read_structure(f"{two}:B").sequence == "MMA"
    assert read_structure(two, chain="A").sequence == "AGK"
    assert [each.sequence for each in read_structures([f"{two}:B", two], chain="A")] == ["MMA", "AGK"]
    with pytest.raises(InvalidInputError, match=r"2 protein chains \(A, B\); choose one: .*two.pdb:A"):
        read_structure(two)


def test_a_folder_gives_its_structures_by_name() -> None:
    assert [each.id for each in read_structures([str(STRUCTURES)])] == [
        f"{name}:A" for name in ("1pby_C", "2gom_A", "2yad_A", "3obh_B", "4ikg_A", "4k12_A", "4pkf_B", "4rgd_A")
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.pdb", "\n".join(residue("GLU", 1, FREE, hetero=True)), "chain A: its amino acids are single ones"),
        ("x.pdb", "\n".join(strand("AGK")[1::4]), "no residue has a C-beta atom"),
        ("x.pdb", "\n".join(residue("HOH", 1, [("O", (0.0, 0.0, 0.0))], hetero=True)), "no amino acids"),
        ("x.pdb", "", "cannot be read as pdb"),
        ("x.cif", "data_x\n_cell.length_a 1\n", "cannot be read as mmcif"),
        ("x.pdb", strand("A")[0][:30] + "  nonsense" + strand("A")[0][40:], "cannot be read as pdb"),
        ("x.fasta", ">a\nMKT\n", "a structure ends with .pdb, .ent, .cif, .mmcif"),
    ],
)
def test_what_is_no_structure_of_a_protein_is_an_error(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInputError, match=message):
        read_structure(str(tmp_path / name))


def test_a_file_that_is_not_there_and_an_empty_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot open"):
        read_structure(str(tmp_path / "absent.pdb"))
    with pytest.raises(InvalidInputError, match="holds no file that ends with"):
        read_structures([str(tmp_path)])
