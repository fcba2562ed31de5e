"""The input of a job: received in flat memory, inflated within bounds, read as records."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

from starlette.requests import ClientDisconnect, Request
from xopen import xopen

from esmkit.alphabet import ResiduePolicy, num_residues
from esmkit.batching import LengthPolicy
from esmkit.engine.jobs import Chunk, Plan
from esmkit.engine.jobs import Intake as TakenIn
from esmkit.errors import EsmkitError, InvalidInputError
from esmkit.inputs import open_records
from esmkit.server.errors import BodyTimeoutError, BodyTooLargeError, ClientGoneError
from esmkit.server.jobs.errors import DiskError
from esmkit.server.jobs.folder import UPLOAD_S
from esmkit.types import Failure, Record

InputFormat = Literal["fasta", "csv", "tsv", "jsonl"]
SHOWN_AS = "input"
"""What messages call the file, whose place on the server is nobody's business."""
MAX_LINE_BYTES = 1 << 20
_PIECE = 1 << 20
_PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\x00")


@dataclass(frozen=True, slots=True)
class Counts:
    """What an input holds."""

    records: int
    residues: int


async def receive(request: Request, path: Path, *, max_bytes: int, timeout_s: float) -> str:
    """Writes the body of a request into a file; returns its SHA-256.

    Args:
        request: its body has not been read.
        path: of the file.
        max_bytes: bound on the body.
        timeout_s: how long the client may send nothing.

    Raises:
        BodyTooLargeError: it is larger.
        BodyTimeoutError: the client was too slow.
        DiskError: there is no room for it.
        ClientGoneError: the client went away.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    digest, size_bytes, stream = hashlib.sha256(), 0, request.stream()
    try:
        with path.open("wb") as file:
            async with asyncio.timeout(UPLOAD_S):
                while True:
                    async with asyncio.timeout(timeout_s):
                        chunk = await anext(stream, None)
                    if chunk is None:
                        return digest.hexdigest()
                    size_bytes += len(chunk)
                    if size_bytes > max_bytes:
                        raise _too_large(max_bytes)
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
    except TimeoutError:
        raise BodyTimeoutError(f"nothing of the input arrived for {timeout_s:g} s, or it took an hour") from None
    except ClientDisconnect:
        raise ClientGoneError from None
    except OSError as error:
        raise DiskError(error) from error


def unpack(raw: Path, path: Path, *, max_bytes: int) -> None:
    """Makes the input of what was received: inflated if it is compressed, and with lines that can be read.

    Raises:
        InvalidInputError: it is damaged, compressed twice, or no text.
        BodyTooLargeError: inflated, it is larger than `max_bytes`.
        DiskError: there is no room for it.
    """
    if not _is_packed(raw):
        _check_lines(raw)
        raw.replace(path)
        return
    try:
        with raw.open("rb") as file, xopen(file, "rb", threads=0) as inflated, path.open("wb") as plain:
            _copy(inflated, plain, max_bytes)
    except EsmkitError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise DiskError(error) from error
        raise _damaged(error) from None
    except Exception as error:  # each decompressor has error types of its own
        raise _damaged(error) from None
    raw.unlink()
    if _is_packed(path):
        raise InvalidInputError("the input is compressed twice; compress it once, or not at all", source=SHOWN_AS)
    _check_lines(path)


def detected(path: Path) -> InputFormat:
    """The format that the beginning of an input looks like."""
    with path.open("rb") as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b">"):
        return "fasta"
    if start.startswith(b"{"):
        return "jsonl"
    return "tsv" if b"\t" in start.partition(b"\n")[0] else "csv"


def records(
    path: Path, form: InputFormat, *, id_column: str | None = None, sequence_column: str | None = None
) -> Iterator[Record]:
    """The records of an input, streaming; no message names its place.

    Raises:
        InvalidInputError: it cannot be read as records.
        InvalidConfigError: columns are named for a format that has none.
    """
    try:
        found = open_records(path, format=form, id_column=id_column, sequence_column=sequence_column)
        for record in found:
            origin = record.origin
            yield record if origin is None else replace(record, origin=replace(origin, source=SHOWN_AS))
    except EsmkitError as error:
        error.message = error.message.replace(str(path), SHOWN_AS)
        error.fields |= {"source": SHOWN_AS} if "source" in error.fields else {}
        error.args = (error.message,)
        raise


def accepted(found: Iterable[Record], plan: Plan, residues: ResiduePolicy, length: LengthPolicy) -> Iterator[Record]:
    """The records as they came, as long as all of them can be computed and have an id of their own.

    Raises:
        EsmkitError: names the first that cannot, its line and position.
    """
    taken = TakenIn(plan, residues, length, chunk_tokens=0, stop_at_failure=True)
    for record in found:
        chunk = Chunk()
        taken.admit(record, chunk)
        if isinstance(failure := chunk.entries[0], Failure):
            raise failure.error
        yield record


def count(found: Iterable[Record | Failure]) -> Counts:
    """How many records and residues there are.

    Raises:
        EsmkitError: see `records`.
    """
    num_records = total = 0
    for record in found:
        num_records += 1
        total += num_residues(record.sequence) if isinstance(record, Record) else 0
    return Counts(num_records, total)


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6).startswith(_PACKED)


def _copy(inflated: BinaryIO, plain: BinaryIO, max_bytes: int) -> None:
    size_bytes = 0
    while piece := inflated.read(_PIECE):
        size_bytes += len(piece)
        if size_bytes > max_bytes:
            raise _too_large(max_bytes)
        plain.write(piece)


def _check_lines(path: Path) -> None:
    """Refuses what a reader would have to hold in memory as one line."""
    length = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            first, *others = piece.replace(b"\r", b"\n").split(b"\n")
            length += len(first)
            if max(length, *map(len, others), 0) > MAX_LINE_BYTES:
                raise InvalidInputError(
                    f"the input has a line of more than {MAX_LINE_BYTES} bytes; send FASTA, CSV, TSV or JSON lines",
                    source=SHOWN_AS,
                )
            length = len(others[-1]) if others else length


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the input is larger than {max_bytes} bytes; send it as several jobs")


def _damaged(error: Exception) -> InvalidInputError:
    return InvalidInputError(f"the input is compressed and damaged: {error}", source=SHOWN_AS)
