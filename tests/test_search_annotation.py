"""Labels from neighbours: who wins, how reliable that is, and when the answer is unknown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from esmkit.applications.search import UNKNOWN, Annotator, Hit, Index, Metadata, add
from esmkit.applications.search.calibration import calibration, grouped
from esmkit.applications.search.votes import vote
from esmkit.errors import InvalidConfigError, InvalidInputError
from tests.search_indices import DIMENSION, MadeUp, made

FAMILY = (Metadata("family", "text"), Metadata("weight", "number"))


def families(count: int, *, spread: float, seed: int = 0) -> tuple[np.ndarray, list[tuple[str, float]]]:
    """Proteins of ten families, some of them far from their centre, so that near and far neighbours differ in worth."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((10, DIMENSION))
    number = draw.integers(0, 10, count)
    noise = draw.standard_normal((count, DIMENSION)) * draw.uniform(0, spread, (count, 1))
    return centres[number] + noise, [(f"family {each}", 1.0) for each in number]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    vectors, cells = families(600, spread=3)
    return made(tmp_path / "index", MadeUp(vectors, cells), columns=FAMILY)


def test_the_nearer_neighbours_weigh_more() -> None:
    def hit(cosine: float, family: str) -> Hit:
        return Hit(f"{family}{cosine}", cosine, {"family": family})

    two_far = vote([hit(0.99, "a"), hit(0.9, "b"), hit(0.9, "b")], "family")
    assert two_far is not None
    assert (two_far.label, two_far.nearest.cosine, two_far.second) == ("a", 0.99, "b")
    two_near = vote([hit(0.9, "a"), hit(0.89, "b"), hit(0.89, "b"), hit(1.0, "")], "family")
    assert two_near is not None
    assert (two_near.label, two_near.nearest.cosine, two_near.second) == ("b", 0.89, "a")
    equal = vote([hit(1.0, "a"), hit(0.9999, "b"), hit(0.9999, "b")], "family")
    assert equal is not None
    assert equal.label == "a"
    assert vote([hit(0.9, "")], "family") is None


def test_reliability_rises_with_the_cosine_and_is_about_what_comes_true(index: Index) -> None:
    annotator = Annotator.of(index, "family", min_reliability=0)
    reliabilities = [group.reliability for group in annotator.calibration.groups]
    assert reliabilities == sorted(reliabilities)
    assert reliabilities[0] < 0.6 < 0.9 < reliabilities[-1] < 1
    fine = [annotator.calibration.reliability(cosine) for cosine in np.linspace(-1, 1, 500)]
    assert fine == sorted(fine)
    vectors, cells = families(1500, spread=3, seed=1)  # proteins that the index has not
    found = list(annotator.annotate(vectors))
    correct = np.array([each.label == family for each, (family, _) in zip(found, cells, strict=True)])
    claimed = np.array([each.reliability for each in found])
    assert len(found) == 1500
    for low, high in ((0.0, 0.5), (0.5, 0.8), (0.8, 1.0)):
        members = (claimed >= low) & (claimed < high)
        assert members.sum() > 50
        assert correct[members].mean() == pytest.approx(claimed[members].mean(), abs=0.08)


def test_groups_hold_the_counts_that_were_measured(index: Index) -> None:
    groups = calibration(index, "family", 1).groups
    vectors, cells = families(600, spread=3)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -2)
    nearest = cosines.argmax(1)
    right = sum(cells[at] == cells[other] for at, other in enumerate(nearest))
    assert (sum(group.proteins for group in groups), sum(group.correct for group in groups)) == (600, right)


def test_equal_cosines_are_one_group_and_certainty_is_never_claimed() -> None:
    cosines = np.concatenate([np.ones(300), np.linspace(0, 0.9, 100)])
    groups = grouped(cosines, np.ones(400, dtype=bool))
    assert len({group.cosine for group in groups}) == len(groups)
    assert groups[-1].proteins == 300
    assert all(group.reliability < 1 for group in groups)


def test_below_the_threshold_the_answer_is_unknown(index: Index) -> None:
    vectors, _ = families(200, spread=4, seed=2)
    everything = list(Annotator.of(index, "family", min_reliability=0).annotate(vectors))
    strict = list(Annotator.of(index, "family", min_reliability=0.8).annotate(vectors))
    unknown = [each for each in strict if each.label == UNKNOWN]
    assert 20 < len(unknown) < 180
    assert all(each.reliability < 0.8 for each in unknown)
    assert all(each.reliability >= 0.8 for each in strict if each.label != UNKNOWN)
    assert [each.best for each in strict] == [each.label for each in everything]


def test_proteins_without_a_label_are_no_neighbours(tmp_path: Path) -> None:
    vectors, cells = families(200, spread=1)
    half = [("", weight) if at % 2 else (family, weight) for at, (family, weight) in enumerate(cells)]
    index = made(tmp_path / "index", MadeUp(vectors, half), columns=FAMILY)
    annotator = Annotator.of(index, "family")
    assert annotator.calibration.labelled == 100
    assert sum(group.proteins for group in annotator.calibration.groups) == 100
    found = list(annotator.annotate(vectors[1::2]))
    assert all(int(each.neighbour[1:]) % 2 == 0 for each in found)
    assert len(found) == 100


def test_a_calibration_is_kept_until_the_index_grows(index: Index) -> None:
    first = calibration(index, "family", 3)
    path = index.folder / "calibration.json"
    marked = json.loads(path.read_text())
    marked[0]["groups"][0]["reliability"] = 0.123
    path.write_text(json.dumps(marked))
    assert calibration(index, "family", 3).groups[0].reliability == 0.123
    assert calibration(index, "family", 1).neighbours == 1
    assert len(json.loads(path.read_text())) == 2
    vectors, cells = families(50, spread=3, seed=3)
    add(index.folder, MadeUp(vectors, cells, ids=[f"q{at}" for at in range(50)]))
    grown = calibration(Index.open(index.folder), "family", 3)
    assert (first.proteins, grown.proteins) == (600, 650)
    assert grown.groups[0].reliability != 0.123


def test_labels_must_be_a_column_of_text_with_enough_of_them(index: Index, tmp_path: Path) -> None:
    for name in ("nonsense", "weight"):
        with pytest.raises(InvalidConfigError, match=f"no column of text '{name}'; its columns of text: 'family'"):
            Annotator.of(index, name)
    with pytest.raises(InvalidConfigError, match="between 0 and 1, not 50"):
        Annotator.of(index, "family", min_reliability=50)
    vectors, cells = families(19, spread=1)
    few = made(tmp_path / "few", MadeUp(vectors, cells), columns=FAMILY)
    with pytest.raises(InvalidInputError, match=r"19 proteins of .* have a label in column 'family'.* 20 or more"):
        Annotator.of(few, "family")
