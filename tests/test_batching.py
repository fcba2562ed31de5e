"""Packing, windows and rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmkit import alphabet
from esmkit.batching import LengthPolicy, collate, masked_row, pack, window_rows, windows
from esmkit.errors import InvalidConfigError, SequenceTooLongError
from esmkit.types import Origin, Record


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 400))
def test_pack_takes_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = pack(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[index] for index in batch) <= budget
    flat = [lengths[index] for batch in batches for index in batch]
    assert flat == sorted(lengths, reverse=True)


@given(st.integers(1, 5000), st.integers(4, 600))
def test_windows_cover_every_residue_and_overlap(length: int, limit: int) -> None:
    policy = LengthPolicy("window", limit)
    spans = windows(Record(0, "a", ""), length, policy)
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    assert all(stop - start == min(limit, length) for start, stop in spans)
    for (_, before), (start, _) in pairwise(spans):
        assert before - start >= policy.overlap


@given(st.integers(1, 300), st.integers(4, 60))
def test_window_weights_add_up_to_one_at_every_residue(length: int, limit: int) -> None:
    ids = alphabet.tokenize("A" * length)
    total = np.zeros(length)
    for row in window_rows(ids, windows(Record(0, "a", ""), length, LengthPolicy("window", limit))):
        weights = np.ones(row.num_residues) if row.weights is None else row.weights
        total[row.start : row.start + row.num_residues] += weights
        assert row.tokens[0] == alphabet.CLS_ID
        assert row.tokens[-1] == alphabet.EOS_ID
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_truncate_keeps_the_first_residues() -> None:
    assert windows(Record(0, "a", ""), 10, LengthPolicy("truncate", 6)) == [(0, 6)]


def test_too_long_names_record_line_length_and_limit() -> None:
    record = Record(4, "titin", "M", origin=Origin("in.fasta", 12))
    with pytest.raises(SequenceTooLongError) as caught:
        windows(record, 35_000, LengthPolicy())
    fields = caught.value.to_dict()
    assert fields | {"message": ""} == {
        "code": "user.sequence_too_long", "message": "", "record_id": "titin", "length": 35_000, "limit": 2048,
        "source": "in.fasta", "line": 12,
    }  # fmt: skip


@pytest.mark.parametrize("arguments", [("cut", 10), ("error", 3)])
def test_a_wrong_length_policy_is_refused(arguments: tuple[str, int]) -> None:
    with pytest.raises(InvalidConfigError):
        LengthPolicy(*arguments)  # type: ignore[arg-type]


def test_masked_row_masks_one_residue_of_a_copy() -> None:
    (row,) = window_rows(alphabet.tokenize("MKT"), [(0, 3)])
    masked = masked_row(row, 1)
    assert masked.tokens.tolist() == alphabet.tokenize("M<mask>T").tolist()
    assert row.tokens.tolist() == alphabet.tokenize("MKT").tolist()
    assert masked.masked == 1


def test_collate_packs_end_to_end() -> None:
    rows = [window_rows(alphabet.tokenize(sequence), [(0, len(sequence))])[0] for sequence in ("MKT", "A")]
    batch = collate(rows)
    assert batch.tokens.tolist() == alphabet.tokenize(["MKT", "A"]).tolist()
    assert batch.cu_seqlens.tolist() == [0, 5, 8]
    assert batch.lengths.tolist() == [5, 3]
    assert batch.num_tokens == 8
