"""All sequences of a training set in memory: one byte per residue, read once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from esmkit import alphabet
from esmkit.alphabet import ResiduePolicy, clean, tokenize
from esmkit.errors import InvalidRecordError
from esmkit.inputs import open_records
from esmkit.types import Record

_AT_ONCE = 4096
"""Sequences tokenised in one go."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Token ids of many sequences end to end.

    Attributes:
        tokens: uint8 [T], each sequence between cls and eos.
        starts: int64 [n + 1], where each sequence starts, then T.
    """

    tokens: np.ndarray[Any, np.dtype[np.uint8]]
    starts: np.ndarray[Any, np.dtype[np.int64]]

    @classmethod
    def read(cls, sources: Sequence[str], residues: ResiduePolicy | None = None) -> Corpus:
        """The records of one or several files, in any input format.

        Args:
            sources: paths, or `-` for standard input.
            residues: what may be repaired in sequences.

        Raises:
            InvalidInputError: a file cannot be read.
            InvalidRecordError, InvalidSequenceError: a record is empty, masked, or holds what is no residue.
        """
        return cls.of(chain.from_iterable(map(open_records, sources)), residues)

    @classmethod
    def of(cls, records: Iterable[Record], residues: ResiduePolicy | None = None) -> Corpus:
        """The sequences of records.

        Example:
            >>> Corpus.of([Record(0, "a", "MK"), Record(1, "b", "L")]).tokens.tolist()
            [0, 20, 15, 2, 0, 4, 2]
        """
        lengths: list[int] = [0]
        sequences = _sequences(records, residues, lengths)
        parts = [tokenize(part) for part in iter(lambda: list(islice(sequences, _AT_ONCE)), [])]
        return cls(np.concatenate(parts), np.cumsum(lengths, dtype=np.int64))

    @property
    def lengths(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Residues per sequence, int64 [n]."""
        return np.diff(self.starts) - 2

    def ids(self, number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Token ids of one sequence with cls and eos, a view."""
        return self.tokens[self.starts[number] : self.starts[number + 1]]

    def sha256(self) -> str:
        """Tells this data from any other."""
        digest = hashlib.sha256(self.starts.tobytes())
        digest.update(self.tokens.data)
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.starts) - 1


def _sequences(records: Iterable[Record], residues: ResiduePolicy | None, lengths: list[int]) -> Iterator[str]:
    """Clean sequences; the tokens of each, cls and eos included, are appended to `lengths`."""
    for record in records:
        sequence = clean(record, residues).sequence
        if alphabet.MASK in sequence:
            where = {"source": record.origin.source, "line": record.origin.line} if record.origin else {}
            raise InvalidRecordError(
                f"record {record.id!r} holds {alphabet.MASK}; training hides residues itself and must know what they "
                "are: give the whole sequence, or X where a residue is unknown",
                record_id=record.id,
                **where,  # type: ignore[arg-type]
            )
        lengths.append(len(sequence) + 2)
        yield sequence
