"""Opening an input: a path or `-` for standard input, plain or compressed, as one stream of text lines."""

from __future__ import annotations

import codecs
import io
import sys
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from xopen import xopen

from esmkit.errors import InvalidInputError
from esmkit.inputs.remote import filesystem_of, is_url

STDIN = "-"
COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")
_BUFFER_BYTES = 1 << 18


def open_text(source: str, *, newline: str | None = None) -> TextIO:
    """The lines of a source, decompressed, without a byte order mark.

    Bytes are read as Latin-1, one character each, so that nothing is lost before a later stage can judge it; what
    is meant as text (ids, descriptions, column names) goes through `as_utf8`.

    Args:
        source: path, URL, or `-` for standard input. The suffix names the compression, else the content does.
        newline: as in `open`; by default LF, CRLF and CR all end a line.

    Raises:
        InvalidInputError: at once if the source cannot be opened, later if it cannot be read to its end.
    """
    buffered = io.BufferedReader(_Decompressed(source), _BUFFER_BYTES)
    if buffered.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
        buffered.read(len(codecs.BOM_UTF8))
    return io.TextIOWrapper(buffered, encoding="latin-1", newline=newline)


def as_utf8(text: str) -> str:
    """Text of `open_text` as the UTF-8 it was written in, or unchanged where it is no UTF-8.

    Example:
        >>> as_utf8("MÃ¼ller"), as_utf8("Müller")
        ('Müller', 'Müller')
    """
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return text


class _Decompressed(io.RawIOBase):
    """The bytes of a source; whatever goes wrong while reading them becomes an error that names the source."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._file = _open(source)
        # Zero threads: decompression in this process, whose errors are exceptions and not messages of a tool.
        self._stream: Any = xopen(self._file, "rb", threads=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            # Not more than one read below: records that have come through a pipe must not wait for the next ones.
            num_bytes: int = self._stream.readinto1(buffer)
        except Exception as error:  # each decompressor has error types of its own
            raise InvalidInputError(
                f"cannot read {self._source}: {error}; the file is cut short, damaged, or not compressed as its name "
                "says: make or download it again",
                source=self._source,
            ) from error
        return num_bytes

    def close(self) -> None:
        if not self.closed and self._source != STDIN:
            self._stream.close()
            self._file.close()
        super().close()


def _open(source: str) -> BinaryIO:
    if source == STDIN and sys.stdin is not None:
        return sys.stdin.buffer
    try:
        return open_url(source) if is_url(source) else Path(source).open("rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInputError(
            f"cannot open {source}: {reason}; give the path of a readable file, or - for standard input",
            source=source,
        ) from error


def open_url(url: str) -> BinaryIO:
    """The bytes of a URL, from any place of it.

    Raises:
        OSError: there is nothing, or it is not for us.
    """
    system, path = filesystem_of(url)
    return cast(BinaryIO, io.BufferedReader(system.open_input_file(path), _BUFFER_BYTES))
