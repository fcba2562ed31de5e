"""Protein variants: how they are written, and what they make of a wild type.

Positions are 1-based in the numbering of whoever wrote the variant, which is the place in the wild type plus an offset;
indices are 0-based in the wild type. The notation is that of ProteinGym for substitutions, A24G, joined by `:`, and
that of HGVS for the rest, in one-letter code: K23del, K23_V25del, K23_L24insRS, K23_V25delinsW.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from esmkit.alphabet import STANDARD
from esmkit.errors import InvalidSequenceError, InvalidVariantError
from esmkit.types import Column, IntArray, Origin, Record

AMINO_ACIDS = "".join(sorted(STANDARD))
"""The 20 in the order of the alphabet, which is the order of a scan."""
JOIN = ":"
WILD_TYPE_NAMES = ("WT", "wt", "_wt", "wild_type")
_NO_AMINO_ACIDS = str.maketrans("", "", STANDARD)
_COLUMN = np.zeros(256, dtype=np.int64)
_COLUMN[np.frombuffer(STANDARD.encode(), dtype=np.uint8)] = np.arange(len(STANDARD))
_SUBSTITUTION = re.compile(r"(\D)([0-9]{1,9})(\D)")
_DIGIT = re.compile(r"\d")
_INDEL = re.compile(r"(\D)([0-9]{1,9})(?:_(\D)([0-9]{1,9}))?(?:(del)|(del)?ins(\D+))")


@dataclass(frozen=True, slots=True)
class Variant(Record):
    """A record that knows its wild type; `id` is how it was written, `sequence` what it makes of the wild type.

    Attributes:
        wild_type: the sequence it is compared with.
        shown: what else a row of results says about it, by column.
    """

    wild_type: str = ""
    shown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edit:
    """Residues `start` to `stop` (0-based, half-open) of the wild type become `inserted`."""

    start: int
    stop: int
    inserted: str


def parse(text: str, wild_type: str, *, offset: int = 0, origin: Origin | None = None) -> str:
    """The sequence that a variant makes of a wild type.

    Args:
        text: edits joined by `:`, in any order, a whole sequence, or one of `WILD_TYPE_NAMES`.
        wild_type: residues; see `check_wild_type`.
        offset: what the numbering of the variant adds to the place in the wild type: 23 if its first residue is 24.
        origin: where the variant was read, for errors.

    Raises:
        InvalidVariantError: names the row, what is wrong with the variant, and what to do.

    Example:
        >>> parse("K2R:T4_A5insGG", "MKTTAY"), parse("T26del", "MKTTAY", offset=23), parse("MKW", "MKTTAY")
        ('MRTTGGAY', 'MKTAY', 'MKW')
    """
    reader = _Reader(text, wild_type, offset, origin)
    if not text:
        raise reader.refusal("is empty; write for example A24G, A24G:K30R, K23del, or a whole sequence")
    if text in WILD_TYPE_NAMES:
        return wild_type
    if not _DIGIT.search(text):
        return reader.whole_sequence()
    return _apply([reader.edit(part) for part in text.removeprefix("p.").split(JOIN)], reader)


@dataclass(frozen=True, slots=True)
class _Reader:
    """One variant being read."""

    text: str
    wild_type: str
    offset: int
    origin: Origin | None

    def edit(self, part: str) -> Edit:
        """One of the edits that `:` joins."""
        if match := _SUBSTITUTION.fullmatch(part):
            residue, position, mutant = match.groups()
            index = self.index_of(residue, position)
            return Edit(index, index + 1, self.checked(mutant, int(position)))
        if match := _INDEL.fullmatch(part):
            first, position, last, end, _, both, inserted = match.groups()
            start = self.index_of(first, position)
            stop = self.index_of(last, end) if end else start
            inserted = "".join(self.checked(letter, int(position)) for letter in inserted or "")
            if not inserted or both:
                if stop < start:
                    raise self.refusal(f"ends at {end}, before it starts at {position}", position=int(position))
                return Edit(start, stop + 1, inserted)
            if stop != start + 1:
                raise self.refusal("inserts between two neighbours: write K23_L24insRS", position=int(position))
            return Edit(stop, stop, inserted)
        raise self.refusal(
            f"cannot be read{f' at {part!r}' if part != self.text else ''}; write A24G, A24G:K30R, K23del, K23_V25del, "
            "K23_L24insRS or K23_V25delinsW, in one-letter code, or a whole sequence"
        )

    def index_of(self, residue: str, digits: str) -> int:
        """0-based place of a residue that the variant names."""
        position, length = int(digits), len(self.wild_type)
        index = position - 1 - self.offset
        if not 0 <= index < length:
            raise self.refusal(
                f"names position {position}, but positions run from {1 + self.offset} to {length + self.offset}; "
                "check the wild type and --offset",
                position=position,
            )
        if self.wild_type[index] != residue:
            raise self.refusal(
                f"says {residue} at position {position}, where the wild type has {self.wild_type[index]}; check the "
                "wild type and --offset",
                position=position,
                residue=residue,
            )
        return index

    def checked(self, letter: str, position: int) -> str:
        """A residue that the variant puts in."""
        if letter == "*":
            raise self.refusal(
                f"puts a stop at position {position}, which has no score; remove the row, or give what is left of "
                "the protein as a sequence",
                position=position,
                residue=letter,
            )
        if letter not in AMINO_ACIDS:
            raise self.refusal(
                f"puts {letter!r} at position {position}, which is none of the 20 amino acids {AMINO_ACIDS}",
                position=position,
                residue=letter,
            )
        return letter

    def whole_sequence(self) -> str:
        """The text as the sequence of the variant."""
        if self.text.translate(_NO_AMINO_ACIDS):
            for index, letter in enumerate(self.text):
                self.checked(letter, index + 1 + self.offset)
        return self.text

    def refusal(self, problem: str, *, position: int | None = None, residue: str | None = None) -> InvalidVariantError:
        """The error that names variant and row."""
        origin = self.origin
        place = f" ({origin.source}, line {origin.line})" if origin else ""
        shown = self.text if len(self.text) <= 40 else f"{self.text[:37]}..."
        return InvalidVariantError(
            f"variant {shown!r}{place} {problem}",
            variant=self.text,
            position=position,
            residue=residue,
            source=origin.source if origin else None,
            line=origin.line if origin else None,
        )


def _apply(edits: Iterable[Edit], reader: _Reader) -> str:
    """The wild type with all edits, whose order does not matter."""
    ordered = sorted(edits, key=lambda edit: (edit.start, edit.stop))
    for before, after in pairwise(ordered):
        if after.start < before.stop or (before.start, before.stop) == (after.start, after.stop):
            position = after.start + 1 + reader.offset
            raise reader.refusal(f"changes position {position} twice; name each position once", position=position)
    sequence = reader.wild_type
    for edit in reversed(ordered):
        sequence = sequence[: edit.start] + edit.inserted + sequence[edit.stop :]
    if not sequence:
        raise reader.refusal("deletes the whole protein")
    return sequence


def describe(wild_type: str, sequence: str, *, offset: int = 0) -> str:
    """A variant in writing: substitutions where the lengths are equal, otherwise one deletion and insertion.

    Example:
        >>> describe("MKTTAY", "MRTTAW"), describe("MKTTAY", "MKAY"), describe("MKTTAY", "MKTTGAY")
        ('K2R:Y6W', 'T3_T4del', 'T4_A5insG')
    """
    if sequence == wild_type:
        return WILD_TYPE_NAMES[0]
    if len(sequence) == len(wild_type):
        changed = (i for i, (a, b) in enumerate(zip(wild_type, sequence, strict=True)) if a != b)
        return JOIN.join(f"{wild_type[i]}{i + 1 + offset}{sequence[i]}" for i in changed)
    shorter = min(len(wild_type), len(sequence))
    start = next((i for i in range(shorter) if wild_type[i] != sequence[i]), shorter)
    end = next((i for i in range(shorter - start) if wild_type[-1 - i] != sequence[-1 - i]), shorter - start)
    stop, inserted = len(wild_type) - end, sequence[start : len(sequence) - end]

    def named(index: int) -> str:
        return f"{wild_type[index]}{index + 1 + offset}"

    if start < stop:
        span = named(start) if stop == start + 1 else f"{named(start)}_{named(stop - 1)}"
        return f"{span}delins{inserted}" if inserted else f"{span}del"
    if start == 0:
        return f"{named(0)}delins{inserted}{wild_type[0]}"
    if start == len(wild_type):
        return f"{named(start - 1)}delins{wild_type[-1]}{inserted}"
    return f"{named(start - 1)}_{named(start)}ins{inserted}"


def substitutions(wild_type: str, sequence: str) -> tuple[IntArray, IntArray, IntArray]:
    """Where two sequences of one length differ.

    Returns:
        Indices, and the columns (in the order of `alphabet.STANDARD`) of the old and of the new residues, int64.
    """
    old, new = (np.frombuffer(text.encode(), dtype=np.uint8) for text in (wild_type, sequence))
    at = np.flatnonzero(old != new)
    return at, _COLUMN[old[at]], _COLUMN[new[at]]


def columns_of(sequence: str) -> IntArray:
    """For each residue its column in the order of `alphabet.STANDARD`, int64."""
    return _COLUMN[np.frombuffer(sequence.encode(), dtype=np.uint8)]


SINGLE_COLUMNS = (
    Column("mutant", "str", ()),
    Column("position", "int", ()),
    Column("wild_type", "str", ()),
    Column("residue", "str", ()),
)
"""What `singles` show."""


def singles(wild_type: str, *, indices: Sequence[int] | None = None, offset: int = 0) -> Iterator[Variant]:
    """All single substitutions, position by position, in the order of `AMINO_ACIDS`.

    Example:
        >>> [variant.id for variant in singles("MK", indices=[1])][:3]
        ['K2A', 'K2C', 'K2D']
    """
    number = 0
    for index in range(len(wild_type)) if indices is None else indices:
        residue = wild_type[index]
        for letter in AMINO_ACIDS.replace(residue, ""):
            position, sequence = index + 1 + offset, f"{wild_type[:index]}{letter}{wild_type[index + 1 :]}"
            name = f"{residue}{position}{letter}"
            shown = {"mutant": name, "position": position, "wild_type": residue, "residue": letter}
            yield Variant(number, name, sequence, wild_type=wild_type, shown=shown)
            number += 1


def check_wild_type(sequence: str, *, offset: int = 0, name: str = "the wild type") -> str:
    """The wild type, if it consists of the 20 amino acids.

    Raises:
        InvalidSequenceError: names the first residue that is none of them.
    """
    check_protein(Record(0, name, sequence), offset=offset, name=name)
    return sequence


def check_protein(record: Record, *, offset: int = 0, name: str | None = None) -> Record:
    """The record of a wild type, if it consists of the 20 amino acids.

    Args:
        record: the protein.
        offset: what the numbering adds to places in it.
        name: what an error calls it; by default its id.

    Raises:
        InvalidSequenceError: names record, file and line, and the first residue that is none of them.
    """
    sequence, who = record.sequence, name or f"record {record.id!r}"
    others = sequence.translate(_NO_AMINO_ACIDS)
    index = sequence.index(others[0]) if others else 0
    where: dict[str, Any] = {}
    if record.origin is not None:
        where = {"source": record.origin.source, "line": record.origin.line_of(index)}
        who += f" ({where['source']}, line {where['line']})"
    if not sequence:
        raise InvalidSequenceError(f"{who} is empty; give at least one residue", record_id=record.id, **where)
    if others:
        position = index + 1 + offset
        raise InvalidSequenceError(
            f"{who}, position {position}: found {others[0]!r}, which has no probability to compare with; mutation "
            "effects need a wild type of the 20 amino acids, in upper case",
            record_id=record.id,
            position=position,
            residue=others[0],
            **where,
        )
    return record
