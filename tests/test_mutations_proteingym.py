"""Benchmarks in ProteinGym's format: the right wild types, the right correlations, and finished assays kept."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import esmkit as library
from esmkit.applications import mutations
from esmkit.applications.mutations import scoring
from esmkit.applications.mutations.proteingym import (
    Agreement,
    Assay,
    find_assays,
    official_mean,
    spearman,
    wild_type_of,
)
from esmkit.errors import InvalidInputError
from tests.cli_calls import Esmkit, examples, in_process

BPTI, PROTEIN_G = examples()["5PTI_A"], examples()["1PGA_A"]
VARIANTS = {"bpti": (BPTI, ["R1A", "P2G:D3E", "K15W", "C5A"]), "gb1": (PROTEIN_G, ["M1A", "T2P", "Y3F"])}


@given(st.lists(st.tuples(st.integers(-4, 4), st.floats(-9, 9)), min_size=2, max_size=40))
def test_spearman_is_that_of_scipy(pairs: list[tuple[int, float]]) -> None:
    first, second = zip(*pairs, strict=True)
    if len(set(first)) < 2 or len(set(second)) < 2:
        with pytest.raises(ValueError, match="two different values"):
            spearman(first, second)
    else:
        assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two assays as ProteinGym writes them; what was measured falls with the number of the row."""
    folder = tmp_path / "assays"
    folder.mkdir()
    for name, (wild_type, variants) in VARIANTS.items():
        rows = [[text, mutations.parse(text, wild_type), -at] for at, text in enumerate(variants)]
        write(folder / f"{name}.csv", ["mutant", "mutated_sequence", "DMS_score"], *rows)
    return folder


