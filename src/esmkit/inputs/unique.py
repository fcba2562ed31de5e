"""Every record needs an id of its own: checked on the fly for millions of records, in about 9 bytes for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from mmap import mmap
from typing import Any, Literal

import numpy as np

from esmkit.errors import EsmkitError, InvalidRecordError
from esmkit.types import Failure, Record

_CHUNK_RECORDS = 512
_SHORT_RUN = 1 << 17
"""Digests that are always merged: a megabyte."""
_Digests = np.ndarray[Any, np.dtype[np.int64]]


def check_unique(
    records: Iterable[Record], *, on_error: Literal["stop", "skip"] = "stop"
) -> Iterator[Record | Failure]:
    """The records in order, as long as each has an id that no record before it had.

    Only a 64-bit hash of each id is kept (SipHash with a key drawn anew by every process), so among n different ids
    one is taken for a duplicate with probability n² / 2⁶⁵: 3e-8 for a million records, 3e-6 for ten million.

    Args:
        records: any number of them; they are taken in chunks that start at one record and grow to a few hundred.
        on_error: `stop` raises at the first bad id; `skip` puts a Failure in the place of the record.

    Raises:
        InvalidRecordError: under `stop`; all records before the bad one have been yielded.

    Example:
        >>> list(check_unique([Record(0, "a", "MK"), Record(1, "a", "ML")], on_error="skip"))[1].error.code
        'user.invalid_record'
    """
    runs: list[_Digests] = []
    for chunk in _chunks(records):
        for record, is_new in zip(chunk, _are_new(chunk, runs), strict=True):
            if is_new and record.id:
                yield record
                continue
            error = _error(record)
            if on_error == "stop":
                raise error
            yield Failure(record.index, record.id, error)


def _chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Lists that grow from one record; what was read before an error of the reader comes before that error."""
    chunk: list[Record] = []
    size = 1
    try:
        for record in records:
            chunk.append(record)
            if len(chunk) == size:
                yield chunk
                chunk, size = [], min(2 * size, _CHUNK_RECORDS)
    except EsmkitError:
        yield chunk
        raise
    yield chunk


def _are_new(chunk: list[Record], runs: list[_Digests]) -> list[bool]:
    """For each record of the chunk, whether its id is new; `runs` learns the new ones."""
    digests = np.fromiter((hash(record.id) for record in chunk), np.int64, len(chunk))
    distinct, first = np.unique(digests, return_index=True)
    is_unseen = np.ones(len(distinct), dtype=bool)
    for run in runs:
        is_unseen &= run.take(np.searchsorted(run, distinct), mode="clip") != distinct
    _add(distinct[is_unseen], runs)
    is_new = np.zeros(len(chunk), dtype=bool)
    is_new[first[is_unseen]] = True
    return is_new.tolist()


def _add(digests: _Digests, runs: list[_Digests]) -> None:
    """Keeps the runs sorted, and a few dozen at most, without ever copying more than an eighth of them at once.

    Runs of like length are merged, so that every id is merged O(log n) times, up to a sixteenth of all.
    """
    longest = max(_SHORT_RUN, sum(map(len, runs)) // 16)
    while runs and len(runs[-1]) <= 2 * len(digests) and len(runs[-1]) + len(digests) <= longest:
        older = runs.pop()
        merged = _room(len(older) + len(digests))
        np.concatenate([older, digests], out=merged)
        merged.sort()
        digests = merged
    if len(digests):
        runs.append(digests)


def _room(length: int) -> _Digests:
    """Memory that goes back to the system: in the heap, every run that is merged would leave a hole."""
    return np.frombuffer(mmap(-1, 8 * length), dtype=np.int64)


def _error(record: Record) -> InvalidRecordError:
    origin = record.origin
    place = f" ({origin.source}, line {origin.line})" if origin else f" (number {record.index + 1})"
    reason = "has an id that an earlier record has" if record.id else "has no id"
    return InvalidRecordError(
        f"record {record.id!r}{place} {reason}; give every record an id of its own",
        record_id=record.id,
        source=origin.source if origin else None,
        line=origin.line if origin else None,
    )
