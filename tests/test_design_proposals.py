"""Proposals: constraints hold, searches do what their names say, and the same seed gives the same table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import esmkit
from esmkit.alphabet import STANDARD
from esmkit.applications import mutations
from esmkit.applications.design import Likelihood, Objective, Space, Strategy, Weighted, propose
from esmkit.applications.design.diverse import pick
from esmkit.applications.design.sampling import anneal, block, gibbs
from esmkit.applications.design.search import beam
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError, InvalidSequenceError

PARENT = "MKTAYIAKQRGLW"
AMINO_ACIDS = mutations.variants.AMINO_ACIDS


class Pairs:
    """A made-up landscape in which neighbours interact, so that mutations do not simply add up."""

    name, costly = "pairs", True

    def __init__(self, seed: int = 0) -> None:
        self.table = np.random.default_rng(seed).normal(size=(len(PARENT), 128, 128))
        self.asked: list[str] = []

    def scores(self, parent: str, sequences: Sequence[str]) -> list[float]:
        self.asked += sequences
        return [
            float(sum(self.table[at, ord(a), ord(b)] for at, (a, b) in enumerate(pairwise(each)))) for each in sequences
        ]


def landscape(seed: int = 0) -> Objective:
    return Objective(PARENT, [Weighted(Pairs(seed), 1.0)])


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Any constraints that leave something to do."""
    places = draw(st.lists(st.integers(1, len(PARENT)), min_size=3, max_size=6, unique=True))
    fixed = draw(st.lists(st.sampled_from(places), max_size=1))
    residues = st.text(st.sampled_from(STANDARD), min_size=2, max_size=5)
    free = [place for place in places if place not in fixed]
    own = draw(st.dictionaries(st.sampled_from(free), residues, max_size=2))
    fewest = draw(st.integers(1, 2))
    return Space.of(
        PARENT,
        positions=places,
        fixed=fixed,
        allowed=draw(st.just(AMINO_ACIDS) | st.just("ACDEFGHIKLM")),
        allowed_at=own,
        mutations=(min(fewest, len(free) - 1), draw(st.integers(fewest, 4))),
    )


def test_space_counts_and_lists_its_members() -> None:
    space = Space.of(PARENT, positions=[2, 4, 5], allowed="AKR", allowed_at={5: "FW"}, mutations=(1, 2))
    assert space.choices == {1: "AR", 3: "KR", 4: "FW"}
    members = list(space.members())
    assert len(members) == len(set(members)) == space.size == 6 + 12
    assert all(map(space.holds, members))
    assert not any(map(space.holds, (PARENT, "MKTAYIAKQRGL", "MRTKFIAKQRGLW", "MKTAYIAKQRGLA", "MDTAYIAKQRGLW")))


@settings(deadline=None, max_examples=50)
@given(spaces(), st.integers(0, 9))
def test_what_is_drawn_is_a_member(space: Space, seed: int) -> None:
    random = np.random.default_rng(seed)
    sample = space.sample(20, random)
    assert len(sample) == len(set(sample)) == min(20, space.size)
    assert all(map(space.holds, sample))
    for start in sample[:5]:
        assert all(map(space.holds, block(space, start, random)))


def test_members_are_drawn_equally_often() -> None:
    space = Space.of(PARENT, positions=[2, 4, 5], allowed="AKR", allowed_at={5: "F"}, mutations=(1, 3))
    random = np.random.default_rng(0)
    counts = Counter(space.draw(random) for _ in range(17_000))
    assert len(counts) == space.size == 17
    assert max(abs(count - 1000) for count in counts.values()) < 150  # 5 standard deviations


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"positions": [14]}, "position 14 does not exist: they run from 1 to 13"),
        ({"fixed": [0]}, "position 0 does not exist"),
        ({"positions": [1, 2], "fixed": [1, 2]}, "no position is left"),
        ({"positions": [2], "allowed": "K"}, "no position is left"),
        ({"allowed": "AB"}, "'B' among the allowed residues 'AB'"),
        ({"positions": [1], "allowed_at": {2: "A"}}, "position 2 has residues of its own, but may not change"),
        ({"mutations": (0, 2)}, "give at least 1"),
        ({"mutations": (3, 2)}, "no more at least than at most"),
        ({"positions": [1, 2], "mutations": (3, 4)}, "at least 3 mutations are asked for, and 2 positions"),
    ],
)
def test_constraints_that_leave_nothing_are_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidConfigError, match=said):
        Space.of(PARENT, **arguments)  # type: ignore[arg-type]


