"""Labelled tables: what is read, how it is split, and which rows are refused with what words."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from esmkit.applications.labelled import Columns
from esmkit.applications.predictors import Task
from esmkit.batching import LengthPolicy
from esmkit.errors import EsmkitError, InvalidConfigError, InvalidInputError, InvalidRecordError, SequenceTooLongError
from esmkit.training.dataset import LabelledSet, LabelledStream, read_labelled
from tests.cli_calls import write_fasta
from tests.labelled import REGRESSION, RESIDUES, proteins, read, solubility, write_table

CLASSES = Task("classification", "sequence", "label")
NUMBERS = Task("regression", "residue", "label")
SPLIT = Columns("label", split="split")


def read_beside(rows: list[tuple[str, str]], task: Task, folder: Path, **options: Any) -> LabelledSet:
    """A table, its first two rows as the valid part too, so that nothing is drawn."""
    train = write_table(folder / "train.csv", rows)
    valid = write_table(folder / "valid.csv", rows[:2])
    return read_labelled({"train": str(train), "valid": str(valid)}, Columns("label"), task, **options)


def test_labels_of_proteins_are_numbers_or_classes_in_order(tmp_path: Path) -> None:
    rows = [(sequence, number % 3 + 8) for number, sequence in enumerate(proteins(30))]
    table = write_table(tmp_path / "t.csv", rows)
    assert [value.tolist() for value in read(table, REGRESSION).values[:3]] == [[8.0], [9.0], [10.0]]
    classes = read(table, CLASSES)
    assert classes.task.classes == ("8", "9", "10")  # as numbers, not as text
    assert [value.tolist() for value in classes.values[:3]] == [[0], [1], [2]]


def test_labels_of_residues_are_letters_or_lists_of_numbers(tmp_path: Path) -> None:
    letters = read_beside([("MKTA", "H? E"), ("MK", "HE")], RESIDUES, tmp_path)
    assert letters.task.classes == (" ", "E", "H")
    assert letters.values[0].tolist() == [2, -1, 0, 1]
    numbers = read_beside([("MKTA", "1.5, ? 2;-3e1"), ("MKT", "1 2 3")], NUMBERS, tmp_path)
    np.testing.assert_array_equal(numbers.values[0], [1.5, np.nan, 2.0, -30.0])
    batch = numbers.batch([0, 1])
    assert (batch.labelled.tolist(), batch.targets.tolist()) == ([0, 2, 3, 4, 5, 6], [1.5, 2, -30, 1, 2, 3])


def test_parquet_reads_as_csv_does(tmp_path: Path) -> None:
    source = solubility(tmp_path / "t.csv", 30)
    data = read(source, REGRESSION)
    pq.write_table(
        pa.table(
            {
                "sequence": [record.sequence for record in data.records],
                "label": [float(value[0]) for value in data.values],
            }
        ),
        tmp_path / "t.parquet",
    )
    assert read(tmp_path / "t.parquet", REGRESSION).sha256() == data.sha256()


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        (REGRESSION, ("MKT", ""), "line 4, record 'row3': column 'label' holds no label"),
        (REGRESSION, ("MKT", "soluble"), "holds 'soluble', which is no finite number"),
        (REGRESSION, ("MKT", "nan"), "holds 'nan', which is no finite number"),
        (REGRESSION, ("MKT", "-inf"), "holds '-inf', which is no finite number"),
        (REGRESSION, ("MKT", "1e60"), "holds '1e60', which is no finite number"),
        (CLASSES, ("MKT", "  "), "holds no label"),
        (RESIDUES, ("MKT", "HE"), "holds 2 labels for 3 residues"),
        (RESIDUES, ("MKT", "???"), "holds no label"),
        (NUMBERS, ("MKT", "1 2 3 4"), "holds 4 labels for 3 residues"),
        (NUMBERS, ("MKT", "1 x 3"), "holds 'x' at position 2, which is no finite number"),
        (REGRESSION, ("MK1", "1"), "position 3: found '1'"),
        (REGRESSION, ("", "1"), "has an empty sequence"),
    ],
)
def test_a_row_that_cannot_be_learnt_from_is_named(
    task: Task, row: tuple[str, str], message: str, tmp_path: Path
) -> None:
    labels = {RESIDUES: ("HEE", "EEH"), NUMBERS: ("1 2 3", "3 2 1")}.get(task, ("1", "2"))
    first, second = (("MKT", label) for label in labels)
    with pytest.raises(EsmkitError) as caught:
        read_beside([first, second, row], task, tmp_path)
    assert message in caught.value.message
    assert caught.value.fields["record_id"] == "row3"
    assert caught.value.fields["line"] == 4


def test_a_class_that_only_the_test_part_has_is_named(tmp_path: Path) -> None:
    rows = [("MKA", "in", "train"), ("MKC", "out", "train"), ("MKD", "in", "valid"), ("MKE", "between", "test")]
    table = write_table(tmp_path / "t.csv", rows, ("sequence", "label", "split"))
    with pytest.raises(InvalidRecordError, match=r"line 5.*the class 'between', which no row of the train part has"):
        read_labelled({"train": str(table)}, SPLIT, CLASSES)
    residues = [("MKA", "HHE", "train"), ("MKC", "EEH", "valid"), ("MKD", "HXE", "test")]
    table = write_table(tmp_path / "r.csv", residues, ("sequence", "label", "split"))
    with pytest.raises(InvalidRecordError, match="the class 'X' at position 2"):
        read_labelled({"train": str(table)}, SPLIT, RESIDUES)


@pytest.mark.parametrize("task", [CLASSES, REGRESSION])
def test_a_label_that_never_changes_is_nothing_to_learn(task: Task, tmp_path: Path) -> None:
    rows = [(sequence, "1") for sequence in proteins(30)]
    with pytest.raises(InvalidInputError, match="says '1' in every row of the train part"):
        read(write_table(tmp_path / "t.csv", rows), task)


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", [("MK", "1")])
    with pytest.raises(
        InvalidInputError, match=r"no column 'score'; its columns are 'sequence', 'label'.*--label-column"
    ):
        read_labelled({"train": str(table)}, Columns("score"), REGRESSION)
    with pytest.raises(InvalidInputError, match=r"no column 'split'.*--split-column"):
        read_labelled({"train": str(table)}, SPLIT, REGRESSION)


def test_a_fasta_file_has_no_labels(tmp_path: Path) -> None:
    source = write_fasta(tmp_path / "t.fasta", [("a", "MK")])
    with pytest.raises(
        InvalidConfigError, match=r"label_column is 'label', but .* is read as fasta, which has no columns"
    ):
        read_labelled({"train": str(source)}, Columns("label"), REGRESSION)


def test_the_split_column_is_obeyed_and_judged(tmp_path: Path) -> None:
    parts = ["train", "Test", "VALID ", "train"]
    rows = [(sequence, n, part) for n, (sequence, part) in enumerate(zip(proteins(4), parts, strict=True))]
    header = ("sequence", "label", "split")
    data = read_labelled({"train": str(write_table(tmp_path / "t.csv", rows, header))}, SPLIT, REGRESSION)
    assert {part: members.tolist() for part, members in data.parts.items()} == {
        "train": [0, 3],
        "valid": [2],
        "test": [1],
    }
    assert data.drawn == ()
    rows[1] = (*rows[1][:2], "dev")
    with pytest.raises(
        InvalidRecordError, match=r"line 3.*column 'split' holds 'dev'; write one of train, valid, test"
    ):
        read_labelled({"train": str(write_table(tmp_path / "t.csv", rows, header))}, SPLIT, REGRESSION)
    rows = [(sequence, label, "test") for sequence, label, _ in rows]
    with pytest.raises(InvalidInputError, match="no row has 'train'"):
        read_labelled({"train": str(write_table(tmp_path / "t.csv", rows, header))}, SPLIT, REGRESSION)


def test_files_of_their_own_are_parts_and_only_what_is_missing_is_drawn(tmp_path: Path) -> None:
    table = solubility(tmp_path / "t.csv", 40)
    other = write_table(tmp_path / "o.csv", [(sequence, 0.5) for sequence in proteins(3, seed=9)])
    sources = {"train": str(table), "test": str(other)}
    data = read_labelled(sources, Columns("label"), REGRESSION)
    assert (data.drawn, data.parts["test"].tolist()) == (("valid",), [40, 41, 42])
    assert (len(data.parts["train"]), len(data.parts["valid"])) == (36, 4)
    both = read_labelled(sources | {"valid": str(other)}, Columns("label"), REGRESSION)
    assert (both.drawn, len(both.parts["train"])) == ((), 40)
    alone = read(table, REGRESSION)
    assert alone.drawn == ("valid", "test")


def test_a_random_split_follows_from_the_seed_and_keeps_equal_sequences_together(tmp_path: Path) -> None:
    sequences = proteins(60)
    rows = [(sequence, label) for sequence in sequences for label in (1, 2)]
    table = write_table(tmp_path / "t.csv", rows)
    one, same, other = (read(table, REGRESSION, seed=seed) for seed in (5, 5, 6))
    assert one.sha256() == same.sha256() != other.sha256()
    assert sorted(np.concatenate(list(one.parts.values())).tolist()) == list(range(120))
    assert {part: one.shared(part) for part in ("valid", "test")} == {"valid": 0, "test": 0}
    assert [len(one.parts[part]) for part in ("train", "valid", "test")] == [98, 12, 10]


def test_a_random_split_gives_every_class_its_share_and_train_all_of_them(tmp_path: Path) -> None:
    names = ["common"] * 100 + ["rare"] * 20 + ["single"]
    data = read(write_table(tmp_path / "t.csv", list(zip(proteins(121), names, strict=True))), CLASSES)
    counts = {
        part: np.bincount([data.values[n][0] for n in members], minlength=3).tolist()
        for part, members in data.parts.items()
    }
    assert counts["train"][2] == 1
    for part in ("valid", "test"):
        assert 9 <= counts[part][0] <= 11
        assert 1 <= counts[part][1] <= 3


def test_too_few_sequences_for_a_random_split_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="4 different sequences are too few to draw valid and test"):
        read(solubility(tmp_path / "t.csv", 4), REGRESSION)


def test_long_sequences_follow_the_length_policy(tmp_path: Path) -> None:
    rows = [("MKTAYIAKQRQISFVK", "HHHHEEEECCCC????"), ("MKT", "HEC")]
    with pytest.raises(SequenceTooLongError, match=r"'row1'.*16 residues, the limit is 8"):
        read_beside(rows, RESIDUES, tmp_path, length=LengthPolicy(limit=8))
    cut = read_beside(rows, RESIDUES, tmp_path, length=LengthPolicy("truncate", 8))
    assert cut.values[0].tolist() == [2, 2, 2, 2, 1, 1, 1, 1]
    windows = read_beside(rows, RESIDUES, tmp_path, length=LengthPolicy("window", 8))
    batch = windows.batch([0])
    assert len(batch.bounds) - 1 == len(windows.spans[0]) == 3
    weight_of_residue = np.bincount(batch.line, batch.weight)
    np.testing.assert_allclose(weight_of_residue, np.ones(16), rtol=1e-6)


def test_an_epoch_of_batches_holds_every_train_protein_once_and_follows_from_the_seed(tmp_path: Path) -> None:
    data = read(solubility(tmp_path / "t.csv", 60), REGRESSION)
    stream = LabelledStream(data, token_budget=200, seed=3)
    first = [batch for batch, _ in islice(stream.batches(), len(stream.plan(0).ends))]
    assert sorted(number for batch in first for number in batch.numbers) == data.parts["train"].tolist()
    assert max(len(batch.tokens) for batch in first) <= 200
    (again, place) = next(LabelledStream(data, token_budget=200, seed=3).batches(0, 2))
    assert (again.numbers, place.batch) == (first[2].numbers, 3)
    assert [batch.numbers for batch in first] != [
        batch.numbers for batch, _ in islice(stream.batches(1), len(stream.plan(1).ends))
    ]
