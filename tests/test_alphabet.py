"""Tokenize and clean: exact ids, exact places of offences."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmkit import alphabet
from esmkit.alphabet import ResiduePolicy, clean, num_residues, residues, tokenize
from esmkit.errors import InvalidRecordError, InvalidSequenceError
from esmkit.types import Origin, Record

RESIDUES = st.lists(st.sampled_from([*alphabet.ALLOWED, alphabet.MASK]), min_size=1)


def naive_tokenize(sequence: str) -> list[int]:
    parts = re.findall(r"<mask>|.", sequence)
    return [alphabet.CLS_ID, *(alphabet.ID_OF[part] for part in parts), alphabet.EOS_ID]


@given(RESIDUES)
def test_tokenize_equals_naive_lookup(parts: list[str]) -> None:
    sequence = "".join(parts)
    assert tokenize(sequence).tolist() == naive_tokenize(sequence)
    assert residues(sequence) == parts
    assert num_residues(sequence) == len(parts)


@given(st.lists(RESIDUES, min_size=1, max_size=5))
def test_tokenize_many_is_each_end_to_end(many: list[list[str]]) -> None:
    sequences = ["".join(parts) for parts in many]
    assert tokenize(sequences).tolist() == [token for sequence in sequences for token in naive_tokenize(sequence)]


def test_there_are_33_tokens_in_the_order_of_the_paper() -> None:
    assert len(alphabet.TOKENS) == 33
    assert alphabet.TOKENS[alphabet.STANDARD_IDS] == tuple(alphabet.STANDARD)
    assert (alphabet.CLS_ID, alphabet.PAD_ID, alphabet.EOS_ID, alphabet.MASK_ID) == (0, 1, 2, 32)


@given(RESIDUES, st.sampled_from(list("J*1 \t\njé\x00\x01\x02\x03b#<>")), st.integers(0, 30))
def test_the_first_offence_is_named_by_position_and_line(parts: list[str], bad: str, at: int) -> None:
    at = min(at, len(parts))
    sequence = "".join([*parts[:at], bad, *parts[at:]])
    width = 7
    lines = tuple(len(sequence[start : start + width]) for start in range(0, len(sequence), width))
    record = Record(0, "p1", sequence, origin=Origin("in.fasta", 10, lines))
    with pytest.raises(InvalidSequenceError) as caught:
        clean(record)
    error = caught.value
    assert (error.record_id, error.position, error.residue) == ("p1", at + 1, bad)
    offset = sum(map(len, parts[:at]))
    assert (error.source, error.line) == ("in.fasta", 11 + offset // width)
    assert "p1" in error.message
    assert f"position {at + 1}" in error.message


@pytest.mark.parametrize("letter", ["J", "*", "7", " ", "a"])
def test_every_refused_letter_comes_with_advice(letter: str) -> None:
    with pytest.raises(InvalidSequenceError) as caught:
        clean(Record(0, "p1", f"MK{letter}T"))
    assert len(caught.value.message.split(";")[1]) > 20


@given(RESIDUES)
def test_lowercase_upper_accepts_any_case(parts: list[str]) -> None:
    sequence = "".join(parts)
    cleaned = clean(Record(0, "p1", sequence.lower()), ResiduePolicy(lowercase="upper"))
    assert cleaned.sequence == sequence


def test_only_a_final_stop_is_stripped_and_only_when_asked() -> None:
    policy = ResiduePolicy(strip_stop=True)
    assert clean(Record(0, "p1", "MKT*"), policy).sequence == "MKT"
    for sequence, given_policy in (("MKT*", ResiduePolicy()), ("MK*T", policy), ("MKT**", policy)):
        with pytest.raises(InvalidSequenceError, match=r"\*"):
            clean(Record(0, "p1", sequence), given_policy)


@pytest.mark.parametrize("sequence", ["", "*"])
def test_an_empty_sequence_is_refused(sequence: str) -> None:
    with pytest.raises(InvalidRecordError, match="p1"):
        clean(Record(0, "p1", sequence), ResiduePolicy(strip_stop=True))


def test_a_clean_record_is_passed_on_as_it_is() -> None:
    record = Record(3, "p1", "MKT<mask>X-.")
    assert clean(record) is record


def test_tokenize_refuses_what_clean_would_have_refused() -> None:
    with pytest.raises(ValueError, match="clean"):
        tokenize("MKJ")
