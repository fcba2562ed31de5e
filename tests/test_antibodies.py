"""Antibodies: regions are where IMGT numbering puts them, masks and tables say the same, chains see each other."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import esmkit as library
from esmkit.applications.antibodies import (
    REGIONS,
    Region,
    number_regions,
    read_regions,
    region_mask,
    regions_csv,
    stream,
)
from esmkit.applications.pairs import Pair, read_pairs
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError, InvalidInputError, InvalidRecordError, InvalidSequenceError
from esmkit.inputs import open_records
from esmkit.types import Record, Result
from tests.cli_calls import ROOT, Esmkit, in_process

CHAINS = ROOT / "examples" / "antibody_chains.fasta"
ANTIBODIES = ROOT / "examples" / "antibody.csv"


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


def numbered(sequence: str) -> dict[str, Any]:
    """As ANARCII answers: every second IMGT position has a residue, from the third residue of the chain on."""
    residues = iter(sequence[2:])
    numbering = [((position, " "), next(residues, "-") if position % 2 else "-") for position in range(1, 129)]
    return {"numbering": numbering, "chain_type": "H", "query_start": 2, "query_end": 65, "error": None}


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in place of ANARCII."""

    class Anarcii:
        def __init__(self, **_: Any) -> None: ...

        def number(self, chains: dict[str, str]) -> dict[str, Any]:
            failed = {"numbering": None, "chain_type": "F", "query_start": None, "error": "Score less than cut off."}
            return {name: numbered(each) if len(each) >= 66 else failed for name, each in chains.items()}

    module = ModuleType("anarcii")
    module.Anarcii = Anarcii  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "anarcii", module)


@pytest.mark.usefixtures("stand_in")
def test_regions_are_counted_on_the_chain_as_it_was_given() -> None:
    regions = number_regions([Record(0, "heavy", "M" * 70)])
    sizes = [13, 6, 9, 5, 19, 7, 5]  # odd positions of 1-26, 27-38, 39-55, 56-65, 66-104, 105-117, 118-128
    assert [(each.chain, each.region) for each in regions] == [("heavy", name) for name in REGIONS]
    assert [each.end - each.start + 1 for each in regions] == sizes
    assert regions[0].start == 3
    assert all(after.start == before.end + 1 for before, after in pairwise(regions))


@pytest.mark.usefixtures("stand_in")
def test_what_cannot_be_numbered_is_named() -> None:
    with pytest.raises(InvalidRecordError, match="chain 'short' has no variable domain"):
        number_regions([Record(0, "short", "MKT")])
    with pytest.raises(InvalidSequenceError, match="chain 'x', position 2: found 'X'"):
        number_regions([Record(0, "x", "MX")])
    with pytest.raises(InvalidRecordError, match="two chains have the id 'x'"):
        number_regions([Record(0, "x", "MK"), Record(1, "x", "MK")])


