"""What holds for every input format, how a format is chosen, and sequences given in code."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from esmkit.alphabet import clean
from esmkit.errors import InvalidConfigError, InvalidInputError, UserError
from esmkit.inputs import check_unique, formats, from_sequences, open_records
from esmkit.types import Origin, Record

Rows = list[tuple[str, str]]


def write_parquet(path: Path, rows: Rows) -> None:
    ids, sequences = ([row[column] for row in rows] for column in (0, 1))
    table = {"id": pa.array(ids, pa.string()), "sequence": pa.array(sequences, pa.string())}
    pq.write_table(pa.table(table), path)


def write_delimited(delimiter: str) -> Callable[[Path, Rows], None]:
    def write(path: Path, rows: Rows) -> None:
        lines = [f"{record_id}{delimiter}{sequence}" for record_id, sequence in [("id", "sequence"), *rows]]
        path.write_text("".join(f"{line}\n" for line in lines))

    return write


# A new format adds a writer here; the tests of this part then hold for it too.
WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "fasta": lambda path, rows: path.write_text("".join(f">{name}\n{text}\n" for name, text in rows)) and None,
    "csv": write_delimited(","),
    "tsv": write_delimited("\t"),
    "parquet": write_parquet,
    "jsonl": lambda path, rows: (
        path.write_text("".join(json.dumps({"id": name, "sequence": text}) + "\n" for name, text in rows)) and None
    ),
}
ROWS = [(f"r{number}", "MKTL"[: number % 5] + "A") for number in range(3000)]
every_format = pytest.mark.parametrize("name", sorted(WRITERS))


def test_every_format_has_a_writer_here() -> None:
    assert set(WRITERS) == set(formats())


def test_no_suffix_chooses_two_formats() -> None:
    suffixes = [suffix for known in formats().values() for suffix in known.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in suffixes)


@every_format
def test_records_come_in_order_with_their_lines(tmp_path: Path, name: str) -> None:
    for path, options in (
        *((tmp_path / f"in{suffix.upper()}", {}) for suffix in formats()[name].suffixes),
        (tmp_path / "in.dat", {"format": name}),
    ):
        WRITERS[name](path, ROWS)
        records = list(open_records(path, **options))
        assert [(r.id, r.sequence) for r in records] == ROWS
        assert [r.index for r in records] == list(range(len(ROWS)))
        assert {r.origin.source for r in records if r.origin} == {str(path)}
        lines = [r.origin.line for r in records if r.origin]
        first, step = {"fasta": (1, 2), "jsonl": (1, 1)}.get(name, (2, 1))
        assert lines == [first + step * n for n in range(3000)]


@every_format
def test_no_records_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "in"
    WRITERS[name](path, [])
    with pytest.raises(InvalidInputError, match="holds no records; give a file with at least one") as caught:
        list(open_records(path, format=name))
    assert caught.value.to_dict() | {"message": ""} == {
        **{"code": "user.invalid_input", "message": "", "source": str(path)},
    }


@every_format
def test_what_cannot_be_opened_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "missing", tmp_path / "folder", tmp_path / "no\0name"):
        with pytest.raises(InvalidInputError) as caught:
            next(open_records(path, format=name))
        assert caught.value.source == str(path)
        assert str(path) in caught.value.message


@every_format
def test_file_without_permission_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may read a file of mode 0, so the refusal of the operating system is played.
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(pq, "ParquetFile", refuse)
    with pytest.raises(InvalidInputError, match=r"in\.x.*Permission denied"):
        next(open_records("in.x", format=name))


@every_format
def test_columns_are_refused_by_formats_without_them(tmp_path: Path, name: str) -> None:
    path = tmp_path / "in"
    WRITERS[name](path, ROWS)
    for setting in ("id_column", "sequence_column"):
        if formats()[name].takes_columns:
            with pytest.raises(InvalidInputError, match="has no column 'x'"):
                next(open_records(path, format=name, **{setting: "x"}))
        else:
            with pytest.raises(InvalidConfigError, match="has no columns") as caught:
                open_records(path, format=name, **{setting: "x"})
            assert caught.value.setting == setting


def test_unknown_format_is_an_error_that_lists_them() -> None:
    with pytest.raises(
        InvalidInputError, match="'xlsx' is no input format; choose one of csv, fasta, jsonl, parquet, tsv"
    ):
        open_records("in.fasta", format="xlsx")


@pytest.mark.parametrize("name", ["in", "in.txt", "in.gz", "in.pep.gz", "in.csv.old"])
def test_unknown_suffix_is_read_as_fasta(tmp_path: Path, name: str) -> None:
    data = b">a\nMK\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert list(open_records(path)) == [Record(0, "a", "MK", origin=Origin(str(path), 1, (2,)))]


def test_unknown_suffix_that_is_no_fasta_asks_for_the_format(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("id,sequence\na,MK\n")
    with pytest.raises(InvalidInputError, match="if this is not FASTA, name its format with --input-format"):
        next(open_records(path))


def test_reading_does_not_load_torch_and_fasta_does_not_load_pyarrow() -> None:
    code = (
        "import sys, esmkit.inputs as inputs\n"
        "assert inputs.formats()\n"
        "print(sorted({'torch', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_one_sequence_or_record_is_one_record() -> None:
    assert list(from_sequences("MKT")) == [Record(0, "seq1", "MKT")]
    assert list(from_sequences(Record(5, "a", "MKT"))) == [Record(0, "a", "MKT")]


def test_sequences_are_named_by_their_place_and_records_keep_their_names() -> None:
    given_record = Record(9, "P1", "ML", "alpha", Origin("in.fa", 3, (2,)))
    assert list(from_sequences(iter(["MK", given_record, ""]))) == [
        Record(0, "seq1", "MK"),
        Record(1, "P1", "ML", "alpha", Origin("in.fa", 3, (2,))),
        Record(2, "seq3", ""),
    ]


@pytest.mark.parametrize("item", [b"MK", 3, None, ("a", "MK")])
def test_what_is_no_sequence_is_an_error_with_its_place(item: Any) -> None:
    with pytest.raises(InvalidInputError, match=f"item 2 is of type {type(item).__name__}; give each"):
        list(from_sequences(["MK", item]))


DOCUMENTED = {
    "odd.fasta": b">sp|P69905|HBA_HUMAN Hemoglobin subunit alpha\nMVLSPADKTN\n\nVKAAWGKVJA\n",
    "digit.fasta": b">a\nMKT1 LV\n",
    "comment.fasta": b"# my proteins\n>a\nMK\n",
    "twice.fasta": b">a\nMK\n>b\nML\n>a\nMV\n",
    "table.csv": b"protein,aa\na,MK\n",
    "ragged.csv": b"id,sequence\na,MK\nb,ML,kinase\n",
    "cut.fasta.gz": gzip.compress(b">a\nMK\n")[:-8],
}


def read_strictly(path: str) -> None:
    for record in check_unique(open_records(path)):
        assert isinstance(record, Record)
        clean(record)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_error_reads_as_docs_show_it(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "inputs.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(DOCUMENTED[name])
    with pytest.raises(UserError) as caught:
        read_strictly(name)
    assert f"```text\n{caught.value.message}\n```" in page
