"""The commands map and cluster: what they write, print and refuse."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import esmkit as library
from esmkit.applications.maps import pca
from esmkit.cli import points
from esmkit.engine import Engine
from tests.cli_calls import Esmkit, examples, in_process, write_fasta

KNOWN = sorted(examples().items(), key=lambda item: len(item[1]))[:8]


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


@pytest.fixture
def proteins(tmp_path: Path) -> Path:
    return write_fasta(tmp_path / "proteins.fasta", KNOWN)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = [
        f"{name},{sequence},{'' if at == 2 else 'ab'[at % 2]},{at / 2}" for at, (name, sequence) in enumerate(KNOWN)
    ]
    path = tmp_path / "proteins.csv"
    path.write_text("\n".join(["id,sequence,class,ddG", *lines, ""]))
    return path


@pytest.fixture(scope="module")
def expected() -> Any:
    return pca(library.load().embed([sequence for _, sequence in KNOWN]), 3)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def places(rows: list[dict[str, str]]) -> Any:
    return np.array([[float(row["x"]), float(row["y"])] for row in rows])


def never(*_: object, **__: object) -> None:
    pytest.fail("computed again")


def test_map_writes_coordinates_picture_and_page(esmkit: Esmkit, table: Path, tmp_path: Path, expected: Any) -> None:
    out = tmp_path / "results"
    done = esmkit(
        *("map", table, "--color-by", "class", "--column", "ddG", "--components", 3, "--out", out / "map.csv"),
        *("--plot", out / "map.png", "--plot", out / "map.svg", "--html", out / "map.html"),
    )
    assert (done.code, done.out) == (0, ""), done.err
    rows = rows_of(out / "map.csv")
    assert list(rows[0])[4:] == ["x", "y", "pc1", "pc2", "pc3", "class", "ddG"]
    assert [row["id"] for row in rows] == [name for name, _ in KNOWN]
    np.testing.assert_allclose(places(rows), expected.coordinates[:, :2], atol=1e-5)
    assert [row["class"] for row in rows] == ["a", "b", "", "b", "a", "b", "a", "b"]
    assert f"PC1 {expected.explained[0]:.1%}, PC2 {expected.explained[1]:.1%}" in done.err
    assert "colours: class, 2 categories, 1 missing" in done.err
    assert (out / "map.png").read_bytes()[:4] == b"\x89PNG"
    assert (out / "map.svg").stat().st_size > 1000
    assert KNOWN[0][0] in (out / "map.html").read_text()
    manifest = json.loads((out / "map.csv.manifest.json").read_text())
    assert manifest["provenance"]["slug"] == "esm2-mini"


def test_a_second_map_computes_no_embedding(
    esmkit: Esmkit, proteins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert esmkit("map", proteins, "--out", tmp_path / "first.csv").code == 0
    monkeypatch.setattr(Engine, "run", never)
    done = esmkit("map", proteins, "--out", tmp_path / "second.csv", "--html", tmp_path / "map.html")
    assert done.code == 0, done.err
    assert (tmp_path / "second.csv").read_bytes() == (tmp_path / "first.csv").read_bytes()


def test_embeddings_on_disk_give_the_same_map_without_a_model(
    esmkit: Esmkit, proteins: Path, tmp_path: Path, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert esmkit("embed", proteins, "--include", "mean,max", "--out", tmp_path / "both.parquet").code == 0
    assert esmkit("embed", proteins, "--out", tmp_path / "shards").code == 0
    monkeypatch.setattr(points, "load_model", never)
    several = esmkit("map", tmp_path / "both.parquet", "--out", tmp_path / "none.csv")
    assert several.code == 2
    assert "--embedding-column" in several.err
    columns = [name for name in pq.read_schema(tmp_path / "both.parquet").names if name.startswith("mean_")]
    for number, arguments in enumerate(
        [(tmp_path / "both.parquet", "--embedding-column", *columns), (tmp_path / "shards",)]
    ):
        done = esmkit("map", *arguments, "--out", tmp_path / f"{number}.csv")
        assert done.code == 0, done.err
        rows = rows_of(tmp_path / f"{number}.csv")
        np.testing.assert_allclose(places(rows), expected.coordinates[:, :2], atol=1e-5)
        assert [int(row["length"]) for row in rows] == [len(sequence) for _, sequence in KNOWN]


def test_columns_come_from_a_table_by_id(esmkit: Esmkit, proteins: Path, tmp_path: Path) -> None:
    table = tmp_path / "known.csv"
    table.write_text(f"protein,class\nunknown,z\n{KNOWN[3][0]},b\n{KNOWN[0][0]},a\n")
    done = esmkit("map", proteins, "--table", table, "--color-by", "class", "--out", tmp_path / "map.parquet")
    assert done.code == 0, done.err
    assert "2 categories, 6 missing" in done.err
    assert pq.read_table(tmp_path / "map.parquet")["class"].to_pylist() == ["a", "", "", "b", "", "", "", ""]
    table.write_text(f"protein,class\n{KNOWN[0][0]},b\n{KNOWN[0][0]},a\n")
    twice = esmkit("map", proteins, "--table", table, "--color-by", "class", "--html", tmp_path / "map.html")
    assert (twice.code, "line 3" in twice.err) == (2, True)
    table.write_text("protein,class\nx,b\n")
    nobody = esmkit("map", proteins, "--table", table, "--color-by", "class", "--html", tmp_path / "map.html")
    assert "no row of" in nobody.err


def test_without_files_the_map_is_shown(esmkit: Esmkit, proteins: Path, expected: Any) -> None:
    done = esmkit("map", proteins, "--json", "--quiet")
    rows = [json.loads(line) for line in done.out.splitlines()]
    np.testing.assert_allclose([[row["x"], row["y"]] for row in rows], expected.coordinates[:, :2], atol=1e-5)
    assert len(esmkit("map", proteins, "--quiet").out.splitlines()) == 1 + len(KNOWN)


def test_the_summary_is_there_for_programs(esmkit: Esmkit, proteins: Path, tmp_path: Path, expected: Any) -> None:
    done = esmkit("map", proteins, "--html", tmp_path / "map.html", "--cluster", "leiden", "--json", "--quiet")
    facts = json.loads(done.out)
    assert facts["explained_variance"] == pytest.approx(expected.explained[:2], abs=1e-5)
    assert (facts["proteins"], facts["noise"], facts["missing_color"]) == (8, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--color-by", "clas"), "'class', 'ddG': choose one of them in place of --color-by clas"),
        (("--column", "x"), "--column x: the result has a column 'x' of its own"),
        (("--color-by", "class", "--color-as", "numbers"), "column 'class' holds no number"),
        (("--html", "map.htm"), "ends with .html"),
        (("--plot", "map.jpg"), "ends with .png"),
        (("--components", 8), "have 1 to 7 components, not 8"),
        (("--embedding-column", "mean_6"), "is no file of embeddings"),
        (("--out", "proteins.csv"), "is the input itself"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    esmkit: Esmkit, table: Path, arguments: tuple[Any, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(table.parent)
    done = esmkit("map", table.name, *arguments)
    assert done.code == 2
    assert said in done.err


def test_a_bad_protein_is_named(esmkit: Esmkit, tmp_path: Path) -> None:
    path = write_fasta(tmp_path / "bad.fasta", [*KNOWN[:3], ("bad", "MK1T")])
    done = esmkit("map", path, "--html", tmp_path / "map.html")
    assert done.code == 2
    assert "'bad'" in done.err


def test_clusters_are_found_compared_and_handed_to_a_map(esmkit: Esmkit, tmp_path: Path) -> None:
    families = [(name, KNOWN[at][1]) for at, name in ((1, "short"), (6, "long"))]
    rows = [
        f"{name}{number},{sequence[:number]}{'A'}{sequence[number + 1 :]},{name}"
        for name, sequence in families
        for number in range(10)
    ]
    (tmp_path / "families.csv").write_text("\n".join(["id,sequence,family", *rows, ""]))
    for method in ("leiden", "hdbscan"):
        out = tmp_path / f"{method}.csv"
        cluster = ("cluster", tmp_path / "families.csv", "--method", method, "--compare-with", "family")
        done = esmkit(*cluster, "--neighbors", 9, "--out", out)
        assert done.code == 0, done.err
        assert "2 clusters" in done.err
        found = rows_of(out)
        is_noisy = any(row["cluster"] == "noise" for row in found)
        what = "without noise" if is_noisy else "with family"
        assert f"{what}: adjusted Rand index 1.000, adjusted mutual information 1.000" in done.err
        assert ("probability" in found[0]) == (method == "hdbscan")
        assert sum(int(row["representative"]) for row in found) == 2
        assert {row["cluster"] for row in found} <= {"1", "2", "noise"}
        again = esmkit(*cluster, "--neighbors", 9, "--out", tmp_path / "again.csv", "--overwrite", "--json", "--quiet")
        assert (tmp_path / "again.csv").read_bytes() == out.read_bytes()
        facts = json.loads(again.out)
        assert facts["agreement_without_noise" if is_noisy else "agreement"]["adjusted_rand"] == pytest.approx(1)
    shown = esmkit("map", tmp_path / "families.csv", "--table", out, "--color-by", "cluster", "--quiet")
    assert shown.code == 0, shown.err
    assert [line.split()[-1] for line in shown.out.splitlines()[1:]] == [row["cluster"] for row in found]
    missing = esmkit("cluster", tmp_path / "families.csv", "--compare-with", "fold")
    assert "no column 'fold'" in missing.err
