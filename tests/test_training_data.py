"""What a training run sees: every sequence once an epoch, a function of seed, epoch and number, 15 % of it hidden."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from esmkit.alphabet import CLS_ID, EOS_ID, MASK_ID, STANDARD, STANDARD_IDS, ResiduePolicy
from esmkit.errors import InvalidRecordError, InvalidSequenceError
from esmkit.training.corpus import Corpus
from esmkit.training.masking import MaskedBatch, mask
from esmkit.training.start import initialised
from esmkit.training.stream import Stream
from esmkit.training.validation import Validation
from esmkit.types import ModelShape, Record, TokenBatch
from tests.cli_calls import write_fasta

GENERATOR = np.random.default_rng(7)
SEQUENCES = ["".join(GENERATOR.choice([*STANDARD], size)) for size in GENERATOR.integers(1, 120, 80)]


def corpus(sequences: list[str] = SEQUENCES) -> Corpus:
    return Corpus.of(Record(number, f"s{number}", sequence) for number, sequence in enumerate(sequences))


def unmasked(batch: MaskedBatch) -> np.ndarray:
    tokens = batch.tokens.copy()
    tokens[batch.chosen] = batch.targets
    return tokens


def epoch_of(stream: Stream, epoch: int) -> list[MaskedBatch]:
    return [batch for batch, _ in islice(stream.batches(epoch), len(stream.plan(epoch).ends))]


def rows_of(batch: MaskedBatch) -> list[bytes]:
    tokens = unmasked(batch)
    return [tokens[start:stop].tobytes() for start, stop in pairwise(batch.bounds)]


def test_several_files_are_one_corpus(tmp_path: Path) -> None:
    first = write_fasta(tmp_path / "a.fasta", [("x", "MKT"), ("y", "a")])
    second = write_fasta(tmp_path / "b.fasta", [("x", "WW*")])
    read = Corpus.read([str(first), str(second)], ResiduePolicy(lowercase="upper", strip_stop=True))
    assert read.lengths.tolist() == [3, 1, 2]
    assert read.ids(2).tolist() == [CLS_ID, 22, 22, EOS_ID]
    assert read.sha256() != Corpus.read([str(second), str(first)], ResiduePolicy("upper", strip_stop=True)).sha256()


def test_a_record_that_cannot_be_trained_on_is_named(tmp_path: Path) -> None:
    masked = write_fasta(tmp_path / "masked.fasta", [("ok", "MKT"), ("hidden", "M<mask>T")])
    with pytest.raises(InvalidRecordError, match="'hidden' holds <mask>"):
        Corpus.read([str(masked)])
    odd = write_fasta(tmp_path / "odd.fasta", [("odd", "MK1T")])
    with pytest.raises(InvalidSequenceError, match=r"'odd'.*position 3"):
        Corpus.read([str(odd)])


def test_an_epoch_holds_every_sequence_once_within_the_token_budget() -> None:
    stream = Stream(corpus(), crop=1000, token_budget=400, seed=3)
    batches = epoch_of(stream, 0)
    whole = sorted(corpus().ids(number).astype(np.int64).tobytes() for number in range(len(SEQUENCES)))
    assert sorted(row for batch in batches for row in rows_of(batch)) == whole
    assert max(len(batch.tokens) for batch in batches) <= 400
    assert np.mean([len(batch.tokens) for batch in batches[:-1]]) > 0.8 * 400


def test_long_sequences_give_another_stretch_each_epoch() -> None:
    sequence = "".join(GENERATOR.choice([*STANDARD], 500))
    stream = Stream(corpus([sequence]), crop=50, token_budget=400, seed=0)
    whole = corpus([sequence]).ids(0)[1:-1].astype(np.int64).tobytes()
    starts = set()
    for epoch in range(20):
        (batch,) = epoch_of(stream, epoch)
        tokens = unmasked(batch)
        assert (tokens[0], tokens[-1], len(tokens)) == (CLS_ID, EOS_ID, 52)
        starts.add(whole.index(tokens[1:-1].tobytes()))
    assert len(starts) > 10


def test_batches_follow_from_seed_epoch_and_number_alone() -> None:
    stream = Stream(corpus(), crop=30, token_budget=300, seed=3)
    run = list(islice(stream.batches(), 25))
    for number, (_, place) in enumerate(run[:-1]):
        again, after = next(stream.batches(place.epoch, place.batch))
        expected, expected_after = run[number + 1]
        assert (again.tokens == expected.tokens).all()
        assert (again.chosen == expected.chosen).all()
        assert after == expected_after
    assert run[-1][1].epoch >= 1
    other = next(Stream(corpus(), crop=30, token_budget=300, seed=4).batches())[0]
    assert other.bounds != run[0][0].bounds or (other.tokens != run[0][0].tokens).any()
    first, second = epoch_of(stream, 0), epoch_of(stream, 1)
    assert [rows_of(batch) for batch in first] != [rows_of(batch) for batch in second]


def test_fifteen_percent_are_chosen_of_every_row_and_hidden_80_10_10() -> None:
    lengths = np.array([400] * 200 + [3] * 50, dtype=np.int32)
    residues = np.random.default_rng(0).integers(STANDARD_IDS.start, STANDARD_IDS.stop, lengths.sum())
    bounds = np.concatenate(([0], lengths.cumsum())).astype(np.int32)
    residues[bounds[:-1]], residues[bounds[1:] - 1] = CLS_ID, EOS_ID
    batch = TokenBatch(residues, lengths, bounds)
    hidden = mask(batch, np.random.default_rng(1))
    assert not np.isin(hidden.targets, [CLS_ID, EOS_ID]).any()
    per_row = np.histogram(hidden.chosen, bounds)[0]
    assert set(per_row[:200].tolist()) == {59, 60}
    assert per_row[:200].mean() == pytest.approx(0.15 * 398, abs=0.15)
    assert set(per_row[200:].tolist()) == {1}
    seen = hidden.tokens[hidden.chosen]
    kept, masked = (seen == hidden.targets).mean(), (seen == MASK_ID).mean()
    assert masked == pytest.approx(0.8, abs=0.015)
    assert kept == pytest.approx(0.1 + 0.1 / 20, abs=0.01)
    changed = np.flatnonzero(hidden.tokens != batch.tokens)
    assert np.isin(changed, hidden.chosen).all()
    replaced = seen[(seen != MASK_ID) & (seen != hidden.targets)]
    assert set(replaced.tolist()) == set(range(STANDARD_IDS.start, STANDARD_IDS.stop))


def test_validation_hides_the_same_residues_every_time_and_all_of_them() -> None:
    validation = Validation(corpus(), crop=40)
    first, second = list(validation.batches()), list(validation.batches())
    assert sum(len(batch.bounds) - 1 for batch in first) == len(SEQUENCES)
    for one, other in zip(first, second, strict=True):
        assert (one.tokens[one.chosen] == MASK_ID).all()
        assert (one.tokens == other.tokens).all()
        assert (one.chosen == other.chosen).all()


def test_perplexity_of_a_model_that_knows_nothing_is_the_number_of_tokens() -> None:
    module = initialised(ModelShape(1, 16, 2), seed=0, device=torch.device("cpu"))
    module.get_parameter("embedding.weight").data.zero_()  # it is the decoder, too
    score = Validation(corpus(), crop=40).score(module, head_dim=8)
    assert score.perplexity == pytest.approx(33, rel=1e-5)
    assert score.residues == sum(len(batch.chosen) for batch in Validation(corpus(), crop=40).batches())