def test_without_the_tool_the_error_says_what_helps(esmkit: Esmkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anarcii", None)
    done = esmkit("antibody", "regions", "QVQLVQSG")
    assert done.code == 2
    assert (
        "a table of regions from another tool does as well; install it with: pip install 'esmkit[antibody]'" in done.err
    )


def test_regions_of_real_chains_by_the_real_tool(esmkit: Esmkit, tmp_path: Path) -> None:
    pytest.importorskip("anarcii")
    out = tmp_path / "folder" / "regions.csv"
    done = esmkit("antibody", "regions", CHAINS, "--out", out)
    assert (done.code, done.out) == (0, ""), done.err
    chains = {record.id: record.sequence for record in open_records(CHAINS)}
    found = {(each.chain, each.region): chains[each.chain][each.start - 1 : each.end] for each in read_regions(out)}
    assert found["P80421", "CDR1"] == "GYAFENYY"
    assert found["P80421", "CDR2"] == "FNPVAGA"
    assert found["P80421", "CDR3"] == "ARVSYDFSQYGMDV"
    assert found["P06314", "FR1"].startswith("DIVMTQSPD")  # behind the signal peptide
    assert found["P06314", "CDR3"] == "QQYYNLPWT"
    assert esmkit("antibody", "regions", chains["P80421"]).out.startswith("chain,start,end,region\nchain1,1,25,FR1\n")


def test_a_table_of_regions_reads_back(tmp_path: Path) -> None:
    regions = [Region("heavy", 26, 33, "CDR1"), Region("light", 27, 32, "CDR1")]
    path = tmp_path / "regions.csv"
    path.write_text(regions_csv(regions))
    assert read_regions(path) == regions
    path.write_text("start,end,region\n3,5,loop\n")
    assert read_regions(path) == [Region("", 3, 5, "loop")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start,region\n1,CDR1\n", "no column 'end'"),
        ("start,end,region\n1,2,CDR1\nx,5,CDR2\n", "line 3: column 'start' holds 'x'"),
        ("start,end,region\n0,5,CDR2\n", "line 2: column 'start' holds '0'"),
        ("start,end,region\n6,5,CDR2\n", "line 2: column 'end' holds 5, which is before start"),
        ("start,end,region\n1,5,\n", "line 2: column 'region' is empty"),
    ],
)
def test_a_bad_table_of_regions_is_refused_by_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "regions.csv"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        read_regions(path)


def test_a_mask_covers_the_named_regions_of_the_chain() -> None:
    regions = [
        Region("h", 2, 3, "CDR1"),
        Region("h", 5, 5, "FR2"),
        Region("l", 1, 1, "CDR1"),
        Region("h", 7, 8, "CDR3"),
    ]
    assert np.flatnonzero(region_mask(regions, 9, chain="h")).tolist() == [1, 2, 6, 7]
    assert np.flatnonzero(region_mask(regions, 9, chain="h", names=["FR2"])).tolist() == [4]
    with pytest.raises(InvalidConfigError, match="CDR3 of chain 'h' ends at 8, but the chain has 7 residues"):
        region_mask(regions, 7, chain="h")
    with pytest.raises(InvalidConfigError, match="no region CDR9 of chain 'h'"):
        region_mask(regions, 9, chain="h", names=["CDR9"])


def test_embeddings_are_means_without_the_linker(tiny: Model) -> None:
    pair = Pair(0, "ab", Record(0, "h", "QVQLVQSG"), Record(0, "l", "DIVMTQ"))
    (result,) = stream(tiny, [pair], layer=2, linker=7)
    assert isinstance(result, Result)
    raw = tiny.embed("QVQLVQSG" + "G" * 7 + "DIVMTQ", layers=2, pool="per_residue")
    np.testing.assert_allclose(result.arrays["mean_heavy_2"], raw[:8].mean(0), atol=1e-6)
    np.testing.assert_allclose(result.arrays["mean_light_2"], raw[15:].mean(0), atol=1e-6)
    np.testing.assert_allclose(result.arrays["mean_2"], np.concatenate([raw[:8], raw[15:]]).mean(0), atol=1e-6)
    assert result.meta["length"] == 14


def test_a_table_of_antibodies_is_embedded(esmkit: Esmkit, tmp_path: Path) -> None:
    out = tmp_path / "antibodies.parquet"
    done = esmkit("antibody", "embed", ANTIBODIES, "--out", out)
    assert done.code == 0, done.err
    assert "1 antibody, " in done.err
    (row,) = pq.read_table(out).to_pylist()
    model = library.load()
    (expected,) = stream(model, read_pairs(ANTIBODIES, columns=("heavy", "light")))
    assert isinstance(expected, Result)
    number = model.shape.num_layers
    np.testing.assert_allclose(row[f"mean_light_{number}"], expected.arrays[f"mean_light_{number}"], atol=1e-5)
    assert row["id_heavy"] == "P80421+P06314_heavy"
    assert esmkit("antibody", "embed", ROOT / "examples" / "pairs.csv", "--out", out).code == 2
