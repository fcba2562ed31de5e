"""What a predictor is fitted to: whole groups on one side of every split, and rows of no use are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esmkit.alphabet import STANDARD
from esmkit.applications.fitting import FitData, read_fit_data
from esmkit.applications.fitting.clusters import by_kmers, cluster
from esmkit.applications.labelled import Columns
from esmkit.applications.predictors import Task
from esmkit.errors import InvalidConfigError, InvalidInputError, InvalidRecordError
from esmkit.types import IntArray
from tests.labelled import REGRESSION, proteins, solubility, write_table

CLASSES = Task("classification", "sequence", "label")
GENERATOR = np.random.default_rng(4)


def mutated(sequence: str, share: float) -> str:
    """With a share of the residues replaced."""
    letters = np.array([*sequence])
    places = GENERATOR.choice(len(letters), round(share * len(letters)), replace=False)
    letters[places] = GENERATOR.choice([*STANDARD], len(places))
    return "".join(letters)


def families(number: int, size: int, *, share: float = 0.2, length: int = 200) -> list[str]:
    """Unrelated ancestors, each with descendants, family after family."""
    ancestors = ["".join(GENERATOR.choice([*STANDARD], length)) for _ in range(number)]
    return [mutated(ancestor, share) for ancestor in ancestors for _ in range(size)]


def read(path: Path, task: Task = REGRESSION, **options: Any) -> FitData:
    return read_fit_data({"train": str(path)}, Columns("label", split=options.pop("column", None)), task, **options)


def parts_of(data: FitData) -> dict[str, list[int]]:
    return {part: members.tolist() for part, members in data.labelled.parts.items()}


@pytest.fixture
def no_mmseqs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


def test_kmers_find_relatives_and_join_nobody_else() -> None:
    found = by_kmers(families(40, 5))
    truth = np.repeat(np.arange(40), 5)
    assert [len(set(found[truth == family])) for family in range(40)] == [1] * 40
    assert len(set(found.tolist())) == 40


def test_kmers_work_in_pieces_and_on_sequences_shorter_than_a_kmer(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = [*families(12, 4), "MK", "MK", "M", "MKTAYIAKQR", "WWWWMKTAYIAKQR"]
    whole = by_kmers(sequences)
    monkeypatch.setattr("esmkit.applications.fitting.clusters.AT_ONCE", 7)
    np.testing.assert_array_equal(by_kmers(sequences), whole)
    assert len(set(whole[:48].tolist())) == 12
    assert whole[-1] == whole[-2]
    assert len(set(whole[48:51].tolist())) == 3
    found = cluster(["MK", "AC", "MK"]).numbers
    assert found[0] == found[2] != found[1]


@pytest.mark.usefixtures("no_mmseqs")
@pytest.mark.parametrize("task", [REGRESSION, CLASSES])
def test_no_cluster_crosses_test_part_or_folds(task: Task, tmp_path: Path) -> None:
    sequences = families(30, 4)
    rows = [(sequence, number % 3) for number, sequence in enumerate(sequences)]
    data = read(write_table(tmp_path / "t.csv", rows), task, split="cluster")
    family = np.repeat(np.arange(30), 4)
    sides = {part: set(family[members].tolist()) for part, members in data.labelled.parts.items()}
    assert (len(sides["train"]), len(sides["test"]), sides["train"] & sides["test"]) == (24, 6, set())
    assert data.related("test") == 0
    train = data.members("train")
    folds = data.folds(4, seed=1)
    assert sorted(np.concatenate(folds).tolist()) == list(range(96))
    for held_out in folds:
        rest = np.setdiff1d(np.arange(96), held_out)
        assert set(family[train[held_out]].tolist()) & set(family[train[rest]].tolist()) == set()
    assert "5-mers, as mmseqs is not on the PATH" in data.method


def stand_in(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program called mmseqs."""
    folder.mkdir()
    (folder / "mmseqs").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "mmseqs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_mmseqs_is_asked_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(
        tmp_path / "bin",
        f'echo "$@" > {tmp_path}/asked; cp sequences.fasta {tmp_path}\n'
        'printf "2\\t2\\n2\\t0\\n1\\t1\\n" > $3_cluster.tsv',
        monkeypatch,
    )
    found = cluster(["MKC", "MKA", "MKD", "MKA"])
    assert found.numbers[1] == found.numbers[3] == found.numbers[2]
    assert found.numbers[0] != found.numbers[1]
    assert found.method == "MMseqs2, 30% identity over 80%"
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:4] == ["easy-cluster", "sequences.fasta", "found", "work"]
    assert asked[4:8] == ["--min-seq-id", "0.3", "-c", "0.8"]
    assert (tmp_path / "sequences.fasta").read_text() == ">0\nMKA\n>1\nMKC\n>2\nMKD\n"


