"""Tables in: columns, text that stays text, lines of rows, and every way a table can be wrong."""

import csv
import gzip
import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from esmkit.alphabet import clean
from esmkit.errors import InvalidInputError, InvalidRecordError, InvalidSequenceError
from esmkit.inputs import open_records
from esmkit.types import Origin, Record


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write_text(text: str | bytes, name: str = "in.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write_text


@pytest.fixture
def write_parquet(tmp_path: Path) -> Any:
    def write_columns(columns: Any, **options: Any) -> Path:
        path = tmp_path / "in.parquet"
        pq.write_table(pa.table(columns), path, **options)
        return path

    return write_columns


def pairs(path: Path, **columns: str) -> list[tuple[str, str]]:
    return [(record.id, record.sequence) for record in open_records(path, **columns)]


def test_rows_become_records_with_their_lines(write: Any) -> None:
    path = write("id,sequence,note\n\nP1,MK,x\n\nP2,ML,y\n\n")
    assert list(open_records(path)) == [
        Record(0, "P1", "MK", origin=Origin(str(path), 3)),
        Record(1, "P2", "ML", origin=Origin(str(path), 5)),
    ]


@pytest.mark.parametrize(
    ("header", "ids"),
    [
        *(("id,x,sequence", "a"), ("x,ID,Seq", "b"), ("Name,x,SEQ", "a"), ("x,Accession,seq", "b")),
        *(("Entry,Entry Name,Sequence", "a"), ("name,id,sequence", "b"), ("x,y,sequence", "row1")),
    ],
)
def test_default_columns_are_found_in_any_case_else_ids_count_rows(write: Any, header: str, ids: str) -> None:
    assert pairs(write(f"{header}\na,b,MK\n")) == [(ids, "MK")]


def test_ids_count_rows_where_no_column_has_them(write: Any, write_parquet: Any) -> None:
    expected = [("row1", "MK"), ("row2", "ML")]
    assert pairs(write("sequence\nMK\n\nML\n")) == pairs(write_parquet({"sequence": ["MK", "ML"]})) == expected


def test_chosen_columns_are_used(write: Any, write_parquet: Any) -> None:
    chosen = {"id_column": "mutant", "sequence_column": "a.b"}
    csv_path = write("id,sequence,mutant,a.b\n1,MK,A2G,ML\n")
    parquet_path = write_parquet({"id": ["1"], "a.b": ["ML"], "mutant": ["A2G"], "sequence": ["MK"]})
    assert pairs(csv_path, **chosen) == pairs(parquet_path, **chosen) == [("A2G", "ML")]
    both = {"id_column": "a.b", "sequence_column": "a.b"}
    assert pairs(csv_path, **both) == pairs(parquet_path, **both) == [("ML", "ML")]


def test_other_columns_are_cells_in_the_order_asked_for(write: Any, write_parquet: Any) -> None:
    asked = {"split": "part", "label": "é"}
    csv_path = write("sequence,é,part\nMK,0.50,tëst\nML,,train\n".encode())
    parquet_path = write_parquet({"part": ["tëst", "train"], "é": ["0.50", None], "sequence": ["MK", "ML"]})
    for path in (csv_path, parquet_path):
        records = list(open_records(path, other_columns=asked))
        assert [(record.id, record.sequence, record.cells) for record in records] == [
            ("row1", "MK", ("tëst", "0.50")),
            ("row2", "ML", ("train", "")),
        ]
        with pytest.raises(InvalidInputError, match=r"no column 'y'.*--label-column"):
            list(open_records(path, other_columns={"label": "y"}))


def test_cells_stay_text(write: Any) -> None:
    text = "id,sequence\n007,NA\n1e5,NULL\n-1, MK\n2020-01-01,INF\ntrue,\n"
    assert pairs(write(text)) == [
        *(("007", "NA"), ("1e5", "NULL"), ("-1", " MK"), ("2020-01-01", "INF"), ("true", "")),
    ]


def test_quoted_cells_may_hold_delimiters_quotes_and_line_ends(write: Any) -> None:
    first, second = open_records(write('id,sequence\r\n"a ""1"", b\nc","MK\nL"\r\nd,MV\r\n'))
    assert (first.id, first.sequence, first.origin.line) == ('a "1", b\nc', "MK\nL", 2)
    assert (second.id, second.sequence, second.origin.line) == ("d", "MV", 5)


@pytest.mark.parametrize("name", ["in.tsv", "in.tab", "IN.TSV"])
def test_tsv_is_read_by_suffix(write: Any, name: str) -> None:
    assert pairs(write("Entry\tProtein, full\tSequence\nP1\ta, b\tMK\n", name)) == [("P1", "MK")]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_compressed_tables_are_read(write: Any, suffix: str, pack: Any) -> None:
    assert pairs(write(pack(b"id,sequence\nP1,MK\n"), f"in.csv{suffix}")) == [("P1", "MK")]


def test_stdin_is_read_row_by_row_with_a_named_format(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = iter([b"id,seq\n", b"P1,MK\n", b"P2,ML\n"])

    class Pipe(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            piece = next(pieces, b"")
            buffer[: len(piece)] = piece
            return len(piece)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Pipe())))
    records = open_records("-", format="csv")
    assert next(records) == Record(0, "P1", "MK", origin=Origin("-", 2))
    assert next(pieces) == b"P2,ML\n"
    assert list(records) == []


