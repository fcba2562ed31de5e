"""The commands about search: what they write, print and refuse, and that a killed build goes on."""

from __future__ import annotations

import csv
import json
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import esmkit as library
from esmkit.applications.search import Index
from esmkit.cli import row_table
from esmkit.errors import EsmkitError
from tests.cli_calls import EXAMPLES, ROOT, Esmkit, examples, in_process, start, write_fasta

CATH = ROOT / "examples" / "cath"
PATIENCE_S = 60
FEW = 60


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def domains(tmp_path: Path) -> Path:
    """The first domains, and a number for each."""
    path = tmp_path / "domains.csv"
    rows = rows_of(CATH / "domains.csv")[:FEW]
    weights = [at / 2 if at % 3 else "" for at in range(FEW)]
    lines = [f"{row['id']},{row['superfamily']},{weights[at]},{row['sequence']}" for at, row in enumerate(rows)]
    path.write_text("\n".join(["id,superfamily,weight,sequence", *lines]) + "\n")
    return path


@pytest.fixture
def index(esmkit: Esmkit, domains: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    columns = ("--text-column", "superfamily", "--number-column", "weight")
    done = esmkit("index", "build", domains, "--out", folder, *columns)
    assert (done.code, done.out) == (0, ""), done.err
    assert f"index of {FEW} proteins in {folder}" in done.err
    return folder


def test_hits_in_every_format_are_those_of_a_plain_search(esmkit: Esmkit, index: Path, tmp_path: Path) -> None:
    queries = rows_of(CATH / "queries.csv")[:4]
    fasta = write_fasta(tmp_path / "q.fasta", [(row["id"], row["sequence"]) for row in queries])
    domains = rows_of(CATH / "domains.csv")[:FEW]
    stored, asked = (library.load().embed([row["sequence"] for row in rows]) for rows in (domains, queries))
    cosines = (asked @ stored.T) / np.linalg.norm(asked, axis=1)[:, None] / np.linalg.norm(stored, axis=1)
    expected = [domains[at]["id"] for line in cosines for at in np.argsort(-line)[:3]]
    for suffix in ("csv", "parquet", "jsonl"):
        out = tmp_path / f"hits.{suffix}"
        done = esmkit("search", index, fasta, "-k", 3, "--out", out)
        assert (done.code, done.out) == (0, ""), done.err
        if suffix == "parquet":
            rows: list[dict[str, Any]] = pq.read_table(out).to_pylist()
        elif suffix == "csv":
            rows = list(rows_of(out))
        else:
            rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert [row["hit"] for row in rows] == expected
        assert [int(row["rank"]) for row in rows] == [1, 2, 3] * 4
        assert [row["query"] for row in rows] == [each["id"] for each in queries for _ in range(3)]
        assert [float(row["cosine"]) for row in rows] == pytest.approx(np.sort(cosines)[:, :-4:-1].ravel(), abs=1e-5)
        assert list(rows[0]) == ["query", "rank", "hit", "cosine", "length", "superfamily", "weight"]
        made = json.loads((tmp_path / f"hits.{suffix}.manifest.json").read_text())
        assert made["provenance"]["slug"] == "esm2-mini"
        assert made["arguments"]["proteins"] == FEW
    assert "exists; choose another one, or --overwrite" in esmkit("search", index, fasta, "--out", out).err
    assert esmkit("search", index, fasta, "--out", out, "--overwrite").code == 0


def test_the_table_shows_identities_and_metadata(esmkit: Esmkit, index: Path) -> None:
    row = rows_of(CATH / "domains.csv")[5]
    done = esmkit("search", index, "--sequence", row["sequence"], "-k", 2, "--identity", "--quiet")
    assert (done.code, done.err) == (0, "")
    header, first, *rest = done.out.splitlines()
    assert header.split()[2:8] == ["hit", "cosine", "identity", "aligned", "coverage", "length"]
    assert header.split()[8:] == ["superfamily", "weight"]
    length = str(len(row["sequence"]))
    assert first.split()[:8] == ["seq1", "1", row["id"], "1.0000", "1.000", length, "1.00", length]
    assert len(rest) == 1


def test_a_terminal_gets_80_columns_and_a_pipe_everything(
    esmkit: Esmkit, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = ("search", index, "--sequence", "MKTAYIAKQR", "-k", 2, "--quiet", "--identity")
    whole = esmkit(*search).out.splitlines()
    assert all(len(line) > 80 for line in whole)
    monkeypatch.setattr(row_table, "_is_terminal", lambda: True)
    cut = esmkit(*search).out.splitlines()
    assert all(len(line) <= 80 for line in cut)
    assert [line[:70] for line in cut] == [line[:70] for line in whole]


def test_json_lines_on_the_screen(esmkit: Esmkit, index: Path) -> None:
    done = esmkit("search", index, CATH / "queries.csv", "-k", 1, "--json", "--where", "weight > 3 AND length < 100")
    hits = [json.loads(line) for line in done.out.splitlines()]
    assert len(hits) == 45
    assert all(hit["weight"] > 3 and hit["length"] < 100 for hit in hits)


def test_a_file_of_embeddings_is_as_good_as_its_sequences(esmkit: Esmkit, domains: Path, tmp_path: Path) -> None:
    for name, source in (("domains", domains), ("queries", CATH / "queries.csv")):
        assert esmkit("embed", source, "--out", tmp_path / f"{name}.parquet", "--layers", "3,-1", "-q").code == 0
    layers = ("--layers", "3,6")
    done = esmkit("index", "build", tmp_path / "domains.parquet", "--out", tmp_path / "a", *layers)
    assert done.code == 0, done.err
    assert esmkit("index", "build", domains, "--out", tmp_path / "b", "--layers", "3,-1").code == 0
    found = [
        [(hit["query"], hit["hit"], pytest.approx(hit["cosine"], abs=1e-6)) for hit in map(json.loads, lines)]
        for folder, queries in (("a", "parquet"), ("b", "parquet"), ("a", "csv"))
        for source in [tmp_path / "queries.parquet" if queries == "parquet" else CATH / "queries.csv"]
        for lines in [esmkit("search", tmp_path / folder, source, "-k", 2, "--json", "-q").out.splitlines()]
    ]
    assert len(found[0]) == 90
    assert found[0] == found[1] == found[2]
    (tmp_path / "domains.npz").touch()
    refused = esmkit("index", "build", tmp_path / "domains.npz", "--out", tmp_path / "c")
    assert "embeddings are read from Parquet; give 'esmkit embed' --out domains.parquet" in refused.err
    refused = esmkit("search", tmp_path / "a", CATH / "queries.csv", "--identity", "-q")
    assert "the index has none of" in refused.err
    refused = esmkit("index", "build", tmp_path / "domains.parquet", "--out", tmp_path / "c")
    assert "holds mean_3, mean_6; choose with --pool and --layers" in refused.err
    refused = esmkit("index", "build", tmp_path / "domains.parquet", "--out", tmp_path / "c", "--layers", "2")
    assert "holds no such embeddings; its columns of embeddings: mean_3, mean_6" in refused.err


def test_annotations_are_calibrated_once_and_shown(esmkit: Esmkit, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    build = ("index", "build", CATH / "domains.csv", "--out", folder, "--text-column", "superfamily", "-q")
    assert esmkit(*build).code == 0
    annotate = ("annotate", folder, CATH / "queries.csv", "--label-column", "superfamily")
    done = esmkit(*annotate, "--min-reliability", 0, "-q")
    assert done.code == 0, done.err
    header, *lines = done.out.splitlines()
    assert header.split() == ["query", "label", "reliability", "neighbour", "cosine"]
    assert len(lines) == 45
    assert all(len(line) <= 80 for line in lines)
    out = tmp_path / "labels.csv"
    assert esmkit(*annotate, "--min-reliability", 1, "--out", out).code == 0
    assert {row["label"] for row in rows_of(out)} == {"unknown"}
    assert [row["best"] for row in rows_of(out)] == [line.split()[1] for line in lines]
    info = json.loads(esmkit("index", "info", folder, "--json").out)
    (calibration,) = info["calibrations"]
    assert sum(group["proteins"] for group in calibration["groups"]) == 235
    assert "superfamily" in esmkit("index", "info", folder).out


def test_info_says_what_an_index_is_and_what_it_misses(esmkit: Esmkit, domains: Path, tmp_path: Path) -> None:
    build = ("index", "build", domains, "--out", tmp_path / "index", "--approximate-from", 50)
    assert esmkit(*build).code == 0
    shown = esmkit("index", "info", tmp_path / "index").out
    measured = Index.open(tmp_path / "index").card.approximate
    assert measured is not None
    assert f"{measured.recall:.3f} of the 10 nearest, for 60 proteins of the index" in shown
    assert all(len(line) <= 100 for line in shown.splitlines())
    queries = CATH / "queries.csv"
    exact = esmkit("search", tmp_path / "index", queries, "--json", "--exact", "-q").out
    assert len(exact.splitlines()) == 450


def test_a_killed_build_goes_on_to_the_index_of_an_undisturbed_one(esmkit: Esmkit, tmp_path: Path) -> None:
    same = ("--threads", 1, "--batch-tokens", 512, "--shard-residues", 700)
    assert esmkit("index", "build", EXAMPLES, "--out", tmp_path / "whole", *same).code == 0
    folder = tmp_path / "index"
    run = start("index", "build", "-", "--out", folder, *same)
    assert run.stdin is not None
    blocks = EXAMPLES.read_text().split("\n>")
    run.stdin.write("\n>".join(blocks[:24]) + "\n>")
    run.stdin.flush()
    give_up = time.monotonic() + PATIENCE_S
    while (written := rows_in(folder)) < 5:  # it waits for the second half of its input, and can never finish
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.05)
    run.kill()
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    assert "is not finished" in esmkit("search", folder, EXAMPLES).err

    resumed = esmkit("index", "build", EXAMPLES, "--out", folder, *same, "--json")
    facts = json.loads(resumed.out)
    assert (resumed.code, facts["proteins"], facts["added"] + facts["known"]) == (0, 48, 48)
    assert facts["known"] >= written
    names = ["id", "sequence", "length", "vector"]
    whole, other = (
        {row["id"]: row for batch in Index.open(path).table.scan(names) for row in batch.to_pylist()}
        for path in (tmp_path / "whole", folder)
    )
    assert sorted(whole) == sorted(other) == sorted(examples())
    for name, row in whole.items():
        np.testing.assert_allclose(other[name].pop("vector"), row.pop("vector"), atol=1e-6)
        assert other[name] == row


def rows_in(folder: Path) -> int:
    """What another process has written so far."""
    from esmkit.applications.search.card import IndexCard
    from esmkit.applications.search.table import VectorTable

    try:
        return len(VectorTable.open(folder, IndexCard.read(folder)))
    except EsmkitError:
        return 0


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ("d1,MKT,5", ("--number-column", "x"), "line 4, record 'd1': column 'x' holds 'heavy', which is no number"),
        ("d1,MKT,5", ("--text-column", "colour"), "has no column 'colour'; its columns are 'id', 'sequence', 'x'"),
        ("d3,MK1,5", ("--text-column", "x"), "record 'd3'"),
        ("d0,MKT,5", ("--text-column", "x"), "record 'd0' (TABLE, line 3) has an id that an earlier record has"),
    ],
)
def test_bad_rows_and_columns_are_named(
    esmkit: Esmkit, tmp_path: Path, row: str, column: tuple[str, str], reason: str
) -> None:
    table = tmp_path / "t.csv"
    bad = "d1,MKT,heavy" if "heavy" in reason else row
    table.write_text(f"id,sequence,x\nd0,MKTAYIAK,1\n{'d9,MKTA,2' if 'heavy' in reason else bad}\n{bad}\n")
    refused = esmkit("index", "build", table, "--out", tmp_path / "index", *column)
    assert refused.code == 2
    assert reason.replace("TABLE", str(table)) in refused.err.replace("\n", " ")


