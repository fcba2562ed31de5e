"""Scores are what their definitions say, whatever is computed together, and in whatever order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch

from esmkit.alphabet import MASK_ID, STANDARD, STANDARD_IDS, tokenize
from esmkit.applications import mutations
from esmkit.applications.mutations import METHODS, Variant, scoring
from esmkit.batching import LengthPolicy
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError, InvalidSequenceError, InvalidVariantError, SequenceTooLongError
from esmkit.outputs import OutputOptions
from esmkit.types import Failure, Result
from tests.conftest import LoadTiny, randomize

WILD_TYPE = "MKTAYIAKQRQISFVKSHFSRQ"
SINGLES = [variant.id for variant in mutations.singles(WILD_TYPE)]
MIXED = ["A4G", "K2R:A4G", "Q22C", "M1W:Y5D:R21E", "K8A"]
INDELS = ["K2del", "T3_Y5del", "A4_Y5insGG", "I6_K8delinsW", "WT"]


@pytest.fixture(scope="module")
def reference(fair_esm: Any) -> Any:
    """log p over the 20 amino acids from fair-esm, one sequence at a time: float64 [L, 20]."""

    @torch.inference_mode()
    def log_probs(sequence: str, masked: int | None = None) -> np.ndarray:
        ids = torch.from_numpy(tokenize(sequence).astype(np.int64))[None].clone()
        if masked is not None:
            ids[0, 1 + masked] = MASK_ID
        logits = fair_esm(ids)["logits"][0, 1:-1, STANDARD_IDS].double()
        return logits.log_softmax(-1).numpy()

    return log_probs


def masked(reference: Any, sequence: str) -> np.ndarray:
    return np.stack([reference(sequence, at)[at] for at in range(len(sequence))])


def own(table: np.ndarray, sequence: str) -> np.ndarray:
    return table[np.arange(len(sequence)), [STANDARD.index(letter) for letter in sequence]]


def naive(reference: Any, method: str, variant: str) -> float:
    """The definition, written out."""
    mutant = mutations.parse(variant, WILD_TYPE)
    if method == "pseudo_log_likelihood":
        likelihoods = [own(masked(reference, each), each).sum() for each in (mutant, WILD_TYPE)]
        return likelihoods[0] - likelihoods[1]
    if method == "one_pass_pll":
        seen = [np.exp(own(reference(each), each)) for each in (mutant, WILD_TYPE)]
        estimates = [np.log(q / (1 + 20 * (1 - q))).sum() for q in seen]
        return estimates[0] - estimates[1]
    table = {
        "wt_marginal": lambda: reference(WILD_TYPE),
        "masked_marginal": lambda: masked(reference, WILD_TYPE),
        "mutant_marginal": lambda: reference(mutant),
    }[method]()
    pairs = zip(own(table, mutant), own(table, WILD_TYPE), strict=True)
    return sum(new - old for new, old in pairs)


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_is_its_definition_on_the_reference(tiny: Model, reference: Any, method: Any) -> None:
    variants = MIXED + (INDELS if METHODS[method].indels else ["WT"])
    found = mutations.score(tiny, WILD_TYPE, variants, method=method)
    expected = [naive(reference, method, variant) for variant in variants]
    assert found.variants == tuple(variants)
    assert len(expected) >= 6
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found.scores, expected, atol=1e-4)


def test_masked_marginal_scan_is_a_loop_over_single_masks(tiny: Model, reference: Any) -> None:
    table = masked(reference, WILD_TYPE)
    expected = table - own(table, WILD_TYPE)[:, None]
    found = mutations.scan(tiny, WILD_TYPE)
    assert found.method == "masked_marginal"
    assert found.scores.shape == (22, 20)
    np.testing.assert_allclose(found.scores, expected, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(found.probabilities, np.exp(table), atol=1e-5)


@pytest.mark.parametrize("method", list(METHODS))
def test_scan_is_the_score_of_all_singles(tiny: Model, method: Any) -> None:
    found = mutations.scan(tiny, WILD_TYPE[:9], method=method)
    singles = list(mutations.singles(WILD_TYPE[:9]))
    scores = mutations.score(tiny, WILD_TYPE[:9], [variant.id for variant in singles], method=method).scores
    assert len(scores) == 9 * 19
    for variant, score in zip(singles, scores, strict=True):
        at, letter = int(variant.id[1:-1]) - 1, variant.id[-1]
        assert found.scores[at, STANDARD.index(letter)] == pytest.approx(score, abs=1e-5)
    wild_type = own(found.scores, WILD_TYPE[:9])
    assert (wild_type == 0).all()


def test_positions_of_a_scan_are_lines_of_the_whole(tiny: Model) -> None:
    whole = mutations.scan(tiny, WILD_TYPE, offset=23)
    some = mutations.scan(tiny, WILD_TYPE, positions=[45, 25, 30], offset=23)
    assert some.positions.tolist() == [25, 30, 45]
    assert some.residues == "KAQ"
    np.testing.assert_allclose(some.scores, whole.scores[[1, 6, 21]], atol=1e-5)


def test_masked_rows_are_computed_once_for_all_variants(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    launch = tiny.engine.runner.launch
    monkeypatch.setattr(tiny.engine.runner, "launch", lambda some, *rest: rows.extend(some) or launch(some, *rest))
    monkeypatch.setattr(scoring, "CHUNK", 7)
    mutations.score(tiny, WILD_TYPE, ["A4G", "A4C", "K2R:A4D", "K2R", *SINGLES[:57]])
    assert sorted(row.masked for row in rows) == [0, 1, 2, 3]


@pytest.mark.parametrize("method", list(METHODS))
def test_order_and_company_change_nothing(tiny: Model, method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    variants = [*MIXED, *SINGLES[::40]]
    forward = mutations.score(tiny, WILD_TYPE, variants, method=method).scores
    monkeypatch.setattr(scoring, "CHUNK", 3)
    backward = mutations.score(tiny, WILD_TYPE, variants[::-1], method=method).scores
    assert len(forward) > 10
    np.testing.assert_allclose(backward[::-1], forward, atol=1e-5)


def test_whole_sequences_score_as_their_mutations_and_get_their_names(tiny: Model) -> None:
    sequences = [mutations.parse(text, WILD_TYPE) for text in MIXED]
    by_name = mutations.score(tiny, WILD_TYPE, MIXED)
    by_sequence = mutations.score(tiny, WILD_TYPE, sequences)
    assert by_sequence.variants == by_name.variants
    np.testing.assert_array_equal(by_sequence.scores, by_name.scores)


@pytest.fixture(scope="module")
def other(load_tiny: LoadTiny) -> Model:
    model = load_tiny()
    randomize(model.engine.loaded.module, seed=7)
    model.engine.provenance["weights_sha256"] = "other"
    return model


@pytest.mark.parametrize("method", list(METHODS))
def test_an_ensemble_is_the_mean_of_its_models(tiny: Model, other: Model, method: Any) -> None:
    each = [mutations.score(model, WILD_TYPE, MIXED, method=method).scores for model in (tiny, other)]
    both = mutations.score([tiny, other], WILD_TYPE, MIXED, method=method)
    assert np.abs(each[0] - each[1]).max() > 0.1
    np.testing.assert_allclose(both.by_model, each, atol=1e-5)
    np.testing.assert_allclose(both.scores, np.mean(each, axis=0), atol=1e-5)
    assert both.models == ("tiny_1", "tiny_2")


def test_a_model_twice_is_no_ensemble(tiny: Model) -> None:
    with pytest.raises(InvalidConfigError, match="each only once"):
        mutations.score([tiny, tiny], WILD_TYPE, ["A4G"])


def test_several_proteins_in_one_stream_keep_their_own_wild_types(tiny: Model) -> None:
    other = WILD_TYPE[5:]
    variants = [
        Variant(0, "A4G", mutations.parse("A4G", WILD_TYPE), wild_type=WILD_TYPE),
        Variant(1, "K3R", mutations.parse("K3R", other), wild_type=other),
        Variant(2, "A4C", mutations.parse("A4C", WILD_TYPE), wild_type=WILD_TYPE),
    ]
    found = [result.arrays["masked_marginal"] for result in results(tiny, variants)]
    first = mutations.score(tiny, WILD_TYPE, ["A4G", "A4C"]).scores
    second = mutations.score(tiny, other, ["K3R"]).scores
    np.testing.assert_allclose(found, [first[0], second[0], first[1]], atol=1e-5)


@pytest.mark.parametrize("method", ["masked_marginal", "wt_marginal", "one_pass_pll"])
def test_any_number_of_proteins_takes_bounded_memory(tiny: Model, method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "KEPT", 2)
    scorer, held, number = scoring.Scorer(tiny, METHODS[method]), [], count()
    for start in [*range(8), 7, 7]:
        protein = WILD_TYPE[start:]
        variants = [Variant(next(number), "x", protein[:-1] + letter, wild_type=protein) for letter in "AC"]
        scores = [item.arrays[method] for item in scorer.stream(variants, "stop") if isinstance(item, Result)]
        expected = mutations.score(tiny, protein, [variant.sequence for variant in variants], method=method).scores
        np.testing.assert_allclose(scores, expected, atol=1e-5)
        held.append(len(scorer.wild_types))
    assert max(held) == 3


def results(model: Model, variants: Any, method: Any = "masked_marginal") -> Iterator[Result]:
    for item in mutations.stream(model, variants, method):
        assert isinstance(item, Result)
        yield item


def test_marginals_refuse_variants_of_another_length_and_say_what_takes_them(tiny: Model) -> None:
    with pytest.raises(InvalidVariantError, match=r"'K2del' has 21 residues.*one_pass_pll"):
        mutations.score(tiny, WILD_TYPE, ["A4G", "K2del"])


@pytest.mark.parametrize("method", ["masked_marginal", "mutant_marginal", "one_pass_pll"])
def test_failures_pass_in_their_place(tiny: Model, method: Any) -> None:
    number = count()
    good = [Variant(next(number), text, mutations.parse(text, WILD_TYPE), wild_type=WILD_TYPE) for text in MIXED[:2]]
    bad = Failure(next(number), "bad", InvalidVariantError("no", variant="bad"))
    deletion = Variant(next(number), "K2del", mutations.parse("K2del", WILD_TYPE), wild_type=WILD_TYPE)
    items = list(mutations.stream(tiny, [*good, bad, deletion], method, on_error="skip"))
    assert [item.index for item in items] == [0, 1, 2, 3]
    refused = [2] if METHODS[method].indels else [2, 3]
    assert [item.index for item in items if isinstance(item, Failure)] == refused


def test_long_proteins_are_an_error_or_windows_but_never_cut(tiny: Model) -> None:
    long = WILD_TYPE * 3
    limited = Model(tiny.engine, length=LengthPolicy("error", 40))
    with pytest.raises(SequenceTooLongError, match="66 residues, the limit is 40"):
        mutations.scan(limited, long)
    windows = Model(tiny.engine, length=LengthPolicy("window", 40))
    found = mutations.scan(windows, long, positions=[2, 66])
    assert np.abs(found.scores).max() > 0.1
    start = mutations.scan(tiny, long[:40], positions=[2])
    np.testing.assert_allclose(found.scores[0], start.scores[0], atol=1e-5)
    with pytest.raises(InvalidConfigError, match="not computed on truncated"):
        mutations.scan(Model(tiny.engine, length=LengthPolicy("truncate", 40)), long)


@pytest.mark.parametrize(("sequence", "match"), [("MKX", "position 26: found 'X'"), ("", "empty"), ("mk", "'m'")])
def test_wild_types_of_other_letters_are_refused(tiny: Model, sequence: str, match: str) -> None:
    with pytest.raises(InvalidSequenceError, match=match):
        mutations.scan(tiny, sequence, offset=23)


@pytest.mark.parametrize("positions", [[], [23], [46]])
def test_positions_that_do_not_exist_are_refused(tiny: Model, positions: list[int]) -> None:
    with pytest.raises(InvalidConfigError, match="position"):
        mutations.scan(tiny, WILD_TYPE, positions=positions, offset=23)


def test_summary_is_what_the_scores_say(tiny: Model) -> None:
    found = mutations.scan(tiny, WILD_TYPE, offset=23)
    summary = found.summary()
    assert [line.position for line in summary] == list(range(24, 46))
    for row, line in enumerate(summary):
        others = {letter: found.scores[row, at] for at, letter in enumerate(STANDARD) if letter != line.wild_type}
        best = max(others, key=lambda letter: others[letter])
        assert line.best_substitution == f"{WILD_TYPE[row]}{row + 24}{best}"
        assert line.best_score == others[best]
        assert line.mean_effect == pytest.approx(np.mean(list(others.values())))
        p = found.probabilities[row]
        assert line.entropy_bits == pytest.approx(-(p * np.log2(p)).sum())
        assert line.probability == pytest.approx(p[STANDARD.index(line.wild_type)])


def test_masked_log_probs_are_the_lines_asked_for_also_beside_other_outputs(tiny: Model, reference: Any) -> None:
    names = ["masked_log_probs", "pseudo_log_likelihood", "one_pass_pll", "log_prob"]
    options = OutputOptions(positions=(2, 22))
    (together,) = tiny.run(WILD_TYPE, names, options=options)
    expected = masked(reference, WILD_TYPE)
    np.testing.assert_allclose(together.arrays["masked_log_probs"], expected[[1, 21]], atol=1e-5, rtol=1e-5)
    for name in names[1:]:
        (alone,) = tiny.run(WILD_TYPE, [name])
        assert together.arrays[name] == pytest.approx(alone.arrays[name], abs=1e-4)


@pytest.mark.parametrize("positions", [(), (3, 2), (2, 2)])
def test_positions_to_mask_are_each_named_once_in_order(positions: tuple[int, ...]) -> None:
    with pytest.raises(InvalidConfigError, match="position"):
        OutputOptions(positions=positions)


def test_positions_to_mask_must_exist(tiny: Model) -> None:
    with pytest.raises(InvalidSequenceError, match="has 22 residues, and no position 23"):
        tiny.run(WILD_TYPE, ["masked_log_probs"], options=OutputOptions(positions=(23,)))


def test_one_pass_estimate_takes_back_what_the_training_noise_gave(tiny: Model) -> None:
    """A seen residue is true or random with equal chance: Bayes' rule forward is inverted exactly."""
    masked_probability = np.array([1e-6, 0.05, 0.5, 0.999, 1.0])
    seen = masked_probability * (1 + 1 / 20) / (masked_probability + 1 / 20)
    np.testing.assert_allclose(seen / (1 + 20 * (1 - seen)), masked_probability, rtol=1e-9)
    assert tiny.run("MKTAYIAKQR", ["one_pass_pll"])[0].arrays["one_pass_pll"] < tiny.log_prob("MKTAYIAKQR")
