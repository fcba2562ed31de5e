"""The sequences: real proteins with their real lengths, and pieces of them for many or equal ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from esmkit.inputs import open_records
from esmkit.types import Record

PATH = Path(__file__).parent / "data" / "proteins.fasta"
_STRIDE = 10_007  # a prime, so that cuts start everywhere


def proteins() -> list[Record]:
    """All of benches/data/proteins.fasta."""
    return list(open_records(PATH))


def representative(records: Sequence[Record], count: int) -> list[Record]:
    """So many records with the length distribution of all: the middle ones of `count` groups of like length.

    Returns:
        In the order of `records`, numbered anew.
    """
    by_length = sorted(range(len(records)), key=lambda index: len(records[index].sequence))
    chosen = sorted(by_length[int((group + 0.5) * len(records) / count)] for group in range(min(count, len(records))))
    return [Record(index, records[old].id, records[old].sequence) for index, old in enumerate(chosen)]


def cuts(records: Iterable[Record], lengths: Iterable[int]) -> Iterator[Record]:
    """Pieces of all proteins joined into one ring, one of each length, each from another place."""
    ring = "".join(record.sequence for record in records)
    laps = ring * 2
    for index, length in enumerate(lengths):
        start = index * _STRIDE % len(ring)
        yield Record(index, f"cut{index + 1}", laps[start : start + length])


def many(records: Sequence[Record], residues: int) -> Iterator[Record]:
    """Different sequences with the lengths of `records`, over and over, until there are so many residues."""
    lengths = [len(record.sequence) for record in records]
    repeats = residues // sum(lengths) + 1
    total = 0
    for record in cuts(records, (length for _ in range(repeats) for length in lengths)):
        yield record
        total += len(record.sequence)
        if total >= residues:
            return


def short(records: Iterable[Record], count: int) -> Iterator[Record]:
    """So many pieces of 30 to 60 residues."""
    return cuts(records, (30 + number * 7 % 31 for number in range(count)))


def write_fasta(records: Iterable[Record], path: Path) -> Path:
    """One line per sequence."""
    stream = iter(records)
    with path.open("w", encoding="ascii") as file:
        while lines := [f">{record.id}\n{record.sequence}\n" for record in islice(stream, 10_000)]:
            file.writelines(lines)
    return path
