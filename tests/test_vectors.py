"""Claims about pooled embeddings that are kept on disk."""

from pathlib import Path

import numpy as np
import pytest

import esmkit
from esmkit.applications.vectors import VectorCache, vectors
from esmkit.batching import LengthPolicy
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError, InvalidSequenceError
from esmkit.inputs import from_sequences
from esmkit.types import Record

SEQUENCES = ["MKTAYIAKQR", "GSHMLEDPAA", "MKTAYIAKQR", "WWW"]


class Counter:
    """A watcher."""

    def __init__(self) -> None:
        self.seen_tokens = self.seen_records = 0

    def tokens(self, done: int) -> None:
        self.seen_tokens += done

    def record(self, length: int) -> None:
        self.seen_records += 1


@pytest.fixture(scope="module")
def model() -> Model:
    return esmkit.load()


def records(sequences: list[str]) -> list[Record]:
    return list(from_sequences(sequences))


@pytest.mark.parametrize("pooling", ["mean", "max", "bos"])
def test_vectors_are_the_embeddings_of_the_layers_in_the_order_asked(model: Model, pooling: str) -> None:
    found = vectors(model, records(SEQUENCES), layers=[-1, 0], pooling=pooling)
    for at, layer in enumerate((-1, 0)):
        expected = np.stack([model.embed(sequence, pool=pooling, layers=layer) for sequence in SEQUENCES])
        np.testing.assert_allclose(found[:, at], expected, atol=1e-5)


def test_a_second_call_computes_nothing_and_gives_the_same_bits(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = vectors(model, records(SEQUENCES), layers=[1, 2], cache=VectorCache(tmp_path))
    monkeypatch.setattr(type(model.engine), "run", lambda *args, **options: pytest.fail("computed again"))
    watcher = Counter()
    again = vectors(model, records(SEQUENCES[::-1]), layers=[2], cache=VectorCache(tmp_path), watcher=watcher)
    np.testing.assert_array_equal(again[::-1, 0], first[:, 1])
    assert (watcher.seen_records, watcher.seen_tokens) == (3, 29)


def test_another_pooling_layer_or_policy_is_computed(model: Model, tmp_path: Path) -> None:
    cache = VectorCache(tmp_path)
    long, short = "MKTAYIAKQR", "GSHM"
    vectors(model, records([long, short]), cache=cache)
    assert not np.array_equal(
        vectors(model, records([long]), layers=[0], cache=cache), vectors(model, records([long]), cache=cache)
    )
    assert not np.array_equal(
        vectors(model, records([long]), pooling="max", cache=cache), vectors(model, records([long]), cache=cache)
    )
    cut = Model(model.engine, length=LengthPolicy("truncate", 4))
    shortened = vectors(cut, records([long, short]), cache=cache)
    np.testing.assert_allclose(shortened[0, 0], model.embed(long[:4]), atol=1e-5)
    np.testing.assert_allclose(shortened[1, 0], model.embed(short), atol=1e-5)


def test_a_killed_run_keeps_what_it_had(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esmkit.applications.vectors.AT_ONCE", 1)
    with pytest.raises(InvalidSequenceError, match="seq3"):
        vectors(model, records(["MKTAY", "GSHML", "MK1"]), cache=VectorCache(tmp_path))
    watcher = Counter()
    ran: list[int] = []
    run = type(model.engine).run
    monkeypatch.setattr(
        type(model.engine), "run", lambda self, given, *rest, **more: ran.append(1) or run(self, given, *rest, **more)
    )
    vectors(model, records(["MKTAY", "GSHML", "MKV"]), cache=VectorCache(tmp_path), watcher=watcher)
    assert len(ran) == 1
    assert watcher.seen_records == 3


def test_a_file_that_is_no_cache_is_named(model: Model, tmp_path: Path) -> None:
    vectors(model, records(["MKT"]), cache=VectorCache(tmp_path))
    (path,) = tmp_path.glob("*.sqlite")
    path.write_bytes(b"no database at all, but long enough to be read as one")
    with pytest.raises(InvalidConfigError, match="delete this file"):
        vectors(model, records(["MKT"]), cache=VectorCache(tmp_path))


def test_no_proteins_give_an_empty_table(model: Model) -> None:
    assert vectors(model, []).shape == (0, 1, model.width)