def test_bad_rows_are_skipped_when_asked_to(esmkit: Esmkit, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,sequence,x\na,MKTAYIAK,1\nb,MK1,2\nc,MKV,heavy\na,MKL,3\nd,MKLV,4\n")
    build = ("index", "build", table, "--out", tmp_path / "index", "--number-column", "x", "--on-error", "skip")
    done = esmkit(*build)
    assert done.code == 1
    assert done.err.count("skipped:") == 3
    assert esmkit(*build, "--json").out.count('"known": 2') == 1


def test_an_index_of_another_model_is_refused(esmkit: Esmkit, index: Path, tmp_path: Path) -> None:
    card = json.loads((index / "index.json").read_text())
    card["space"]["weights_sha256"] = "0" * 64
    (index / "index.json").write_text(json.dumps(card))
    for command in (("search", index), ("annotate", index, "--label-column", "superfamily"), ("index", "add", index)):
        refused = esmkit(*command, CATH / "queries.csv")
        assert (refused.code, "was built with esm2-mini with weights of sha256 000000000000" in refused.err) == (
            2,
            True,
        )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "give either QUERIES or --sequence"),
        (("--sequence", "MKT", "q.fasta"), "give either QUERIES or --sequence"),
        (("--sequence", "MKT", "--where", "length > 1; DROP TABLE x"), "should stand at character 11"),
        (("--sequence", "MKT", "--where", "colour = 'red'"), "names a column 'colour', which the index has not"),
        (("--sequence", "MKT", "--out", "hits.xlsx"), "a table ends with .csv, .parquet, .jsonl"),
        (("--sequence", "MK1"), "position 3: found '1'"),
    ],
)
def test_what_cannot_be_searched_is_said(esmkit: Esmkit, index: Path, arguments: tuple[str, ...], reason: str) -> None:
    refused = esmkit("search", index, *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert reason in refused.err


def test_a_folder_without_an_index_is_said_to_be_none(esmkit: Esmkit, tmp_path: Path) -> None:
    for command in (("search",), ("index", "add"), ("index", "info")):
        refused = esmkit(*command, tmp_path, *([] if command[-1] == "info" else ["q.fasta"]))
        assert refused.code == 2
        assert "is no index: it holds no index.json" in refused.err
