"""Pairs of proteins: linkers are cut out exactly, interfaces keep their threshold, features know no order if asked."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import esmkit as library
from esmkit.alphabet import ResiduePolicy
from esmkit.applications import interactions
from esmkit.applications.interactions.contacts import PairContacts
from esmkit.applications.pairs import Pair, linked, pair_of, read_pairs
from esmkit.applications.vectors import vectors
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError, InvalidInputError, InvalidRecordError, InvalidSequenceError
from esmkit.types import Failure, Record
from tests.cli_calls import ROOT, Esmkit, examples, in_process, write_fasta

BPTI, GB1, BRAZZEIN = (examples()[name] for name in ("5PTI_A", "1PGA_A", "P56552"))


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    lines = ("id,id_a,sequence_a,sequence_b,binds", f"one,BPTI,{BPTI},{GB1},1", f"two,,{GB1},{BRAZZEIN},0")
    path.write_text("\n".join(lines) + "\n")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("linker", [1, 25])
def test_the_linker_is_cut_out_exactly(tiny: Model, linker: int) -> None:
    found = interactions.contacts(tiny, BPTI, GB1, linker=linker)
    raw = tiny.contacts(BPTI + "G" * linker + GB1)
    a, b = len(BPTI), len(BPTI) + linker
    np.testing.assert_array_equal(found.ab, raw[:a, b:])
    np.testing.assert_array_equal(found.aa, raw[:a, :a])
    np.testing.assert_array_equal(found.bb, raw[b:, b:])
    np.testing.assert_allclose(found.contacts, found.contacts.T, atol=1e-6)


def test_glycines_at_the_ends_of_the_proteins_stay(tiny: Model) -> None:
    found = interactions.contacts(tiny, BPTI + "GG", "GGG" + GB1, linker=5)
    assert (found.border, found.ab.shape) == (60, (60, 59))


def test_interface_residues_reach_the_threshold_and_all_others_do_not(tiny: Model) -> None:
    found = interactions.contacts(tiny, BPTI, GB1)
    for threshold in (0.0, float(np.quantile(found.ab, 0.99)), 1.0):
        listed = found.interface(threshold)
        for chain, block, own, other in (("A", found.ab, BPTI, GB1), ("B", found.ab.T, GB1, BPTI)):
            mine = [each for each in listed if each.chain == chain]
            assert [each.position - 1 for each in mine] == np.flatnonzero(block.max(axis=1) >= threshold).tolist()
            for each in mine:
                line = block[each.position - 1]
                assert each.probability == line[each.partner_position - 1] == line.max()
                assert (each.residue, each.partner_residue) == (
                    own[each.position - 1],
                    other[each.partner_position - 1],
                )
    assert found.best.probability == found.ab.max()
    with pytest.raises(InvalidConfigError, match="0 to 1"):
        found.interface(1.5)


def test_many_pairs_come_in_order_and_as_if_alone(tiny: Model) -> None:
    several = [(BPTI, GB1), (GB1, BPTI), (BRAZZEIN, BRAZZEIN)] * 3
    pairs = [Pair(index, str(index), Record(0, "a", a), Record(0, "b", b)) for index, (a, b) in enumerate(several)]
    count = 0
    for item, (a, b) in zip(interactions.stream(tiny, pairs), several, strict=True):
        assert isinstance(item, PairContacts)
        np.testing.assert_allclose(item.contacts, interactions.contacts(tiny, a, b).contacts, atol=1e-5)
        count += 1
    assert count == 9


def test_a_bad_protein_is_named_and_skipped_on_request(tiny: Model) -> None:
    bad = Pair(1, "p", Record(0, "a", "MKT"), Record(0, "b", "MJ"))
    good = [Pair(index, str(index), Record(0, "a", BPTI), Record(0, "b", GB1)) for index in (0, 2)]
    with pytest.raises(InvalidSequenceError, match="record 'b', position 2: found 'J'"):
        list(interactions.stream(tiny, [good[0], bad]))
    items = list(interactions.stream(tiny, [good[0], bad, good[1]], on_error="skip"))
    assert [type(item) for item in items] == [PairContacts, Failure, PairContacts]


def test_features_stand_side_by_side(tiny: Model) -> None:
    pairs = [
        Pair(0, "p", Record(0, "a", BPTI), Record(0, "b", GB1)),
        Pair(1, "q", Record(0, "c", GB1), Record(0, "d", BPTI)),
    ]
    found = interactions.features(tiny, pairs, layers=[1, -1])
    a, b = vectors(tiny, [pairs[0].a, pairs[0].b], layers=[1, -1]).reshape(2, -1)
    np.testing.assert_array_equal(found[0], np.concatenate([a, b, a * b, np.abs(a - b)]))
    np.testing.assert_array_equal(found[1], np.concatenate([b, a, a * b, np.abs(a - b)]))


def test_symmetric_features_do_not_depend_on_the_order(tiny: Model) -> None:
    pairs = [
        Pair(0, "p", Record(0, "a", BPTI), Record(0, "b", GB1)),
        Pair(1, "q", Record(0, "c", GB1), Record(0, "d", BPTI)),
    ]
    found = interactions.features(tiny, pairs, symmetric=True)
    assert found.shape == (2, 3 * tiny.width)
    np.testing.assert_array_equal(found[0], found[1])


def test_a_table_of_pairs_is_read_with_its_ids(table: Path, tmp_path: Path) -> None:
    pairs = read_pairs(table)
    assert [(pair.id, pair.a.id, pair.b.id, dict(pair.cells)) for pair in pairs] == [
        ("one", "BPTI", "one_b", {"binds": "1"}),
        ("two", "two_a", "two_b", {"binds": "0"}),
    ]
    bare = tmp_path / "bare.tsv"
    bare.write_text(f"sequence_a\tsequence_b\n{BPTI}\t{GB1}\n")
    assert [pair.id for pair in read_pairs(bare)] == ["row1"]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("sequence_a,b\nMK,MK\n", InvalidInputError, "no column 'sequence_b'"),
        ("sequence_a,sequence_b\nMK,MK\nMK,\n", InvalidRecordError, "line 3\\) has nothing in column 'sequence_b'"),
        ("id,sequence_a,sequence_b\nx,MK,MK\nx,MK,ML\n", InvalidRecordError, "line 3\\) has the id of line 2"),
    ],
)
def test_a_bad_table_is_refused_by_line_and_column(
    tmp_path: Path, text: str, kind: type[Exception], message: str
) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(kind, match=message):
        read_pairs(path)


def test_a_sequence_is_repaired_before_it_is_joined() -> None:
    record = linked(pair_of(Record(0, "a", "mk"), Record(0, "b", "ML")), ResiduePolicy("upper"), linker=2)
    assert isinstance(record, Record)
    assert record.sequence == "MKGGML"


def test_contacts_are_written_with_interfaces_maps_and_pictures(esmkit: Esmkit, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "interfaces.csv"
    call = ("interactions", "contacts", table, "--threshold", "0.04")
    done = esmkit(*call, "--out", out, "--plot", tmp_path / "maps")
    assert (done.code, done.out) == (0, ""), done.err
    assert "2 pairs" in done.err
    rows = rows_of(out)
    assert [
        (row["id"], row["id_a"], row["binds"], row["length_a"], row["length_b"], row["length"]) for row in rows
    ] == [
        ("one", "BPTI", "1", "58", "56", "114"),
        ("two", "two_a", "0", "56", "54", "110"),
    ]
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["00001_one.png", "00002_two.png"]
    whole = tmp_path / "maps.parquet"
    assert esmkit(*call, "--out", whole, "--maps").code == 0
    (first, _) = pq.read_table(whole).to_pylist()
    ab = np.array(first["contacts_ab"])
    assert ab.shape == (58, 56)
    assert first["highest_probability"] == pytest.approx(ab.max())
    listed = [part.split("=") for part in first["interface_a"].split()]
    assert [int(name[1:]) - 1 for name, _ in listed] == np.flatnonzero(ab.max(axis=1) >= 0.04).tolist()
    refused = esmkit(*call, "--out", tmp_path / "maps.csv", "--maps")
    assert (refused.code, "csv cannot hold contacts_aa" in refused.err) == (2, True)


def test_the_interface_of_one_pair_is_shown(esmkit: Esmkit, tmp_path: Path) -> None:
    both = write_fasta(tmp_path / "both.fasta", [("a", BPTI), ("b", GB1)])
    shown = esmkit("interactions", "contacts", both, "--threshold", "0", "-q")
    assert shown.code == 0, shown.err
    lines = shown.out.splitlines()
    assert lines[0].startswith("a:b: 58 + 56 residues")
    assert len(lines) == 2 + 58 + 56
    none = esmkit("interactions", "contacts", both, "--threshold", "1", "-q").out
    assert "below the threshold" in none
    (told,) = map(
        json.loads, esmkit("interactions", "contacts", both, "--threshold", "0", "--json", "-q").out.splitlines()
    )
    assert [each["position"] for each in told["interface"]] == [*range(1, 59), *range(1, 57)]


def test_features_are_written_for_scikit_learn(esmkit: Esmkit, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "features.parquet"
    done = esmkit("interactions", "features", table, "--symmetric", "--out", out)
    assert done.code == 0, done.err
    read = pq.read_table(out).to_pydict()
    assert (read["id"], read["binds"]) == (["one", "two"], ["1", "0"])
    model = library.load()
    expected = interactions.features(model, read_pairs(table), symmetric=True)
    np.testing.assert_allclose(np.array(read["features"]), expected, atol=1e-6)
    arrays = tmp_path / "features.npz"
    assert esmkit("interactions", "features", table, "--symmetric", "--out", arrays).code == 0
    np.testing.assert_allclose(np.load(arrays)["one/features"], expected[0], atol=1e-6)
    again = esmkit("interactions", "features", table, "--out", out)
    assert (again.code, "other arguments" in again.err) == (2, True)


def test_a_changed_label_is_another_run(esmkit: Esmkit, table: Path, tmp_path: Path) -> None:
    call = ("interactions", "features", table, "--out", tmp_path / "features.parquet")
    assert esmkit(*call).code == 0
    assert "nothing left to compute" in esmkit(*call).err
    table.write_text(table.read_text().replace(",0\n", ",1\n"))
    assert "pairs_sha256" in esmkit(*call).err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("contacts", "--sequence", "MK"), "--sequence twice"),
        (("contacts", "--sequence", "MK", "--sequence", "ML", "--maps"), "--out"),
        (("contacts", "--sequence", "MK", "--sequence", "ML", "--threshold", "2"), "0 to 1"),
        (("contacts", "--sequence", "MK", "--sequence", "ML", "--long", "truncate"), "chains are not truncated"),
        (("features", "--sequence", "MK", "--sequence", "ML"), "--out"),
    ],
)
def test_what_makes_no_sense_is_refused(esmkit: Esmkit, arguments: tuple[str, ...], message: str) -> None:
    done = esmkit("interactions", *arguments)
    assert done.code == 2
    assert message in done.err


def test_columns_of_results_cannot_be_columns_of_the_input(esmkit: Esmkit, table: Path, tmp_path: Path) -> None:
    table.write_text(table.read_text().replace("binds", "features"))
    done = esmkit("interactions", "features", table, "--out", tmp_path / "features.parquet")
    assert (done.code, "has a column 'features'" in done.err) == (2, True)


def test_the_example_pairs_are_real_chains() -> None:
    pairs = read_pairs(ROOT / "examples" / "pairs.csv")
    assert [pair.id for pair in pairs] == [f"{entry}_A:{entry}_B" for entry in ("2VLQ", "2QFA", "2ZFD", "1SB2", "3B0Z")]
