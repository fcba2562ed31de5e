"""FASTA, read line by line: strict about the file, and exact about which line every residue stands on.

This is our own reader because that of dnaio (also Python for FASTA) drops lines that start with `#` without a word
and does not know line numbers; xopen, from the same authors, does the opening here as it does there.
"""

from __future__ import annotations

from collections.abc import Iterator

from esmkit.errors import InvalidInputError
from esmkit.inputs.format import Format
from esmkit.inputs.source import as_utf8, open_text
from esmkit.types import Origin, Record

_LINE_END = " \t\n"
_SHOWN_CHARACTERS = 40


def read_fasta(source: str) -> Iterator[Record]:
    """Records of a FASTA file, each as soon as the header after it has been read.

    Spaces and tabs at line ends are no part of a line; blank lines count as lines and hold nothing. Everything else
    between two headers is sequence, for `alphabet.clean` to judge. A header without an id gives the id "".

    Args:
        source: path, or `-` for standard input; plain or compressed.

    Raises:
        InvalidInputError: the source cannot be read, or has text before the first header.
    """
    index, header, header_line = 0, None, 0
    lines: list[str] = []
    with open_text(source) as text:
        for number, line in enumerate(text, start=1):
            if line[0] == ">":
                if header is not None:
                    yield _record(index, header, lines, source, header_line)
                    index += 1
                header, header_line, lines = line[1:], number, []
            elif header is not None:
                lines.append(line.rstrip(_LINE_END))
            elif line.strip(_LINE_END):
                raise _text_before_header(line, source, number)
    if header is not None:
        yield _record(index, header, lines, source, header_line)


def _record(index: int, header: str, lines: list[str], source: str, header_line: int) -> Record:
    words = as_utf8(header).split(maxsplit=1)
    record_id = words[0] if words else ""
    description = words[1].rstrip() if len(words) > 1 else ""
    sequence = "".join(lines)
    line_lengths = tuple(map(len, lines)) if sequence else ()
    return Record(index, record_id, sequence, description, Origin(source, header_line, line_lengths))


def _text_before_header(line: str, source: str, number: int) -> InvalidInputError:
    found = as_utf8(line.strip(_LINE_END))[:_SHOWN_CHARACTERS]
    return InvalidInputError(
        f"{source}, line {number}: found {found!r} where a FASTA header, '>' and an id, must stand; "
        "remove what is before the first '>', or, if this is not FASTA, name its format with --input-format",
        source=source,
        line=number,
    )


FORMATS = (Format("fasta", (".fasta", ".fa", ".faa", ".fas"), read_fasta),)
