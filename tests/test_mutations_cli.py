"""The commands about mutations: what they write, print and refuse, and that they go on where they stopped."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.parquet as pq
import pytest

import esmkit as library
from esmkit.alphabet import STANDARD
from esmkit.applications import mutations
from esmkit.applications.mutations import scoring
from esmkit.cli import mutation_options, mutation_progress, mutation_run
from tests.cli_calls import EXAMPLES, Esmkit, examples, in_process

BPTI = examples()["5PTI_A"]


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


@pytest.fixture
def protein(tmp_path: Path) -> Path:
    path = tmp_path / "bpti.fasta"
    path.write_text(f">5PTI_A BPTI\n{BPTI}\n")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def table(path: Path, *rows: str) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


def test_scan_writes_every_substitution_pictures_and_summary(esmkit: Esmkit, protein: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    done = esmkit(
        *("mutations", "scan", protein, "--out", out / "scan.csv", "--heatmap", out / "map.png"),
        *("--heatmap", out / "map.html", "--logo", out / "logo.png", "--summary", out / "positions.csv"),
    )
    assert (done.code, done.out) == (0, "")
    assert "1,102 variants" in done.err
    rows, expected = rows_of(out / "scan.csv"), mutations.scan(library.load(), BPTI)
    assert [row["mutant"] for row in rows] == [variant.id for variant in mutations.singles(BPTI)]
    for row in rows:
        score = expected.scores[int(row["position"]) - 1, STANDARD.index(row["residue"])]
        assert float(row["masked_marginal"]) == pytest.approx(score, abs=1e-5)
        assert row["mutant"] == f"{row['wild_type']}{row['position']}{row['residue']}"
    summary = rows_of(out / "positions.csv")
    assert [int(row["position"]) for row in summary] == list(range(1, 59))
    assert float(summary[3]["mean_effect"]) == pytest.approx(expected.summary()[3].mean_effect, abs=1e-4)
    assert all((out / name).read_bytes()[:4] == b"\x89PNG" for name in ("map.png", "logo.png"))
    assert "5PTI_A BPTI" in (out / "map.html").read_text()


def test_a_finished_scan_gives_new_pictures_without_new_work(
    esmkit: Esmkit, protein: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = ("mutations", "scan", protein, "--positions", "5-9", "--offset", "2", "--out", tmp_path / "scan.parquet")
    assert esmkit(*scan, "--heatmap", tmp_path / "first.html").code == 0
    monkeypatch.setattr(scoring.Scorer, "stream", lambda *_: pytest.fail("computed again"))
    done = esmkit(*scan, "--heatmap", tmp_path / "second.html", "--summary", tmp_path / "summary.csv")
    assert done.code == 0, done.err
    assert (tmp_path / "second.html").read_text() == (tmp_path / "first.html").read_text()
    assert [row["position"] for row in rows_of(tmp_path / "summary.csv")] == ["5", "6", "7", "8", "9"]


def test_scan_on_the_screen_is_a_table_by_position_of_80_columns(esmkit: Esmkit) -> None:
    done = esmkit("mutations", "scan", "--sequence", BPTI, "--positions", "1-3,58")
    assert done.code == 0
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == ["position", "1", "2", "3", "58"]
    assert max(map(len, lines)) <= 80
    best = mutations.scan(library.load(), BPTI, positions=[58]).summary()[0]
    assert f"{best.best_substitution} {best.best_score:>8.4f}" in lines[-1]


def test_pictures_alone_print_no_table(esmkit: Esmkit, tmp_path: Path) -> None:
    done = esmkit("mutations", "scan", "--sequence", BPTI, "--positions", "1-3", "--heatmap", tmp_path / "map.html")
    assert (done.code, done.out) == (0, "")
    assert (tmp_path / "map.html").exists()


def test_scan_as_json_has_all_scores(esmkit: Esmkit) -> None:
    done = esmkit(
        "mutations", "scan", "--sequence", BPTI, "--positions", "2", "--json", "-q", "--method", "wt_marginal"
    )
    (line,) = map(json.loads, done.out.splitlines())
    assert line["position"] == 2
    assert sorted(line["scores"]) == sorted(STANDARD)
    assert line["scores"]["P"] == 0


def test_scores_stand_beside_the_columns_of_the_table(esmkit: Esmkit, protein: Path, tmp_path: Path) -> None:
    source = table(tmp_path / "variants.csv", "mutant,DMS_score", "R1A,0.25", "P2G:D3E,-1.5")
    for out in (tmp_path / "scores.csv", tmp_path / "scores.parquet"):
        assert esmkit("mutations", "score", source, "-w", protein, "--out", out).code == 0
    expected = mutations.score(library.load(), BPTI, ["R1A", "P2G:D3E"]).scores
    rows = rows_of(tmp_path / "scores.csv")
    names = ["index", "id", "length", "long", "mutant", "mutated_sequence", "DMS_score", "masked_marginal"]
    assert list(rows[0]) == names == pq.read_table(tmp_path / "scores.parquet").column_names
    assert [row["DMS_score"] for row in rows] == ["0.25", "-1.5"]
    assert rows[1]["mutated_sequence"] == mutations.parse("P2G:D3E", BPTI)
    np.testing.assert_allclose([float(row["masked_marginal"]) for row in rows], expected, atol=1e-5)
    manifest = json.loads((tmp_path / "scores.csv.manifest.json").read_text())
    assert manifest["arguments"]["method"] == "masked_marginal"
    assert manifest["provenance"]["slug"] == "esm2-mini"


def test_scores_on_the_screen_fit_80_columns(esmkit: Esmkit, tmp_path: Path) -> None:
    source = table(tmp_path / "variants.tsv", "variant", "R1A", "K15del")
    done = esmkit("mutations", "score", source, "-w", BPTI, "--method", "one_pass_pll")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == ["id", "R1A", "K15del"]
    assert max(map(len, done.out.splitlines())) <= 80
    as_json = esmkit("mutations", "score", source, "-w", BPTI, "--method", "one_pass_pll", "--json", "-q")
    assert [json.loads(line)["mutant"] for line in as_json.out.splitlines()] == ["R1A", "K15del"]


def test_bad_rows_stop_or_are_listed(esmkit: Esmkit, tmp_path: Path) -> None:
    source = table(tmp_path / "variants.csv", "mutant", "R1A", "A2G", "K15*", "K15del", "P2G", "R1A")
    call = ("mutations", "score", source, "-w", BPTI, "--out", tmp_path / "scores.csv")
    stopped = esmkit(*call)
    assert stopped.code == 2
    assert "variants.csv, line 3) says A at position 2, where the wild type has P" in stopped.err
    skipped = esmkit(*call, "--on-error", "skip")
    assert skipped.code == 1
    assert "4 of them failed, listed in" in skipped.err
    assert [row["mutant"] for row in rows_of(tmp_path / "scores.csv")] == ["R1A", "P2G"]
    failures = [json.loads(line) for line in (tmp_path / "scores.csv.failures.jsonl").read_text().splitlines()]
    assert [failure["error"]["line"] for failure in failures] == [3, 4, 5, 7]
    assert {failure["error"]["code"] for failure in failures} == {"user.invalid_variant"}
    shown = esmkit("mutations", "score", source, "-w", BPTI, "--on-error", "skip")
    assert shown.code == 1
    assert shown.err.count("esmkit: skipped: variant") == 4


def test_every_row_may_bring_its_wild_type(esmkit: Esmkit, tmp_path: Path) -> None:
    source = table(tmp_path / "variants.csv", "mutant,target", f"R1A,{BPTI}", "M1A,MKTAYIAKQR")
    done = esmkit("mutations", "score", source, "--wild-type-column", "target", "-q", "--json")
    assert done.code == 0, done.err
    model, lines = library.load(), [json.loads(line) for line in done.out.splitlines()]
    expected = [mutations.score(model, BPTI, ["R1A"]), mutations.score(model, "MKTAYIAKQR", ["M1A"])]
    np.testing.assert_allclose([line["masked_marginal"] for line in lines], [e.scores[0] for e in expected], atol=1e-5)


def test_several_models_are_averaged_and_shown(esmkit: Esmkit, tmp_path: Path, tiny_path: Path) -> None:
    source = table(tmp_path / "variants.csv", "mutant", "R1A", "K15W")
    out = tmp_path / "scores.csv"
    done = esmkit("mutations", "score", source, "-w", BPTI, "-m", "esm2-mini", "-m", tiny_path, "--out", out)
    assert done.code == 0, done.err
    for row in rows_of(out):
        each = [float(row["masked_marginal_esm2-mini"]), float(row["masked_marginal_tiny"])]
        assert float(row["masked_marginal"]) == pytest.approx(np.mean(each), abs=1e-5)
        assert each[0] != pytest.approx(each[1], abs=1e-3)
    assert set(json.loads((tmp_path / "scores.csv.manifest.json").read_text())["provenance"]["models"]) == {
        "esm2-mini",
        "tiny",
    }


@pytest.mark.parametrize("method", ["masked_marginal", "one_pass_pll"])
def test_a_killed_run_resumes_to_the_same_file(
    esmkit: Esmkit, tmp_path: Path, protein: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(mutation_run, "shard_residues", lambda *_: 40 * len(BPTI))
    monkeypatch.setattr(scoring, "CHUNK", 16)
    call = ("mutations", "scan", protein, "--positions", "1-10", "--method", method, "-q")
    assert esmkit(*call, "--out", tmp_path / "whole.csv").code == 0

    done = 0

    def interrupt(self: Any) -> None:
        nonlocal done
        done += 1
        if done == 100:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mutation_progress.VariantProgress, "advance", interrupt)
        assert esmkit(*call, "--out", tmp_path / "cut.csv").code == 130
    assert not (tmp_path / "cut.csv").exists()
    again = esmkit(*call[:-1], "--out", tmp_path / "cut.csv")
    assert "2 of 5 shards were finished by an earlier run" in again.err
    whole, cut = rows_of(tmp_path / "whole.csv"), rows_of(tmp_path / "cut.csv")
    assert [row["mutant"] for row in cut] == [row["mutant"] for row in whole]
    scores = [[float(row[method]) for row in rows] for rows in (whole, cut)]
    assert len(scores[0]) == 190
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-5)


def test_other_arguments_at_the_same_place_are_refused(esmkit: Esmkit, tmp_path: Path, protein: Path) -> None:
    call = ("mutations", "scan", protein, "--positions", "1-3", "--out", tmp_path / "scan.csv", "-q")
    assert esmkit(*call).code == 0
    refused = esmkit(*call, "--method", "wt_marginal")
    assert refused.code == 2
    assert 'method was "masked_marginal", is "wt_marginal"' in refused.err


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["scan"], "give either PROTEIN or --sequence"),
        (["scan", str(EXAMPLES)], "holds several proteins, 'P42212' and 'P08659' first; choose one with --id"),
        (["scan", str(EXAMPLES), "--id", "nobody"], "holds no protein 'nobody'"),
        (["scan", "--sequence", "MKT", "--positions", "1-x"], "is no list of positions"),
        (["scan", "--sequence", "MKT", "--positions", "4"], "position 4 does not exist: they run from 1 to 3"),
        (["scan", "--sequence", "MKTB"], "position 4: found 'B'"),
        (["scan", "--sequence", "MKT", "--heatmap", "map.txt"], "a picture ends with .png"),
        (["scan", "--sequence", "MKT", "--out", "a.h5"], "choose .csv, .parquet, .jsonl, or a directory"),
        (["scan", "--sequence", "MKT", "--out", "a.jsonl", "--logo", "l.png"], "are made from one file"),
        (["score", "no.csv", "-w", "MKT"], "cannot open no.csv"),
        (["score", "variants.csv"], "give either the wild type or the column"),
        (["score", "variants.csv", "-w", "no.fasta"], "cannot open no.fasta"),
        (["score", "variants.csv", "-w", "MKT", "-m", "esm2-mini", "-m", "esm2-mini"], "each only once"),
        (["score", "variants.csv", "-w", "MKT", "--out", "variants.csv"], "is the input itself"),
        (["score", "again.csv", "-w", "MKT"], "has a column 'masked_marginal' already"),
    ],
)
def test_what_cannot_be_done_is_refused(
    esmkit: Esmkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], match: str
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "variants.csv", "mutant", "M1A")
    table(tmp_path / "again.csv", "mutant,masked_marginal", "M1A,0.5")
    done = esmkit("mutations", *arguments)
    assert done.code == 2, done.err
    assert match in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.csv", "variants.csv"]


def test_scores_can_be_read_back_and_scored_with_another_method(esmkit: Esmkit, tmp_path: Path) -> None:
    source = table(tmp_path / "variants.csv", "mutant", "R1A", "K15W")
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    assert esmkit("mutations", "score", source, "-w", BPTI, "--out", first).code == 0
    assert esmkit("mutations", "score", first, "-w", BPTI, "--method", "wt_marginal", "--out", second).code == 0
    assert list(rows_of(second)[0])[4:] == ["mutant", "mutated_sequence", "masked_marginal", "wt_marginal"]


def test_long_proteins_are_refused_or_windowed(esmkit: Esmkit, tmp_path: Path) -> None:
    call = ("mutations", "scan", "--sequence", BPTI, "--positions", "1", "--max-length", "30")
    refused = esmkit(*call)
    assert refused.code == 2
    assert "58 residues, the limit is 30; choose --long window" in refused.err
    assert esmkit(*call, "--long", "window", "--out", tmp_path / "scan.csv").code == 0
    assert json.loads(rows_of(tmp_path / "scan.csv")[0]["long"])["policy"] == "window"


def test_progress_is_plain_lines_where_there_is_no_terminal(
    esmkit: Esmkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutation_progress, "LINE_EVERY_S", 0.0)
    done = esmkit("mutations", "scan", "--sequence", BPTI, "--positions", "1-2", "--out", tmp_path / "scan.csv")
    assert re.search(r"esmkit: 19 variants of 38, about \d+ s left", done.err)
    assert "\x1b" not in done.err


def test_every_method_can_be_chosen() -> None:
    assert list(get_args(mutation_options.MethodName)) == list(mutations.METHODS)


@pytest.mark.parametrize("command", [["mutations"], ["mutations", "scan"], ["mutations", "score"]])
def test_help_fits_80_columns_and_needs_no_torch(command: list[str]) -> None:
    import subprocess

    code = (
        "import sys; from esmkit import cli; sys.argv[1:] = sys.argv[1:] + ['--help']\n"
        "try: cli.main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "80"} | _path(),
    )
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "Usage: esmkit" in done.stdout


def _path() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(path for path in sys.path if path)}