def test_a_parent_of_other_residues_is_refused() -> None:
    with pytest.raises(InvalidSequenceError, match="position 3: found 'X'"):
        Space.of("MKXA")


@settings(deadline=None, max_examples=40)
@given(spaces(), st.sampled_from(["greedy", "beam", "gibbs", "anneal"]), st.integers(1, 3), st.integers(0, 3))
def test_constraints_always_hold(space: Space, name: str, distance: int, seed: int) -> None:
    strategy = Strategy(name, width=3, chains=3, steps=15, seed=seed)  # type: ignore[arg-type]
    found = propose(landscape(), space, strategy, proposals=8, min_distance=distance)
    assert found
    assert all(space.holds(each.sequence) for each in found)
    for number, each in enumerate(found):
        apart = [sum(a != b for a, b in zip(each.sequence, other.sequence, strict=True)) for other in found[:number]]
        assert min(apart, default=distance) >= distance
        assert each.nearest == min(apart, default=0)
        assert mutations.parse(each.mutant, PARENT) == each.sequence
    values = [each.objective for each in found]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("name", ["beam", "gibbs", "anneal"])
def test_the_same_seed_gives_the_same_proposals(name: str) -> None:
    space = Space.of(PARENT, mutations=(1, 4))
    runs = [propose(landscape(), space, Strategy(name, steps=40, seed=seed)) for seed in (7, 7, 8)]  # type: ignore[arg-type]
    assert runs[0] == runs[1]
    assert (runs[1] == runs[2]) == (name == "beam")


def test_the_first_step_of_greedy_is_the_best_of_the_scan() -> None:
    model = esmkit.load()
    objective = Objective(PARENT, [Weighted(Likelihood(model), 1.0)])
    (best,) = propose(objective, Space.of(PARENT, mutations=(1, 1)), Strategy("greedy"), proposals=1)
    summary = max(mutations.scan(model, PARENT).summary(), key=lambda position: position.best_score)
    assert best.mutant == summary.best_substitution
    assert best.objective == pytest.approx(summary.best_score, abs=1e-5)
    assert best.found == "step 1"


def test_a_beam_of_one_is_greedy_and_a_wide_one_is_exhaustive() -> None:
    space = Space.of(PARENT, positions=[3, 4, 5], allowed="ACDEF", mutations=(1, 3))
    greedy = propose(landscape(), space, Strategy("greedy"), proposals=20)
    assert greedy == propose(landscape(), space, Strategy("beam", width=1), proposals=20)
    objective = landscape()
    found = beam(objective, space, width=10_000)
    assert set(found) == set(space.members())
    best = max(space.members(), key=lambda sequence: objective([sequence])[0])
    assert propose(objective, space, Strategy("beam", width=10_000), proposals=1)[0].sequence == best
    assert greedy[0].objective <= objective([best])[0]


def test_annealing_without_heat_never_takes_a_worse_step() -> None:
    space = Space.of(PARENT, mutations=(1, 4))
    options = {"chains": 5, "steps": 120, "random": np.random.default_rng(3)}
    cold = [scores for _, scores in anneal(landscape(), space, temperature=1e-9, final_temperature=1e-9, **options)]
    steps = np.diff(np.array(cold), axis=0)
    assert (steps >= 0).all()
    assert (steps > 0).sum() > 20
    hot = [scores for _, scores in anneal(landscape(), space, temperature=5.0, final_temperature=5.0, **options)]
    assert (np.diff(np.array(hot), axis=0) < 0).any()