def test_a_failing_mmseqs_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "bin", "echo no space left >&2; exit 3", monkeypatch)
    with pytest.raises(InvalidConfigError, match="mmseqs ended with code 3: no space left"):
        cluster(["MKA", "MKC"])


def test_a_drawn_test_part_is_a_fifth_and_keeps_equal_sequences_together(tmp_path: Path) -> None:
    rows = [(sequence, label) for sequence in proteins(60) for label in (1, 2)]
    table = write_table(tmp_path / "t.csv", rows)
    one, same, other = (read(table, seed=seed) for seed in (5, 5, 6))
    assert parts_of(one) == parts_of(same) != parts_of(other)
    assert {part: len(members) for part, members in parts_of(one).items()} == {"train": 96, "test": 24}
    assert (one.labelled.shared("test"), one.labelled.drawn) == (0, ("test",))


def test_every_class_has_its_share_of_test_part_and_folds(tmp_path: Path) -> None:
    names = ["common"] * 100 + ["rare"] * 20
    data = read(write_table(tmp_path / "t.csv", list(zip(proteins(120), names, strict=True))), CLASSES)

    def counts(values: IntArray) -> list[int]:
        return np.bincount(values, minlength=2).tolist()

    assert counts(data.targets("test")) == [20, 4]
    assert [counts(data.targets("train")[fold]) for fold in data.folds(4, 0)] == [[20, 4]] * 4


def test_a_class_too_rare_for_every_fold_is_no_obstacle(tmp_path: Path) -> None:
    names = ["common"] * 40 + ["rare"] * 2
    table = write_table(tmp_path / "t.csv", list(zip(proteins(42), names, strict=True)))
    data = read(table, CLASSES, seed=1)
    assert sum(map(len, data.folds(5, 0))) == len(data.members("train"))


@pytest.mark.usefixtures("no_mmseqs")
def test_a_large_family_stays_in_train(tmp_path: Path) -> None:
    sequences = families(1, 60) + families(40, 1)
    table = write_table(tmp_path / "t.csv", [(sequence, n) for n, sequence in enumerate(sequences)])
    data = read(table, split="cluster")
    assert set(range(60)) <= set(parts_of(data)["train"])
    assert 8 <= len(parts_of(data)["test"]) <= 12


def test_named_parts_are_obeyed_and_valid_is_learnt_from(tmp_path: Path) -> None:
    names = ["train", "valid", "test", "train"]
    rows = [(sequence, n, part) for n, (sequence, part) in enumerate(zip(proteins(4), names, strict=True))]
    table = write_table(tmp_path / "t.csv", rows, ("sequence", "label", "split"))
    data = read(table, column="split")
    assert (parts_of(data), data.labelled.drawn) == ({"train": [0, 1, 3], "test": [2]}, ())
    twice = str(solubility(tmp_path / "s.csv", 9))
    data = read_fit_data({"train": twice, "test": twice}, Columns("label"), REGRESSION)
    assert parts_of(data) == {"train": list(range(9)), "test": list(range(9, 18))}
    assert data.related("test") == data.labelled.shared("test") == 9
    rows = [(sequence, label, "train") for sequence, label, _ in rows]
    data = read(write_table(tmp_path / "t.csv", rows, ("sequence", "label", "split")), column="split")
    assert parts_of(data) == {"train": [0, 1, 2, 3]}


@pytest.mark.usefixtures("no_mmseqs")
def test_too_few_groups_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"4 proteins in 4 groups.*too few for 5 parts.*--split-column"):
        read(solubility(tmp_path / "t.csv", 4))
    variants = [(sequence, n) for n, sequence in enumerate(families(1, 30, share=0.05))]
    with pytest.raises(InvalidInputError, match=r"30 proteins in 1 groups.*or --split random"):
        read(write_table(tmp_path / "v.csv", variants), split="cluster")


def test_a_row_of_no_use_is_named(tmp_path: Path) -> None:
    rows = [(sequence, n) for n, sequence in enumerate(proteins(20))]
    rows[7] = (rows[7][0], "soluble")  # type: ignore[assignment]
    with pytest.raises(InvalidRecordError, match=r"line 9, record 'row8': column 'label' holds 'soluble'"):
        read(write_table(tmp_path / "t.csv", rows))
