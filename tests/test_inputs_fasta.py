"""FASTA in: each decision of docs/inputs.md as a claim, and properties over any records in any layout."""

import bz2
import gzip
import io
import lzma
import re
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from esmkit.alphabet import clean
from esmkit.errors import InvalidInputError, InvalidRecordError, InvalidSequenceError
from esmkit.inputs import open_records
from esmkit.types import Origin, Record

COMPRESS = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def read_bytes(data: bytes, name: str = "in.fasta") -> list[Record]:
        path = tmp_path / name
        path.write_bytes(data)
        return list(open_records(path))

    return read_bytes


class Pipe(io.RawIOBase):
    """Standard input whose bytes a generator makes, one piece per read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = next(self.pieces, b"")
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Any:
    def feed(pieces: Iterator[bytes]) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Pipe(pieces))))

    return feed


def test_id_is_first_word_and_description_the_rest(read: Any, tmp_path: Path) -> None:
    assert read(b">sp|P69905|HBA  Hemoglobin  alpha \nMV\nLS\n> b\tc d\nMK") == [
        Record(*(0, "sp|P69905|HBA", "MVLS", "Hemoglobin  alpha"), Origin(str(tmp_path / "in.fasta"), 1, (2, 2))),
        Record(1, "b", "MK", "c d", Origin(str(tmp_path / "in.fasta"), 4, (2,))),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b" \t\r\n", b"\n\n", b"\n \t\n"])
def test_line_ends_are_no_residues(read: Any, end: bytes) -> None:
    records = read(end.join([b">a x", b"MK", b"TL", b">b", b"VV", b""]))
    assert [(r.id, r.description, r.sequence) for r in records] == [("a", "x", "MKTL"), ("b", "", "VV")]


def test_blank_lines_count_as_lines(read: Any) -> None:
    first, second = read(b"\n \n>a\n\nMK\n\n\nT1\n\n>b\nM\n")
    assert (first.sequence, first.origin.line, second.origin.line) == ("MKT1", 3, 10)
    assert [first.origin.line_of(offset) for offset in range(4)] == [5, 5, 8, 8]


@pytest.mark.parametrize(
    ("line", "position", "residue"),
    [
        *((b"MK T", 3, " "), (b" MKT", 1, " "), (b"MK\tT", 3, "\t"), (b"MK1T", 3, "1"), (b"MK>T", 3, ">")),
        *((b"#MKT", 1, "#"), (b";MKT", 1, ";"), (b"M\0KT", 2, "\0"), (b"MK\xe4T", 3, "ä"), (b"MK\xa0", 3, "\xa0")),
        *((b"MK\x0cT", 3, "\x0c"), (b"MK\x85T", 3, "\x85")),
    ],
)
def test_what_is_no_residue_reaches_clean_with_its_line(read: Any, line: bytes, position: int, residue: str) -> None:
    (record,) = read(b">a\nMKT\n\n" + line + b"\n")
    with pytest.raises(InvalidSequenceError) as caught:
        clean(record)
    error = caught.value
    assert (error.record_id, error.position, error.residue, error.line) == ("a", 3 + position, residue, 4)


def test_empty_record_is_reported_at_its_header(read: Any) -> None:
    first, second, last = read(b">a\n>b\n \n\n>c\n")
    assert [r.sequence for r in (first, second, last)] == ["", "", ""]
    for record, line in ((first, 1), (second, 2), (last, 5)):
        with pytest.raises(InvalidRecordError, match="empty sequence") as caught:
            clean(record)
        assert (caught.value.record_id, caught.value.line) == (record.id, line)


def test_header_without_id_has_the_empty_id(read: Any) -> None:
    assert [(r.id, r.origin.line) for r in read(b">\nMK\n>  \nMK\n")] == [("", 1), ("", 3)]


@pytest.mark.parametrize("text", [b"# made by x", b";old style", b"MKTLLV", b"id,sequence", b"@read1"])
def test_text_before_first_header_is_an_error_with_line_and_text(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "in.fasta"
    path.write_bytes(b"\n" + text + b"\n>a\nMK\n")
    with pytest.raises(InvalidInputError, match=f"line 2: found '{text.decode()}'.*remove what is before") as caught:
        list(open_records(path))
    assert caught.value.to_dict() | {"message": ""} == {
        **{"code": "user.invalid_input", "message": ""},
        **{"source": str(path), "line": 2},
    }


def test_records_before_damage_come_first(tmp_path: Path) -> None:
    path = tmp_path / "in.fasta.gz"
    path.write_bytes(gzip.compress(b">a\nMK\n" * 100_000)[:-8])
    records = open_records(path)
    assert next(records).id == "a"
    with pytest.raises(InvalidInputError, match=r"cannot read .*in\.fasta\.gz.*cut short") as caught:
        list(records)
    assert (caught.value.source, caught.value.line) == (str(path), None)


@pytest.mark.parametrize("suffix", [s for s in COMPRESS if s])
@pytest.mark.parametrize("damage", ["cut", "not compressed", "changed"])
def test_damaged_compression_names_the_file(tmp_path: Path, suffix: str, damage: str) -> None:
    plain = b"".join(b">r%d\n%s\n" % (n, b"MKTAYIAKQR"[: n % 9 + 1] * (n % 40)) for n in range(3000))
    packed = COMPRESS[suffix](plain)
    middle = len(packed) // 2
    bad = {
        "cut": packed[:middle],
        "not compressed": plain,
        "changed": packed[:middle] + bytes(b ^ 0x55 for b in packed[middle : middle + 64]) + packed[middle + 64 :],
    }
    path = tmp_path / f"in.fasta{suffix}"
    path.write_bytes(bad[damage])
    with pytest.raises(InvalidInputError, match="damaged") as caught:
        list(open_records(path))
    assert caught.value.source == str(path)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_several_compressed_files_in_one_are_one_input(read: Any, suffix: str) -> None:
    pack = COMPRESS[suffix]
    assert [r.id for r in read(pack(b">a\nMK\n") + pack(b">b\nMK\n"), f"in.fasta{suffix}")] == ["a", "b"]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compression_is_seen_from_content_without_suffix_and_on_stdin(read: Any, stdin: Any, suffix: str) -> None:
    packed = COMPRESS[suffix](b">a\nMK\n")
    stdin(iter([packed]))
    assert [r.sequence for r in read(packed, "upload")] == ["MK"]
    assert list(open_records("-")) == [Record(0, "a", "MK", origin=Origin("-", 1, (2,)))]


def test_byte_order_mark_is_tolerated(read: Any) -> None:
    assert [r.id for r in read(b"\xef\xbb\xbf>a\nMK\n")] == ["a"]


def test_headers_are_utf8_or_else_latin1(read: Any) -> None:
    utf8, latin1 = read(">é Müller\nM\n".encode() + ">é Müller\nM\n".encode("latin-1"))
    assert (utf8.id, utf8.description) == (latin1.id, latin1.description) == ("é", "Müller")


def test_first_record_comes_before_a_pipe_ends(stdin: Any) -> None:
    ended = False

    def pieces() -> Iterator[bytes]:
        nonlocal ended
        yield from (b">a x\nM", b"K\n", b">b\n")
        ended = True

    stdin(pieces())
    records = open_records("-")
    assert (next(records).sequence, ended) == ("MK", False)
    assert ([r.id for r in records], ended) == (["b"], True)


def test_stdin_stays_open_after_reading(stdin: Any) -> None:
    stdin(iter([b">a\nMK\n"]))
    list(open_records("-"))
    assert not sys.stdin.closed
    assert sys.stdin.read() == ""


def test_closed_stdin_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InvalidInputError) as caught:
        next(open_records("-"))
    assert caught.value.source == "-"


def test_memory_holds_one_record(stdin: Any) -> None:
    def pieces() -> Iterator[bytes]:
        for number in range(2000):
            yield b">r%d\n" % number + (b"MKTAYIAKQR" * 6 + b"\n") * 100

    stdin(pieces())
    records = open_records("-")
    next(records)
    tracemalloc.start()
    assert sum(len(r.sequence) for r in records) == 1999 * 6000
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 500_000


def read_packed(text: str, suffix: str) -> list[Record]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"in.fa{suffix}"
        path.write_bytes(COMPRESS[suffix](text.encode()))
        return list(open_records(path))


# Printable and without white space: what an id can be.
words = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=8)
descriptions = st.lists(words, max_size=3).map(" ".join)
sequences = st.text("ACDEFGHIKLMNPQRSTVWYXxj*-.1#;", max_size=90)
blank_lines = st.lists(st.sampled_from(["", "  ", "\t"]), max_size=2)


@given(
    proteins=st.lists(st.tuples(words, descriptions, sequences, blank_lines), min_size=1, max_size=6),
    width=st.integers(1, 100),
    end=st.sampled_from(["\n", "\r\n", "\r", " \n"]),
    last_end=st.booleans(),
    suffix=st.sampled_from(list(COMPRESS)),
)
def test_records_in_any_layout_are_read_back_with_their_lines(
    proteins: list[tuple[str, str, str, list[str]]], width: int, end: str, last_end: bool, suffix: str
) -> None:
    lines: list[str] = []
    lines_of_residues = []
    for record_id, description, sequence, blanks in proteins:
        lines += [*blanks, f">{record_id} {description}"]
        numbers: list[int] = []
        for start in range(0, len(sequence), width):
            lines += [*blanks, sequence[start : start + width]]
            numbers += [len(lines)] * len(lines[-1])
        lines_of_residues.append(numbers)
    records = read_packed(end.join(lines) + end * last_end, suffix)
    assert [(r.id, r.description, r.sequence) for r in records] == [protein[:3] for protein in proteins]
    assert [r.index for r in records] == list(range(len(proteins)))
    for record, numbers in zip(records, lines_of_residues, strict=True):
        assert [record.origin.line_of(offset) for offset in range(len(record.sequence))] == numbers
        assert lines[record.origin.line - 1].startswith(f">{record.id}")


@given(body=st.text(">>AC1# \t\r\n\n\0é", max_size=60), suffix=st.sampled_from(list(COMPRESS)))
def test_any_text_reads_as_a_naive_parser_reads_it(body: str, suffix: str) -> None:
    text = f">first\n{body}"
    unix = text.replace("\r\n", "\n").replace("\r", "\n")
    naive = []
    for entry in re.split("^>", unix, flags=re.MULTILINE)[1:]:
        header, *lines = entry.split("\n")
        sequence = "".join(line.rstrip(" \t") for line in lines)
        naive.append(((header.split() or [""])[0], sequence.encode().decode("latin-1")))
    assert [(r.id, r.sequence) for r in read_packed(text, suffix)] == naive
