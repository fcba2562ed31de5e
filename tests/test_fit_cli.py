"""`esmkit fit` on the command line: what it says, what it leaves, and what it refuses."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esmkit.applications.predictors import Card
from tests.cli_calls import Esmkit, Outcome, in_process, write_fasta
from tests.labelled import proteins, save_model, share_of, solubility, write_table

PNG = b"\x89PNG"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_model(tmp_path / "base")


def call(run: Esmkit, table: Path, base: Path, out: Path, *arguments: object, task: str = "regression") -> Outcome:
    given = ("--label-column", "label", "--task", task, "--model", base, "--out", out, "--threads", "1")
    return run("fit", table, *given, "--folds", "3", *arguments)


def test_fit_tells_what_it_does_and_predict_property_answers(run: Esmkit, base: Path, tmp_path: Path) -> None:
    table, out = solubility(tmp_path / "t.csv", 150), tmp_path / "predictor"
    options = ("--estimator", "ridge", "--baseline", "composition", "--plot", tmp_path / "plots")
    done = call(run, table, base, out, *options)
    assert done.code == 0, done.err
    assert done.out == ""
    assert "proteins 120 train, 30 test; test drawn at random" in done.err
    assert "layer 1, mean    ridge" in done.err
    lines = [line.split() for line in done.err.splitlines()]
    assert ["esmkit:", "test,", "95%", "interval", "predictor", "composition"] in lines
    metrics = Card.read(out).metrics["test"]
    (spearman,) = (line for line in lines if line[1] == "spearman")
    assert spearman[2:4] == [f"{metrics['spearman']:.3f}", f"[{metrics['intervals']['spearman'][0]:.3f},"]
    assert (tmp_path / "plots" / "predicted.png").read_bytes()[:4] == PNG
    unseen = proteins(30, seed=99, letters="ACDEFG")
    source = write_fasta(tmp_path / "u.fasta", [(f"p{n}", sequence) for n, sequence in enumerate(unseen)])
    predicted = run("predict-property", out, source, "--out", tmp_path / "p.csv")
    assert predicted.code == 0, predicted.err
    found = [float(row["prediction"]) for row in csv.DictReader((tmp_path / "p.csv").read_text().splitlines())]
    assert np.corrcoef(found, [share_of("AC", sequence) for sequence in unseen])[0, 1] > 0.8


def test_classes_have_their_pictures_and_scores_as_json(run: Esmkit, base: Path, tmp_path: Path) -> None:
    rows = [
        (sequence, "rich$" if share_of("AC", sequence) > 0.33 else "poor")
        for sequence in proteins(100, letters="ACDEFG")
    ]
    table = write_table(tmp_path / "t.csv", rows)
    more = (
        "--estimator",
        "logistic",
        "--plot",
        tmp_path / "plots",
        "--json",
        "--pooling",
        "mean, max",
        "--layers",
        "2",
    )
    done = call(run, table, base, tmp_path / "predictor", *more, task="classification")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["metrics"]["test"]["proteins"] == 20
    assert set(facts["metrics"]["test"]["intervals"]) == {"accuracy", "f1", "mcc", "auroc"}
    assert {trial["features"] for trial in facts["trials"]} == {"layer 2, mean", "layer 2, max"}
    assert [Path(path).name for path in facts["pictures"]] == ["roc.png", "confusion.png"]
    assert all(Path(path).read_bytes()[:4] == PNG for path in facts["pictures"])


def test_clusters_are_told_with_their_method_and_relatives_in_a_given_test_part(
    run: Esmkit, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sequences = proteins(40)
    table = write_table(tmp_path / "t.csv", [(sequence, n) for n, sequence in enumerate(sequences)])
    others = write_table(tmp_path / "o.csv", [(sequence + "MK", 1) for sequence in sequences[:4]] + [("WWWWWWWW", 1)])
    done = call(run, table, base, tmp_path / "p", "--test", others, "--split", "cluster", "--estimator", "ridge")
    assert done.code == 0, done.err
    assert "esmkit: 41 clusters of relatives by shared 5-mers, as mmseqs is not on the PATH" in done.err
    assert "esmkit: test: 4 of 5 have relatives in train" in done.err


def test_without_a_test_part_the_scores_of_the_folds_are_told_as_such(run: Esmkit, base: Path, tmp_path: Path) -> None:
    rows = [(sequence, n, "train") for n, sequence in enumerate(proteins(30))]
    table = write_table(tmp_path / "t.csv", rows, ("sequence", "label", "part"))
    more = ("--split-column", "part", "--estimator", "ridge", "--plot", tmp_path / "plots", "--no-cache")
    done = call(run, table, base, tmp_path / "p", *more)
    assert done.code == 0, done.err
    assert "there is no test part" in done.err
    assert (tmp_path / "plots" / "predicted.png").exists()
    assert "test" not in Card.read(tmp_path / "p").metrics


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--layers", "9"), "layer 9 does not exist"),
        (("--layers", "last"), "is no list of integers"),
        (("--pooling", "sum"), "--pooling 'sum': choose from mean, max, bos"),
        (("--baseline", "blosum"), "--baseline 'blosum': choose from composition, onehot"),
        (("--estimator", "logistic"), "--estimator logistic is not for regression"),
        (("--split-column", "part", "--test", "x.csv"), "give either --split-column or --test"),
        (("--folds", "90"), "too few for 90 parts"),
    ],
)
def test_wrong_arguments_are_explained_before_anything_is_left(
    arguments: tuple[str, ...], message: str, run: Esmkit, base: Path, tmp_path: Path
) -> None:
    done = call(run, solubility(tmp_path / "t.csv", 30), base, tmp_path / "p", *arguments)
    assert (done.code, message in " ".join(done.err.split())) == (2, True), done.err
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("missing", ["sklearn.metrics", "skops.io"])
def test_a_missing_library_is_said_before_anything_is_done(
    missing: str, run: Esmkit, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    done = call(run, tmp_path / "no such table", base, tmp_path / "p")
    assert (done.code, "pip install 'esmkit[learn]'" in " ".join(done.err.split())) == (2, True)


def test_a_folder_with_something_in_it_is_not_touched(run: Esmkit, base: Path, tmp_path: Path) -> None:
    table: Any = solubility(tmp_path / "t.csv", 30)
    done = call(run, table, base, base, "--overwrite")
    assert (done.code, "exists and is not empty" in done.err) == (2, True)
    missing = run("fit", table, "--task", "regression", "--out", tmp_path / "p")
    assert (missing.code, "name the table, its column of labels" in " ".join(missing.err.split())) == (2, True)
