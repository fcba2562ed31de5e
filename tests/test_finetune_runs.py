"""Training on labels from end to end: it learns, stops anywhere and goes on, and what it saves predicts the same."""

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
import torch
from safetensors.torch import load_file

import esmkit
from esmkit.applications.predictors import Card
from esmkit.errors import ModelExecutionError
from esmkit.training.loop import Conduct
from esmkit.training.supervised import Adapter
from tests.cli_calls import Esmkit, in_process, start, write_fasta
from tests.labelled import (
    REGRESSION,
    RESIDUES,
    after,
    head_training,
    model_training,
    neighbours,
    proteins,
    read,
    recipe,
    save_model,
    share_of,
    solubility,
    write_table,
)

QUICK = ("--learning-rate", "0.02", "--warmup-steps", "2", "--batch-tokens", "800", "--threads", "1")
LORA, FULL = Adapter("lora", 4, 8.0), Adapter("full")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_model(tmp_path / "base")


def train(run: Esmkit, kind: str, table: Path, out: Path, *arguments: object, task: str = "regression") -> Any:
    return run("train", kind, table, "--label-column", "label", "--task", task, "--out", out, *QUICK, *arguments)


def metrics_of(out: Path) -> Any:
    return json.loads((out / "metrics.json").read_text())


def log_of(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def assert_same_run(one: Path, other: Path) -> None:
    assert log_of(one) == log_of(other)
    assert metrics_of(one) == metrics_of(other)
    tensors, others = (load_file(path / "predictor" / "predictor.safetensors") for path in (one, other))
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


def test_a_head_learns_and_generalises_and_predicts_what_it_was_scored_for(
    run: Esmkit, base: Path, tmp_path: Path
) -> None:
    done = train(run, "head", solubility(tmp_path / "t.csv", 400), tmp_path / "run", "--model", base, "--json")
    assert done.code == 0, done.err
    assert "proteins 321 train, 40 valid, 39 test; valid and test drawn at random" in done.err
    facts = json.loads(done.out)
    assert (facts["complete"], facts["out"]) == (True, str(tmp_path / "run" / "predictor"))
    assert facts["metrics"]["predictor"] == metrics_of(tmp_path / "run")
    assert metrics_of(tmp_path / "run")["test"]["spearman"] > 0.9
    unseen = proteins(40, seed=99, letters="ACDEFG")
    source = write_fasta(tmp_path / "unseen.fasta", [(f"p{n}", sequence) for n, sequence in enumerate(unseen)])
    predicted = run("predict-property", tmp_path / "run" / "predictor", source, "--out", tmp_path / "p.csv")
    assert predicted.code == 0, predicted.err
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    assert [row["id"] for row in rows] == [f"p{n}" for n in range(40)]
    found = np.array([float(row["prediction"]) for row in rows])
    truth = [share_of("AC", sequence) for sequence in unseen]
    assert np.corrcoef(found, truth)[0, 1] > 0.9
    library = esmkit.load_predictor(tmp_path / "run" / "predictor")
    np.testing.assert_allclose(library.predict(unseen), found, atol=1e-6)
    one = library.predict(unseen[7])
    assert isinstance(one, float)
    assert one == pytest.approx(found[7], abs=1e-5)


@pytest.mark.parametrize("kind", ["head", "lora", "full"])
def test_predictions_are_those_of_training_and_depend_on_no_batch_mate(
    kind: str, run: Esmkit, base: Path, tmp_path: Path
) -> None:
    table = neighbours(tmp_path / "t.csv")
    command = "head" if kind == "head" else "finetune"
    more = {"head": (), "lora": ("--lora-rank", "4"), "full": ("--full",)}[kind]
    options = ("--model", base, "--level", "residue", "--epochs", "3", *more)
    done = train(run, command, table, tmp_path / "run", *options, task="classification")
    assert done.code == 0, done.err
    card = Card.read(tmp_path / "run" / "predictor")
    assert (card.task.classes, card.pooling, card.settings["adapter"]["kind"]) == (
        ("N", "Y"),
        "none",
        "none" if kind == "head" else kind,
    )
    predictor = esmkit.load_predictor(tmp_path / "run" / "predictor")
    data = read(table, RESIDUES)
    members = data.parts["test"].tolist()
    sequences = [data.records[number].sequence for number in members]
    together = predictor.run(sequences)
    for sequence, result in zip(sequences, together, strict=True):
        (alone,) = predictor.run([sequence])
        np.testing.assert_allclose(alone.arrays["probabilities"], result.arrays["probabilities"], atol=1e-5)
        assert alone.arrays["prediction"] == result.arrays["prediction"]
        assert len(result.arrays["prediction"]) == len(sequence)
    found = np.concatenate([result.arrays["probabilities"] for result in together])
    truth = np.concatenate([data.values[number] for number in members])
    loss = -np.log(found[np.arange(len(truth)), truth]).mean()
    assert loss == pytest.approx(metrics_of(tmp_path / "run")["test"]["loss"], rel=1e-4)
    assert (found.argmax(1) == truth).mean() == pytest.approx(metrics_of(tmp_path / "run")["test"]["accuracy"])


@pytest.mark.parametrize("more", [("--learning-rate", "0.005"), ("--full", "--learning-rate", "0.002")])
def test_fine_tuning_learns_what_the_frozen_model_does_not_show(
    more: tuple[str, ...], run: Esmkit, base: Path, tmp_path: Path
) -> None:
    """Which residue stands before is not in the representations of a model without training."""
    table = neighbours(tmp_path / "t.csv", 150)
    options = ("--model", base, "--level", "residue", "--epochs", "12", *more)
    done = train(run, "finetune", table, tmp_path / "run", *options, task="classification")
    assert done.code == 0, done.err
    before, now = metrics_of(tmp_path / "run" / "head")["test"], metrics_of(tmp_path / "run")["test"]
    assert before["auroc"] < 0.75
    assert now["auroc"] > 0.95
    predictor = esmkit.load_predictor(tmp_path / "run" / "predictor")
    fresh = proteins(10, seed=50, letters="ACDE")
    truth = "".join(after("A", sequence) for sequence in fresh)
    found = "".join(predictor.predict(fresh))
    assert np.mean([one == other for one, other in zip(found, truth, strict=True)]) > 0.9


def test_numbers_of_residues_are_learnt(run: Esmkit, base: Path, tmp_path: Path) -> None:
    values = {letter: number / 2 for number, letter in enumerate("ACDE")}
    rows = [(s, " ".join(str(values[letter]) for letter in s)) for s in proteins(60, letters="ACDE")]
    table = write_table(tmp_path / "t.csv", rows)
    done = train(run, "head", table, tmp_path / "run", "--model", base, "--level", "residue")
    assert done.code == 0, done.err
    assert metrics_of(tmp_path / "run")["test"]["r2"] > 0.9
    (fresh,) = proteins(1, seed=9, letters="ACDE")
    source = write_fasta(tmp_path / "p.fasta", [("p", fresh)])
    folder = tmp_path / "run" / "predictor"
    assert run("predict-property", folder, source, "--out", tmp_path / "p.jsonl").code == 0
    (line,) = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert np.corrcoef(line["prediction"], [values[letter] for letter in fresh])[0, 1] > 0.9
    refused = run("predict-property", folder, source, "--out", tmp_path / "p.csv")
    assert (refused.code, "csv cannot hold prediction" in refused.err) == (2, True)
    assert "--out" in run("predict-property", folder, source).err
    shown = run("predict-property", folder, source, "--json")
    assert json.loads(shown.out)["prediction"] == pytest.approx(line["prediction"])


def test_classes_of_proteins_come_with_their_probabilities(run: Esmkit, base: Path, tmp_path: Path) -> None:
    rows = [(s, "much A" if share_of("A", s) > 0.4 else "little") for s in proteins(300, letters="AACDE")]
    table = write_table(tmp_path / "t.csv", rows)
    options = ("--model", base, "--hidden", "8", "--layers", "0,-1")
    done = train(run, "head", table, tmp_path / "run", *options, task="classification")
    assert done.code == 0, done.err
    assert metrics_of(tmp_path / "run")["test"]["auroc"] > 0.9
    folder = tmp_path / "run" / "predictor"
    fresh = sorted(proteins(30, seed=5, letters="AACDE"), key=lambda sequence: share_of("A", sequence))
    source = write_fasta(tmp_path / "p.fasta", [("poor", fresh[0]), ("rich", fresh[-1])])
    assert run("predict-property", folder, source, "--out", tmp_path / "p.parquet").code == 0
    table = pq.read_table(tmp_path / "p.parquet").to_pydict()
    assert table["prediction"] == ["little", "much A"]
    np.testing.assert_allclose(np.add(table["probability_little"], table["probability_much A"]), 1, atol=1e-6)
    shown = run("predict-property", folder, source, "--no-probabilities")
    assert [line.split()[:1] + line.split()[2:] for line in shown.out.splitlines()] == [
        ["id", "prediction"],
        ["poor", "little"],
        ["rich", "much", "A"],
    ]


def test_the_best_weights_are_kept_and_training_ends_when_nothing_gets_better(base: Path, tmp_path: Path) -> None:
    data = read(solubility(tmp_path / "t.csv", 60), REGRESSION)
    how = recipe(200, patience=3, learning_rate=0.3)
    with head_training(tmp_path / "run", base, data, how) as training:
        assert training.run()
        card = training.finish()
        losses = [line["validation_loss"] for line in training.folder.read_log() if "validation_loss" in line]
        position = training.position
    assert len(losses) < 100
    assert int(np.argmin(losses)) == len(losses) - 1 - 3
    assert card.metrics["valid"]["loss"] == pytest.approx(min(losses), rel=1e-6)
    assert card.provenance["best_step"] == position.best_step < position.step


def stopping_after(steps: int) -> Conduct:
    seen: list[int] = []
    return Conduct(stop=lambda: len(seen) == steps, observe=lambda line, _: seen.append(1) if "loss" in line else None)


@pytest.mark.parametrize("adapter", [LORA, FULL], ids=lambda adapter: adapter.kind)
def test_stopped_run_resumes_to_the_numbers_of_an_undisturbed_one(adapter: Adapter, base: Path, tmp_path: Path) -> None:
    data, how = read(neighbours(tmp_path / "t.csv", 30), RESIDUES), recipe(3, patience=2)
    with head_training(tmp_path / "head", base, data, recipe(2)) as head:
        assert head.run()
        head.finish()
    first = head.folder.product
    with model_training(tmp_path / "whole", base, first, data, how, adapter) as undisturbed:
        assert undisturbed.run()
        undisturbed.finish()
    for steps in (1, 7):
        with model_training(tmp_path / "run", base, first, data, how, adapter, stopping_after(steps)) as stopped:
            assert not stopped.run()
        assert not (tmp_path / "run" / "predictor").exists()
    with model_training(tmp_path / "run", base, first, data, how, adapter) as resumed:
        assert resumed.position.step == 8
        assert resumed.run()
        resumed.finish()
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_killed_command_resumes_to_the_numbers_of_an_undisturbed_one(run: Esmkit, base: Path, tmp_path: Path) -> None:
    table = solubility(tmp_path / "t.csv", 60)
    more = ("--model", base, "--epochs", "10", "--patience", "10", "--batch-tokens", "300")
    assert train(run, "finetune", table, tmp_path / "whole", *more).code == 0
    killed = tmp_path / "killed"
    command = ("train", "finetune", table, "--label-column", "label", "--task", "regression", "--out", killed, *QUICK)
    with start(*command, *more, "--checkpoint-minutes", "0.0001") as process:
        limit = time.monotonic() + 120
        while not list(killed.glob("checkpoint-*")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < limit
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "predictor").exists()
    again = train(run, "finetune", table, killed, *more)
    assert again.code == 0, again.err
    assert "going on from step" in again.err
    assert_same_run(tmp_path / "whole", killed)
    files = {path: path.stat().st_mtime_ns for path in killed.rglob("*.safetensors")}
    assert train(run, "finetune", table, killed, *more).code == 0
    assert files == {path: path.stat().st_mtime_ns for path in killed.rglob("*.safetensors")}


def test_a_signal_leaves_a_checkpoint_and_says_so(base: Path, tmp_path: Path) -> None:
    table = solubility(tmp_path / "t.csv", 120)
    command = ("train", "head", table, "--label-column", "label", "--task", "regression", "--model", base)
    budget = ("--epochs", "5000", "--patience", "5000", "--batch-tokens", "300", "--threads", "1")
    out = tmp_path / "run"
    with start(*command, *budget, "--out", out) as process:
        while not (out / "log.jsonl").exists() or len((out / "log.jsonl").read_text()) < 2000:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
    assert process.returncode == 130
    assert "the same command goes on from there" in err
    assert list(out.glob("checkpoint-*"))


def test_another_recipe_in_the_same_folder_is_refused(run: Esmkit, base: Path, tmp_path: Path) -> None:
    table = solubility(tmp_path / "t.csv", 40)
    assert train(run, "head", table, tmp_path / "run", "--model", base, "--epochs", "2").code == 0
    other = train(run, "head", table, tmp_path / "run", "--model", base, "--epochs", "2", "--hidden", "4")
    assert (other.code, "design.hidden was 64, is 4" in " ".join(other.err.split())) == (2, True)
    model = train(run, "head", table, tmp_path / "run", "--model", save_model(tmp_path / "b", seed=1), "--epochs", "2")
    assert (model.code, "design.base.weights_sha256 was" in " ".join(model.err.split())) == (2, True)


def test_a_predictor_refuses_another_model_on_the_command_line(run: Esmkit, base: Path, tmp_path: Path) -> None:
    table = solubility(tmp_path / "t.csv", 40)
    assert train(run, "head", table, tmp_path / "run", "--model", base, "--epochs", "2").code == 0
    other = save_model(tmp_path / "other", seed=1)
    refused = run("predict-property", tmp_path / "run" / "predictor", table, "--model", other)
    assert (refused.code, "was trained on tiny" in refused.err) == (2, True)
    given = run("predict-property", tmp_path / "run" / "predictor", table, "--model", base, "--json")
    assert (given.code, len(given.out.splitlines())) == (0, 40)


def test_a_fully_trained_predictor_needs_its_old_base_no_more(run: Esmkit, base: Path, tmp_path: Path) -> None:
    table = solubility(tmp_path / "t.csv", 40)
    done = train(run, "finetune", table, tmp_path / "run", "--model", base, "--epochs", "2", "--full")
    assert done.code == 0, done.err
    base.rename(tmp_path / "gone")
    folder = (tmp_path / "run" / "predictor").rename(tmp_path / "carried away")
    assert Card.read(folder).base.slug == "tiny-finetuned"
    assert esmkit.load_predictor(folder).predict("MKTAYIAKQR") == pytest.approx(0.1, abs=1.0)
    assert esmkit.load(folder / "model").width == 16


def test_bad_records_are_skipped_on_request_when_predicting(run: Esmkit, base: Path, tmp_path: Path) -> None:
    table = solubility(tmp_path / "t.csv", 40)
    assert train(run, "head", table, tmp_path / "run", "--model", base, "--epochs", "2").code == 0
    source = write_fasta(tmp_path / "p.fasta", [("good", "MKTAY"), ("bad", "MK1"), ("fine", "ACDEF")])
    done = run("predict-property", tmp_path / "run" / "predictor", source, "--on-error", "skip", "--json")
    assert done.code == 1
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == ["good", "fine"]


@pytest.mark.parametrize(
    ("step", "message"),
    [(0, "after step 0 the loss of the valid part is nan"), (1, "at step 2 the loss is nan")],
)
def test_a_loss_that_is_no_number_stops_the_run(step: int, message: str, base: Path, tmp_path: Path) -> None:
    def spoil() -> bool:
        if training.position.step == step:
            training.head.layers[0].get_parameter("bias").data.fill_(float("nan"))
        return False

    data = read(solubility(tmp_path / "t.csv", 40), REGRESSION)
    conduct = Conduct(stop=spoil)
    with head_training(tmp_path / "run", base, data, recipe(3), conduct) as training:
        spoil()
        with pytest.raises(ModelExecutionError, match=message):
            training.run()
        assert "NaN" not in "".join(path.read_text() for path in (tmp_path / "run").glob("log.jsonl"))


def test_shared_sequences_are_pointed_out(run: Esmkit, base: Path, tmp_path: Path) -> None:
    table = solubility(tmp_path / "t.csv", 40)
    done = train(run, "head", table, tmp_path / "run", "--model", base, "--epochs", "1", "--test", table)
    assert done.code == 0, done.err
    assert "test: 36 of 40 proteins are, letter for letter, in train too" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--label-column", "label"), "name the table, its column of labels"),
        (("--task", "regression"), "name the table, its column of labels"),
        (("--label-column", "label", "--task", "regression", "--layers", "9"), "layer 9 does not exist"),
        (("--label-column", "label", "--task", "regression", "--epochs", "0"), "--epochs must be positive"),
        (("--label-column", "score", "--task", "regression"), "has no column 'score'"),
        (
            ("--label-column", "label", "--task", "regression", "--split-column", "label", "--test", "x.csv"),
            "give either --split-column, or --valid and --test",
        ),
    ],
)
def test_wrong_arguments_are_explained(
    arguments: tuple[str, ...], message: str, run: Esmkit, base: Path, tmp_path: Path
) -> None:
    table = solubility(tmp_path / "t.csv", 30)
    for kind in ("head", "finetune"):
        done = run("train", kind, table, "--model", base, "--out", tmp_path / "run", *arguments)
        assert (done.code, message in done.err) == (2, True), done.err
        assert not (tmp_path / "run").exists()
