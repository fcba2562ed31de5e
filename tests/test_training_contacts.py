"""The contact head: what it learns from, that the fit is scikit-learn's, and that the saved model predicts with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import esmkit
from esmkit.engine import Model
from esmkit.errors import InvalidInputError
from esmkit.inputs.structures import Structure, read_structures
from esmkit.training.contacts import C, Examples, FittedHead, cross_validate, fit, score
from esmkit.training.precision import Truth, mean_precision, pairs, precision
from tests.cli_calls import Esmkit, in_process
from tests.conftest import TINY, LoadTiny
from tests.structure_files import STRUCTURES, lines_of, strand, write

NAMES = ("2gom_A", "2yad_A", "4k12_A", "3obh_B")
MAPS = TINY[0] * TINY[2]


@pytest.fixture(scope="module")
def structures() -> list[Structure]:
    return read_structures([str(STRUCTURES / f"{name}.pdb.gz") for name in NAMES])


@pytest.fixture(scope="module")
def examples(load_tiny: LoadTiny, structures: list[Structure]) -> Examples:
    return Examples.of(load_tiny(batch_tokens=1).engine, structures)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_path: Path) -> Esmkit:
    call = in_process(monkeypatch, capsys)
    return lambda *arguments: call("train", "contacts", *arguments, "--model", tiny_path)


def naive_features(model: Model, sequence: str) -> np.ndarray[Any, Any]:
    """[P, M] from all maps stacked: symmetrised, then corrected for the average product."""
    maps = model.attentions(sequence, layers=range(1, TINY[0] + 1)).reshape(MAPS, len(sequence), len(sequence))
    symmetric = maps.astype(np.float64) + maps.transpose(0, 2, 1)
    rows, columns = symmetric.sum(2, keepdims=True), symmetric.sum(1, keepdims=True)
    corrected = symmetric - rows * columns / symmetric.sum((1, 2), keepdims=True)
    separation = np.subtract.outer(np.arange(len(sequence)), np.arange(len(sequence)))
    first, second = np.nonzero(separation <= -6)
    return corrected[:, first, second].T


def test_pairs_touch_below_8_angstrom_and_count_from_6_positions_on() -> None:
    cb = np.array([[100.0 * index, 0.0, 0.0] for index in range(9)], dtype=np.float32)
    cb[6], cb[7], cb[8] = cb[0] + [0, 7.99, 0], cb[1] + [0, 8.0, 0], np.nan
    cb[5] = cb[0] + [0, 1, 0]  # near, but only five positions away
    truth = Truth.of(Structure("x", "A" * 9, cb))
    assert list(zip(*pairs(9), strict=True)) == [(0, 6), (0, 7), (0, 8), (1, 7), (1, 8), (2, 8)]
    assert truth.known.tolist() == [True, True, False, True, False, False]
    assert list(zip(truth.first, truth.second, truth.touch, strict=True)) == [
        (0, 6, True),
        (0, 7, False),
        (1, 7, False),
    ]


def test_precision_is_the_share_of_touching_pairs_among_the_most_probable() -> None:
    """10 residues, 10 pairs from 6 positions on; by hand: top 10, top 5 and top 2 of `all` and `short`."""
    first, second = pairs(10)
    touching = {(0, 6), (1, 8), (3, 9)}
    touch = np.array([pair in touching for pair in zip(first, second, strict=True)])
    truth = Truth(10, np.ones(10, dtype=bool), first, second, touch)
    ranked = [(1, 8), (0, 7), (0, 6), (0, 8), (2, 8), (3, 9), (0, 9), (1, 7), (1, 9), (2, 9)]
    scores = np.array([-ranked.index(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)])
    result = precision(truth, scores)
    assert result["all"] == result["short"] == {"L": 0.3, "L/2": 0.4, "L/5": 0.5, "chance": 0.3}
    assert result["medium"] == result["long"] == {"L": None, "L/2": None, "L/5": None, "chance": None}
    other = {name: dict.fromkeys(tops, 1.0) for name, tops in result.items()}
    mean = mean_precision([result, other])
    assert (mean["all"]["L/5"], mean["long"]["L/5"]) == (0.75, 1.0)


def test_features_are_those_of_the_stacked_maps(tiny: Model, examples: Examples, structures: list[Structure]) -> None:
    stacked = np.concatenate([naive_features(tiny, structure.sequence) for structure in structures])
    assert examples.features_PM.shape == stacked.shape == (sum(len(truth.touch) for truth in examples.truths), MAPS)
    np.testing.assert_allclose(examples.features_PM, stacked, rtol=1e-5, atol=1e-5)


def test_contacts_of_a_model_with_the_fitted_head_are_predict_proba_of_scikit_learn(
    load_tiny: LoadTiny, examples: Examples, structures: list[Structure]
) -> None:
    from sklearn.linear_model import LogisticRegression

    theirs = LogisticRegression(l1_ratio=1.0, C=C, solver="liblinear", max_iter=1000, random_state=0)
    theirs.fit(examples.features_PM, examples.touch)
    model = load_tiny()
    fit(examples).put_into(model.engine.loaded.module)
    for structure in structures:
        expected = theirs.predict_proba(naive_features(model, structure.sequence))[:, 1]
        contacts = model.contacts(structure.sequence)
        np.testing.assert_allclose(contacts[pairs(len(structure.sequence))], expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(contacts, contacts.T, rtol=0, atol=1e-6)


def test_a_fitted_head_explains_its_structures_better_than_one_without_weights(examples: Examples) -> None:
    head = fit(examples, c=1000.0)
    assert (head.weights_M != 0).any()
    rate = examples.touch.mean()
    without = FittedHead(np.zeros(MAPS), float(np.log(rate / (1 - rate))))
    losses = [
        np.logaddexp(0, (1 - 2 * examples.touch) * each.logits(examples.features_PM)).mean() for each in (head, without)
    ]
    assert losses[0] < losses[1]
    fitted = mean_precision(score(head, examples))["all"]
    assert fitted["L"] > fitted["chance"] > 0.01  # type: ignore[operator]


def planted(structures: list[Structure], maps: int = 6) -> Examples:
    """Features of which the third tells contacts, and the others nothing."""
    truths = [Truth.of(structure) for structure in structures]
    touch = np.concatenate([truth.touch for truth in truths])
    features = np.random.default_rng(0).normal(size=(len(touch), maps)).astype(np.float32)
    features[:, 2] += 4 * touch
    return Examples(truths, features, np.cumsum([0, *(len(truth.touch) for truth in truths)]))


def test_the_penalty_leaves_maps_that_tell_nothing_without_weight(structures: list[Structure]) -> None:
    head = fit(planted(structures), c=0.01)
    assert np.flatnonzero(head.weights_M).tolist() == [2]
    assert head.weights_M[2] > 0 > head.bias


def test_cross_validation_measures_each_structure_with_a_head_that_has_not_seen_it(structures: list[Structure]) -> None:
    examples = planted(structures)
    by_hand = []
    for held_out, learnt in (([0, 2], [1, 3]), ([1, 3], [0, 2])):
        by_hand += score(fit(examples, learnt), examples, held_out)
    assert len(by_hand) == 4
    assert cross_validate(examples, folds=2) == mean_precision(by_hand)


def test_structures_without_a_pair_or_a_contact_are_refused(tmp_path: Path, tiny: Model) -> None:
    short = read_structures([str(write(tmp_path / "short.pdb", strand("AGKMAG")))])
    with pytest.raises(InvalidInputError, match="short:A: none of its 6 residues"):
        Examples.of(tiny.engine, short)
    extended = read_structures([str(write(tmp_path / "extended.pdb", strand("AGKMAGKMAG")))])
    with pytest.raises(InvalidInputError, match="none of the 10 pairs touch"):
        fit(Examples.of(tiny.engine, extended))


def test_pairs_with_missing_residues_are_left_out_and_keep_their_positions(
    tmp_path: Path, tiny: Model, structures: list[Structure]
) -> None:
    lines = [line for line in lines_of("2gom_A") if int(line[22:26]) not in (20, 21)]
    gapped = read_structures([str(write(tmp_path / "gapped.pdb", lines))])
    examples = Examples.of(tiny.engine, gapped)
    (truth,) = examples.truths
    assert not {19, 20} & {*truth.first, *truth.second}
    first, second = pairs(61)
    kept = ~np.isin(first, (19, 20)) & ~np.isin(second, (19, 20))
    np.testing.assert_array_equal(truth.touch, Truth.of(structures[0]).touch[kept])
    np.testing.assert_allclose(
        examples.features_PM, naive_features(tiny, gapped[0].sequence)[kept], rtol=1e-5, atol=1e-5
    )


def test_the_saved_model_gives_the_fitted_contacts_in_esmkit_and_transformers(
    run: Esmkit, tmp_path: Path, tiny: Model, examples: Examples, structures: list[Structure]
) -> None:
    from transformers import EsmForMaskedLM

    files = [STRUCTURES / f"{name}.pdb.gz" for name in NAMES]
    done = run(*files, "--folds", "2", "--c", "10", "--out", tmp_path / "fitted", "--json")
    assert done.code == 0, done.err
    head = fit(examples, c=10.0)
    saved = esmkit.load(tmp_path / "fitted")
    theirs = EsmForMaskedLM.from_pretrained(tmp_path / "fitted", attn_implementation="eager").eval()
    for structure, start, stop in zip(structures, examples.bounds, examples.bounds[1:], strict=False):
        expected = 1 / (1 + np.exp(-head.logits(examples.features_PM[start:stop])))
        contacts = saved.contacts(structure.sequence)[pairs(len(structure.sequence))]
        np.testing.assert_allclose(contacts, expected, rtol=1e-4, atol=1e-5)
        ids = torch.from_numpy(esmkit.alphabet.tokenize(structure.sequence).astype(np.int64))[None]
        other = theirs.predict_contacts(ids, torch.ones_like(ids))[0].detach().numpy()
        np.testing.assert_allclose(other[pairs(len(structure.sequence))], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(saved.logits("MKTAY"), tiny.logits("MKTAY"))
    assert saved.provenance["slug"] == "fitted"


def test_the_report_says_what_was_fitted_and_how_well(run: Esmkit, tmp_path: Path, examples: Examples) -> None:
    files = [STRUCTURES / f"{name}.pdb.gz" for name in NAMES]
    done = run(*files, "--folds", "2", "--c", "10", "--out", tmp_path / "crossed", "--json")
    report = json.loads((tmp_path / "crossed" / "contact_head.json").read_text())
    assert json.loads(done.out) == {**report, "out": str(tmp_path / "crossed")}
    assert report["structures"] == [f"{name}:A" for name in NAMES]
    assert (report["pairs"], report["contacts"]) == (len(examples.touch), examples.touch.sum())
    assert report["measured_by"] == "2-fold cross-validation"
    assert report["precision"] == cross_validate(examples, folds=2, c=10.0)

    held_out = run(*files[:3], "--valid", files[3], "--c", "10", "--out", tmp_path / "held-out", "--quiet")
    assert (held_out.code, held_out.err) == (0, "")
    report = json.loads((tmp_path / "held-out" / "contact_head.json").read_text())
    expected = mean_precision(score(fit(examples, range(3), c=10.0), examples, [3]))
    assert (report["held_out"], report["precision"]) == (["3obh_B:A"], expected)
    header, *lines = held_out.out.splitlines()
    assert header.split() == ["pairs", "positions", "chance", "top", "L", "top", "L/2", "top", "L/5"]
    assert [line.split()[0] for line in lines] == ["all", "short", "medium", "long"]
    assert lines[0].split()[-4:] == [f"{expected['all'][top]:.3f}" for top in ("chance", "L", "L/2", "L/5")]


def test_a_head_without_any_weight_is_pointed_out(run: Esmkit, tmp_path: Path) -> None:
    done = run(STRUCTURES, "--c", "0.0001", "--out", tmp_path / "flat")
    assert done.code == 0
    assert f"0 of {MAPS} maps have a weight" in done.err
    assert "raise --c, or train the model first" in done.err
    contacts = esmkit.load(tmp_path / "flat").contacts("MKTAYIAKQR")
    assert np.ptp(contacts) == 0


def test_what_cannot_be_fitted_is_said_before_the_model_runs(run: Esmkit, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    one = STRUCTURES / "2gom_A.pdb.gz"
    for arguments, message in (
        ((one, "--out", tmp_path / "new"), "5 folds need at least as many structures, and there are 1"),
        ((one, "--out", tmp_path / "full"), "is not empty"),
        ((one,), "name structures and a folder"),
        ((f"{one}:Q", "--out", tmp_path / "new"), "no protein chain 'Q'"),
    ):
        done = run(*arguments)
        assert done.code == 2
        assert message in done.err
    assert not (tmp_path / "new").exists()