def write(path: Path, *rows: list[object]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def expected(name: str) -> float:
    wild_type, variants = VARIANTS[name]
    scores = mutations.score(library.load(), wild_type, variants).scores
    return float(stats.spearmanr(scores, -np.arange(len(variants))).statistic)


def test_correlations_are_printed_written_and_averaged(esmkit: Esmkit, folder: Path, tmp_path: Path) -> None:
    done = esmkit("benchmark", "proteingym", folder, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    values = {name: expected(name) for name in VARIANTS}
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[1:3] == [[name, str(len(VARIANTS[name][1])), f"{value:.4f}"] for name, value in values.items()]
    assert lines[3][-1] == f"{np.mean(list(values.values())):.4f}"
    assert max(map(len, done.out.splitlines())) <= 80
    with (tmp_path / "out" / "spearman.csv").open() as file:
        written = {row["assay"]: float(row["spearman"]) for row in csv.DictReader(file)}
    assert written == pytest.approx(values, abs=1e-6)


def test_finished_assays_are_kept(
    esmkit: Esmkit, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("benchmark", "proteingym", folder, "--out", tmp_path / "out", "--json", "-q")
    assert esmkit(*call, "--assay", "gb1").code == 0
    scored: list[str] = []
    stream = scoring.Scorer.stream
    monkeypatch.setattr(
        scoring.Scorer,
        "stream",
        lambda self, chunk, *rest: scored.extend(v.id for v in chunk) or stream(self, chunk, *rest),
    )
    done = json.loads(esmkit(*call).out)
    assert scored == VARIANTS["bpti"][1]
    assert done["assays"]["gb1"]["spearman"] == pytest.approx(expected("gb1"))
    assert done["mean"] == pytest.approx(np.mean([expected(name) for name in VARIANTS]))
    changed = (folder / "gb1.csv").read_text().replace("-2", "-0.5")
    (folder / "gb1.csv").write_text(changed)
    refused = esmkit(*call)
    assert refused.code == 2
    assert "table_sha256 was" in refused.err


def test_a_reference_names_wild_types_and_groups(esmkit: Esmkit, folder: Path, tmp_path: Path) -> None:
    write(folder / "gb1.csv", ["mutant", "DMS_score"], *[[text, -at] for at, text in enumerate(VARIANTS["gb1"][1])])
    header = ["DMS_id", "target_seq", "UniProt_ID", "coarse_selection_type"]
    reference = write(
        folder / "reference.csv", header, ["bpti", BPTI, "BPT1", "Stability"], ["gb1", PROTEIN_G, "SPG1", "Binding"]
    )
    call = ("benchmark", "proteingym", folder, "--out", tmp_path / "out", "--reference", reference, "--json", "-q")
    done = json.loads(esmkit(*call).out)
    assert list(done["assays"]) == ["bpti", "gb1"]
    assert done["proteingym_mean"] == pytest.approx(done["mean"])


def test_the_official_mean_is_one_of_kinds_of_means_of_proteins() -> None:
    def one(protein: str, kind: str, value: float) -> Agreement:
        return Agreement(Assay("a", Path("a.csv"), "M", protein, kind), 2, value)

    found = [one("A", "Binding", 0.1), one("A", "Binding", 0.3), one("B", "Binding", 0.6), one("A", "Stability", 0.8)]
    assert official_mean(found) == pytest.approx(((0.2 + 0.6) / 2 + 0.8) / 2)
    assert official_mean([*found, one("", "", 0.5)]) is None


def test_wild_types_are_worked_out_from_the_variants(folder: Path) -> None:
    assert {assay.name: assay.wild_type for assay in find_assays(folder)} == {"bpti": BPTI, "gb1": PROTEIN_G}
    assert [assay.name for assay in find_assays(folder, only=["gb1"])] == ["gb1"]


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([["mutant", "DMS_score"], ["A1G", 1]], "needs the columns mutant and mutated_sequence, or a --reference"),
        ([["mutant", "mutated_sequence"], ["A9G", "GKT"]], "no row has substitutions that fit"),
        ([["mutant", "mutated_sequence"], ["K2del", "MT"]], "no row has substitutions that fit"),
    ],
)
def test_assays_without_a_wild_type_are_refused(tmp_path: Path, rows: list[list[object]], match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        wild_type_of(write(tmp_path / "assay.csv", *rows))


@pytest.mark.parametrize(
    ("measured", "match"),
    [(["1", "high"], "DMS_score of P2G is 'high', which is no number"), (["1", ""], "two different values")],
)
def test_measurements_that_cannot_be_ranked_are_refused(
    esmkit: Esmkit, tmp_path: Path, measured: list[str], match: str
) -> None:
    (tmp_path / "assays").mkdir()
    rows = zip(["R1A", "P2G"], [mutations.parse(text, BPTI) for text in ("R1A", "P2G")], measured, strict=True)
    write(tmp_path / "assays" / "bpti.csv", ["mutant", "mutated_sequence", "DMS_score"], *map(list, rows))
    done = esmkit("benchmark", "proteingym", tmp_path / "assays", "--out", tmp_path / "out", "-q")
    assert done.code == 2
    assert match in done.err


def test_folders_without_the_assay_are_refused(esmkit: Esmkit, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no CSV" in esmkit("benchmark", "proteingym", tmp_path / "empty", "--out", tmp_path / "out").err
    unknown = esmkit("benchmark", "proteingym", folder, "--out", tmp_path / "out", "--assay", "nobody").err
    assert "holds no assay 'nobody'; it holds bpti, gb1" in unknown
    assert "is the folder of the assays" in esmkit("benchmark", "proteingym", folder, "--out", folder).err


def test_rows_that_fail_are_skipped_on_request(esmkit: Esmkit, folder: Path, tmp_path: Path) -> None:
    with (folder / "gb1.csv").open("a") as file:
        file.write("W1A,AAA,0.5\n")
    call = ("benchmark", "proteingym", folder, "--out", tmp_path / "out", "-q")
    assert esmkit(*call).code == 2
    done = esmkit(*call, "--on-error", "skip", "--overwrite")
    assert done.code == 1
    assert "1 variants failed, listed in" in done.err
    assert done.out.splitlines()[2].split()[:2] == ["gb1", "3"]