@pytest.mark.parametrize("mutations_", [(1, 2), (2, 2)])
def test_gibbs_visits_members_as_often_as_their_objective_says(mutations_: tuple[int, int]) -> None:
    space = Space.of(PARENT, positions=[3, 4, 5], allowed="CDE", mutations=mutations_)
    objective = landscape()
    walk = gibbs(objective, space, chains=40, steps=600, temperature=2.0, random=np.random.default_rng(0))
    counts = Counter(state for states, _ in islice(walk, 50, None) for state in states)
    members = list(space.members())
    weights = np.exp(objective(members) / 2.0)
    observed = np.array([counts[member] for member in members]) / sum(counts.values())
    assert np.abs(observed - weights / weights.sum()).sum() < 0.08


def test_scores_are_states_of_the_walk() -> None:
    objective, random = landscape(), np.random.default_rng(0)
    space = Space.of(PARENT, mutations=(2, 3))
    for walk in (
        gibbs(objective, space, chains=3, steps=9, temperature=1.0, random=random),
        anneal(objective, space, chains=3, steps=9, temperature=1.0, final_temperature=0.1, random=random),
    ):
        for states, scores in walk:
            assert all(map(space.holds, states))
            np.testing.assert_allclose(scores, objective(states))


def test_nothing_is_scored_twice_and_effects_add_up_where_mutations_do() -> None:
    term = Pairs()
    objective = Objective(PARENT, [Weighted(term, 1.0)])
    space = Space.of(PARENT, positions=[2, 8, 12], mutations=(3, 3))  # no neighbours: they add up
    best = propose(objective, space, Strategy("anneal", steps=50), proposals=3)[0]
    assert len(term.asked) == len(set(term.asked))
    assert list(best.effects) == best.mutant.split(":")
    assert sum(best.effects.values()) == pytest.approx(best.objective)


def test_weights_turn_and_join_terms() -> None:
    space = Space.of(PARENT, positions=[3, 4], mutations=(1, 2))
    first, second = Pairs(1), Pairs(2)
    second.name = "others"
    both = Objective(PARENT, [Weighted(first, 2.0), Weighted(second, -0.5)])
    for each in propose(both, space, proposals=5):
        (one, two), (at_one, at_two) = each.terms.values(), (term.scores("", [PARENT])[0] for term in (first, second))
        assert each.objective == pytest.approx(2.0 * (one - at_one) - 0.5 * (two - at_two))
    assert both([PARENT])[0] == 0
    shown_only = Objective(PARENT, [Weighted(first, 1.0), Weighted(second, 0.0)])
    asked = len(second.asked)
    found = propose(shown_only, space, proposals=5)
    assert len(second.asked) - asked == 5  # only the proposals themselves
    assert all("others" in each.terms for each in found)
    with pytest.raises(InvalidConfigError, match="at least one of them other than 0"):
        Objective(PARENT, [Weighted(first, 0.0)])


@pytest.mark.parametrize("method", ["masked_marginal", "one_pass_pll"])
def test_likelihood_is_the_score_of_mutations_for_one_model_and_several(tiny: Model, method: Any) -> None:
    variants = ["MKTAYIAKQRGLA", "MRTAYIAKQRGLC", PARENT]
    for models in ([tiny], [tiny, esmkit.load()]):
        found = Objective(PARENT, [Weighted(Likelihood(models, method), 1.0)])(variants)
        expected = mutations.score(models, PARENT, variants, method=method).scores
        assert np.ptp(expected) > 0.1
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_greedy_choice_of_a_batch_keeps_distances() -> None:
    sequences = ["AAAA", "AAAC", "CCAA", "CCCC", "DDDD"]
    picks = pick(sequences, [np.array([5.0, 4.0, 3.0, 2.0, 1.0])] * 5, min_distance=2)
    assert [(each.at, each.nearest) for each in picks] == [(0, 0), (2, 2), (3, 2), (4, 4)]
