"""The next plate: never what was measured, by the acquisition that was asked for, and better than chance."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import esmkit
from esmkit.applications.design import (
    Ensemble,
    Featurizer,
    Measured,
    Policy,
    Space,
    next_plate,
    offspring,
    read_rounds,
)
from esmkit.applications.design.features import joined, one_hot
from esmkit.applications.mutations.table import VariantTable
from esmkit.applications.vectors import VectorCache
from esmkit.errors import EsmkitError, InvalidConfigError, InvalidInputError, InvalidVariantError
from tests.cli_calls import ROOT
from tests.labelled import save_model

PARENT = "MKTAYIAKQRGLW"
SPACE = Space.of(PARENT, positions=[2, 4, 5, 8], allowed="ACDEFGHIKL", mutations=(1, 4))
EFFECTS = np.random.default_rng(0).normal(size=(len(PARENT), 128))


def fitness(sequence: str) -> float:
    return float(sum(EFFECTS[at, ord(letter)] for at, letter in enumerate(sequence)))


def measured(number: int = 60, seed: int = 0) -> Measured:
    sample = SPACE.sample(number, np.random.default_rng(seed))
    return Measured.of((sequence, fitness(sequence)) for sequence in sample)


def candidates(number: int = 800) -> list[str]:
    return SPACE.sample(number, np.random.default_rng(99))


@settings(deadline=None, max_examples=20)
@given(
    st.sampled_from(["exploit", "ucb", "thompson"]),
    st.integers(0, 99),
    st.integers(1, 3),
    st.sampled_from(["max", "min"]),
)
def test_what_was_measured_is_never_proposed(acquisition: str, seed: int, distance: int, goal: str) -> None:
    known = measured(seed=seed)
    policy = Policy(acquisition, goal=goal, members=5, min_distance=distance, seed=seed)  # type: ignore[arg-type]
    offered = [*known.sequences[:30], *candidates(300), *candidates(300)]
    plate = next_plate(known, offered, Featurizer(), policy, wells=30)
    proposed = [each.sequence for each in plate.suggestions]
    assert len(set(proposed)) == len(proposed) > 0
    assert not set(proposed) & set(known.sequences)
    assert set(proposed) <= set(offered)
    assert plate.candidates == len(set(offered) - set(known.sequences))
    for number, sequence in enumerate(proposed):
        apart = [sum(a != b for a, b in zip(sequence, other, strict=True)) for other in proposed[:number]]
        assert min(apart, default=distance) >= distance


def test_acquisitions_order_by_what_they_name() -> None:
    known, offered = measured(), candidates()
    by = {
        name: next_plate(known, offered, Featurizer(), policy, wells=len(offered)).suggestions
        for name, policy in (
            ("exploit", Policy("exploit")),
            ("greedy ucb", Policy("ucb", beta=0.0)),
            ("ucb", Policy("ucb", beta=3.0)),
            ("worst", Policy("exploit", goal="min")),
        )
    }
    assert [each.mean for each in by["exploit"]] == sorted((each.mean for each in by["exploit"]), reverse=True)
    assert [each.rank_by_mean for each in by["exploit"]] == list(range(1, len(by["exploit"]) + 1))
    assert by["greedy ucb"] == by["exploit"]
    scores = [each.mean + 3.0 * each.sd for each in by["ucb"]]
    assert scores == sorted(scores, reverse=True)
    np.testing.assert_allclose([each.acquisition for each in by["ucb"]], scores)
    top = slice(0, 50)
    assert np.mean([each.sd for each in by["ucb"][top]]) > np.mean([each.sd for each in by["exploit"][top]])
    assert [each.mean for each in by["worst"]] == sorted(each.mean for each in by["worst"])


def test_thompson_takes_the_best_of_a_random_member_for_each_well() -> None:
    known, offered = measured(), [each for each in candidates() if each not in measured().sequences]
    plate = next_plate(known, offered, Featurizer(), Policy("thompson", members=4), wells=6)
    features = joined(Featurizer()([*known.sequences, *offered]))[len(known.sequences) :]
    predictions = plate.ensemble.predict(features)
    taken: list[int] = []
    for each in plate.suggestions:
        at = offered.index(each.sequence)
        left = np.delete(np.arange(len(offered)), taken)
        assert any(at == left[member[left].argmax()] and member[at] == each.acquisition for member in predictions)
        taken.append(at)


@pytest.mark.parametrize("acquisition", ["exploit", "ucb", "thompson"])
def test_the_same_seed_gives_the_same_plate(acquisition: str) -> None:
    plates = [
        next_plate(measured(), candidates(), Featurizer(), Policy(acquisition, seed=seed), wells=20).suggestions  # type: ignore[arg-type]
        for seed in (3, 3, 4)
    ]
    assert plates[0] == plates[1]
    assert plates[1] != plates[2]


def test_a_plate_that_was_learnt_is_better_than_chance_and_says_how_well_it_learnt() -> None:
    offered = candidates()
    plate = next_plate(measured(), offered, Featurizer(), Policy("exploit"), wells=20)
    chosen = [fitness(each.sequence) for each in plate.suggestions]
    everything = np.array([fitness(each) for each in offered])
    assert np.mean(chosen) > np.quantile(everything, 0.9)
    assert plate.ensemble.spearman is not None
    assert plate.ensemble.spearman > 0.7
    for each in plate.suggestions:
        assert each.measured_value == pytest.approx(fitness(each.measured))
        assert each.measured_distance == sum(a != b for a, b in zip(each.sequence, each.measured, strict=True))


def test_members_disagree_where_nothing_was_measured() -> None:
    near = Measured.of((f"M{letter}TAYIAKQRGLW", float(at)) for at, letter in enumerate("ACDEFGHI"))
    everything = [*near.sequences, "MKTAYIAKQRGLW"]
    features = joined([one_hot(everything)])
    ensemble = Ensemble.fit(features[:-1], near.values, members=50, random=np.random.default_rng(0))
    assert ensemble.predict(features).shape == (50, 9)
    assert (ensemble.predict(features).std(axis=0) > 0).all()


def test_embeddings_are_computed_once_and_a_block_beside_residues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sequences = esmkit.load(), list(SPACE.sample(9, np.random.default_rng(0)))
    featurize = Featurizer([model], cache=VectorCache(tmp_path))
    embeddings, residues = featurize(sequences)
    assert (embeddings.shape, residues.shape) == ((9, model.width), (9, 80))
    np.testing.assert_allclose(embeddings.std(axis=0), 1, atol=1e-4)
    monkeypatch.setattr(type(model.engine), "run", lambda *_, **__: pytest.fail("computed again"))
    np.testing.assert_allclose(featurize(sequences[::-1])[0], embeddings[::-1])
    both = joined([embeddings, residues])
    for part in (both[:, : model.width], both[:, model.width :]):
        np.testing.assert_allclose(part.mean(axis=0), 0, atol=1e-6)
        assert (part**2).sum(axis=1).mean() == pytest.approx(1)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99))
def test_offspring_keep_constraints_and_come_from_their_parents(seed: int) -> None:
    random = np.random.default_rng(seed)
    parents = SPACE.sample(4, random)
    found = offspring(SPACE, parents, 50, random)
    assert len(set(found)) == len(found) > 10
    assert all(map(SPACE.holds, found))
    assert not set(found) & set(parents)
    for child in found:
        strange = [at for at, letter in enumerate(child) if letter not in {parent[at] for parent in parents}]
        assert len(strange) <= 1


def table(path: Path, *rows: str) -> VariantTable:
    path.write_text("".join(f"{row}\n" for row in rows))
    return VariantTable(path, wild_type=PARENT)


def test_rounds_come_together_and_repeats_are_averaged(tmp_path: Path) -> None:
    first = table(tmp_path / "1.csv", "mutant,fitness", "WT,1", "K2A,0.5", "K2A:A4C,2", "Y5F,0")
    second = table(tmp_path / "2.csv", "sequence,note,fitness", f"{PARENT},control,2", "MKTAYIAKQRGLA,,7")
    found = read_rounds([first, second], "fitness")
    assert dict(zip(found.sequences, found.values.tolist(), strict=True)) == {
        PARENT: 1.5,
        "MATAYIAKQRGLW": 0.5,
        "MATCYIAKQRGLW": 2.0,
        "MKTAFIAKQRGLW": 0.0,
        "MKTAYIAKQRGLA": 7.0,
    }


@pytest.mark.parametrize(
    ("rows", "kind", "said"),
    [
        (["mutant,fit", "K2A,1"], InvalidInputError, "no column 'fitness' to learn from; its other columns are 'fit'"),
        (["mutant,fitness", "K2A,1", "K2C,high"], InvalidInputError, "1.csv, line 3: column 'fitness' holds 'high'"),
        (["mutant,fitness", "K2A,nan"], InvalidInputError, "line 2: column 'fitness' holds 'nan'"),
        (["mutant,fitness", "K2A,"], InvalidInputError, "line 2: column 'fitness' holds ''"),
        (["mutant,fitness", "K2del,1"], InvalidVariantError, "line 2\\) has 12 residues and the wild type 13"),
        (["mutant,fitness", "A2K,1"], InvalidVariantError, "line 2\\) says A at position 2"),
        (["mutant,fitness", "K2A,1", "K2A,2"], InvalidVariantError, "line 3\\) is the same as line 2"),
        (["mutant,fitness", "K2A,1", "K2C,2"], InvalidInputError, "2 variants with 2 different labels; at least 5"),
        (["mutant,fitness", *(f"K2{x},1" for x in "ACDEF")], InvalidInputError, "5 variants with 1 different labels"),
    ],
)
def test_bad_rounds_are_refused_by_row(tmp_path: Path, rows: Sequence[str], kind: type[EsmkitError], said: str) -> None:
    with pytest.raises(kind, match=said):
        read_rounds([table(tmp_path / "1.csv", *rows)], "fitness")


def test_nothing_new_to_measure_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="every candidate was measured already"):
        next_plate(measured(), measured().sequences[:3], Featurizer())
    with pytest.raises(InvalidConfigError, match="at least 2 members"):
        Policy(members=1)


def test_the_simulation_finds_better_variants_than_random_picks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gb1 = "MQYKLILNGKTLKGETTTEAVDAATAEKVFKQYANDNGVDGEWTYDDATKTFTVTE"
    space = Space.of(gb1, positions=[39, 40, 41, 54], mutations=(1, 4))
    effects = np.random.default_rng(0).normal(size=(56, 128))
    rows = ["sequence,target"]
    for sequence in space.sample(400, np.random.default_rng(0)):
        value = sum(effects[at, ord(letter)] for at, letter in enumerate(sequence))
        rows.append(f"{sequence}LEVLFQ,{value:.4f}")
    (tmp_path / "gb1.csv").write_text("\n".join(rows) + "\n")
    out, plot = tmp_path / "gb1.json", tmp_path / "gb1.png"
    call = ["design_gb1.py", str(tmp_path / "gb1.csv"), "--model", str(save_model(tmp_path / "model")), "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", [*call, "--out", str(out), "--plot", str(plot)])
    runpy.run_path(str(ROOT / "examples" / "design_gb1.py"), run_name="__main__")
    arms = json.loads(out.read_text())["arms"]
    assert len(arms) == 6
    assert len(capsys.readouterr().out.splitlines()) == 7
    assert plot.read_bytes()[:4] == b"\x89PNG"
    for name, numbers in arms.items():
        better = numbers["round_2_mean"]["mean"] > arms["random"]["round_2_mean"]["mean"] + 0.5
        assert better == (name != "random"), name
        assert numbers["best"]["seeds_better_than_random"] <= 2