def test_text_is_utf8_after_an_optional_byte_order_mark_or_else_latin1(write: Any) -> None:
    text = "sequence,näme\nMK,é\n"
    for data in (text.encode(), b"\xef\xbb\xbf" + text.encode(), text.encode("latin-1")):
        assert pairs(write(data), id_column="näme") == [("é", "MK")]


def test_what_is_no_residue_reaches_clean_with_its_line(write: Any) -> None:
    _, record = open_records(write("id,sequence\na,MK\nb,MéK\n"))
    with pytest.raises(InvalidSequenceError) as caught:
        clean(record)
    assert (caught.value.record_id, caught.value.position, caught.value.line) == ("b", 2, 3)


@pytest.mark.parametrize("as_parquet", [False, True])
def test_empty_cells_are_empty_ids_and_sequences(write: Any, write_parquet: Any, as_parquet: bool) -> None:
    columns = {"id": ["a", None, "c"], "sequence": [None, "MK", "ML"]}
    path = write_parquet(columns) if as_parquet else write("id,sequence\na,\n,MK\nc,ML\n")
    records = list(open_records(path))
    assert [(r.id, r.sequence) for r in records] == [("a", ""), ("", "MK"), ("c", "ML")]
    with pytest.raises(InvalidRecordError, match="empty sequence") as caught:
        clean(records[0])
    assert (caught.value.record_id, caught.value.line) == ("a", 2)


@pytest.mark.parametrize("as_parquet", [False, True])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "sequence or seq; its columns are 'ID', 'protein': choose one of them with --sequence-column"),
        (
            {"sequence_column": "aa"},
            "'aa'; its columns are 'ID', 'protein': choose one of them with --sequence-column",
        ),
        (
            {"sequence_column": "protein", "id_column": "id"},
            "'id'; its columns are 'ID', 'protein': choose one of them with --id-column",
        ),
    ],
)
def test_missing_column_lists_those_present(
    write: Any, write_parquet: Any, as_parquet: bool, columns: dict[str, str], message: str
) -> None:
    path = write_parquet({"ID": ["a"], "protein": ["MK"]}) if as_parquet else write("ID,protein\na,MK\n")
    with pytest.raises(InvalidInputError) as caught:
        list(open_records(path, **columns))
    assert caught.value.message == f"{path} has no column {message}"
    assert (caught.value.source, caught.value.line) == (str(path), 1)


@pytest.mark.parametrize("chosen", [{"id_column": "x"}, {"sequence_column": "x"}])
def test_column_named_twice_cannot_be_chosen(write: Any, chosen: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError, match="has 2 columns named 'x'; rename them"):
        list(open_records(write("x,x,sequence\n1,2,MK\n"), **chosen))


@pytest.mark.parametrize("header", ["id,sequence,sequence", "id,sequence,id", "id,seq,Seq", "id,sequence,ID"])
def test_default_column_that_occurs_twice_is_an_error(write: Any, header: str) -> None:
    with pytest.raises(InvalidInputError, match="has 2 columns named") as caught:
        list(open_records(write(f"{header}\na,MK,b\n")))
    assert caught.value.line == 1


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        ("a,MK\nb\n", 3, "names 2 columns and this row has 1"),
        ("a,MK\n\nb,ML,x\n", 4, "names 2 columns and this row has 3"),
        ('a,MK\n"b"c,ML\n', 3, "check the quotes"),
        ('a,MK\n"b,ML\nc,MV\n', 3, "check the quotes"),
        ("a," + "M" * 140_000 + "\n", 2, "field larger than field limit"),
    ],
)
def test_malformed_row_is_an_error_with_its_line(write: Any, rows: str, line: int, message: str) -> None:
    path = write(f"id,sequence\n{rows}")
    with pytest.raises(InvalidInputError, match=message) as caught:
        list(open_records(path))
    assert (caught.value.source, caught.value.line) == (str(path), line)
    assert caught.value.message.startswith(f"{path}, line {line}: ")


def test_rows_before_a_malformed_one_come_first(write: Any) -> None:
    records = open_records(write("id,sequence\na,MK\nb\n"))
    assert next(records).id == "a"
    with pytest.raises(InvalidInputError):
        next(records)


def test_parquet_keeps_order_and_rows_over_batches_and_row_groups(write_parquet: Any) -> None:
    ids = [f"r{n}" for n in range(5000)]
    path = write_parquet({"sequence": ["MK"] * 5000, "id": ids}, row_group_size=1700)
    records = list(open_records(path))
    assert [r.id for r in records] == ids
    assert [r.index for r in records] == list(range(5000))
    assert [r.origin.line for r in records] == list(range(2, 5002))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_text_of_every_type_is_read(write_parquet: Any, kind: pa.DataType) -> None:
    assert pairs(write_parquet({"id": pa.array([7, 8]), "seq": pa.array(["MK", "ML"]).cast(kind)})) == [
        *(("7", "MK"), ("8", "ML")),
    ]


def test_parquet_column_that_is_no_text_is_an_error(write_parquet: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"cannot read .*in\.parquet as Parquet") as caught:
        list(open_records(write_parquet({"id": ["a"], "seq": [["M", "K"]]})))
    assert caught.value.source is not None


@pytest.mark.parametrize("data", [b"", b"PAR1", b">a\nMK\n" * 100])
def test_file_that_is_no_parquet_is_an_error(write: Any, data: bytes) -> None:
    path = write(data, "in.parquet")
    with pytest.raises(InvalidInputError, match="as Parquet") as caught:
        list(open_records(path))
    assert caught.value.source == str(path)


def test_damaged_parquet_is_an_error(write_parquet: Any) -> None:
    path = write_parquet({"id": [f"r{n * n}" for n in range(9000)], "seq": ["MK" * (n % 50) for n in range(9000)]})
    data = bytearray(path.read_bytes())
    data[100:400] = bytes(300)
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match="as Parquet"):
        list(open_records(path))


def test_parquet_is_read_in_pieces_of_a_row_group(write_parquet: Any) -> None:
    number = 20_000
    sequences = ["MKTAYIAKQR" * 60 + str(n) for n in range(number)]
    path = write_parquet({"id": [str(n) for n in range(number)], "sequence": sequences}, compression="none")
    # A process of its own: the peak of a memory pool cannot be reset.
    code = (
        "import sys, pyarrow; from esmkit.inputs import open_records\n"
        "print(sum(1 for _ in open_records(sys.argv[1])), pyarrow.default_memory_pool().max_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    read, peak_bytes = map(int, done.stdout.split())
    assert read == number
    assert peak_bytes < path.stat().st_size / 2


def test_parquet_from_stdin_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="not standard input") as caught:
        list(open_records("-", format="parquet"))
    assert caught.value.source == "-"


# The writer of Python 3.11 leaves a cell with a lone CR unquoted, and so makes two rows of it.
cells = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=12)


@given(
    rows=st.lists(st.tuples(cells, st.text("ACDEX*- ,\"'\t\n1", max_size=30), cells), min_size=1, max_size=8),
    kind=st.sampled_from(["csv", "tsv"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_any_table_is_read_back(rows: list[tuple[str, str, str]], kind: str, line_end: str, quoting: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"in.{kind}"
        with path.open("w", newline="", encoding="utf-8") as file:
            delimiter = {"csv": ",", "tsv": "\t"}[kind]
            writer = csv.writer(file, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
            writer.writerows([("id", "sequence", "x"), *rows])
        assert pairs(path) == [row[:2] for row in rows]
