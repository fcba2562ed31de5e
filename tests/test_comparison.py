"""Comparing two proteins: alignments are the best there are, and say what two proteins share."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer.main

from esmkit.applications.comparison import Settings, align, compare, contrast, cosines
from esmkit.applications.comparison.plot import draw_dot_plot
from esmkit.applications.comparison.view import rows, text
from esmkit.cli import app
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError, InvalidSequenceError
from esmkit.types import Record
from tests.cli_calls import EXAMPLES, Esmkit, examples, in_process, write_fasta

BPTI, GB1 = examples()["5PTI_A"], examples()["1PGA_A"]
ALONE = Settings(shuffles=0)


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


def brute_force(scores: np.ndarray, *, local: bool, gap_open: float, gap_extend: float) -> float:
    """The best score over every alignment there is, state by state, as the textbook has it."""
    height, width = scores.shape

    @cache
    def best(row: int, column: int, last: str) -> float:
        """Of alignments of the first residues that end in a pair, a gap in B or a gap in A."""
        if last == "pair":
            if row == 0 or column == 0:
                return 0.0 if row == column == 0 or local else -np.inf
            before = max(best(row - 1, column - 1, state) for state in ("pair", "gap_in_b", "gap_in_a"))
            return scores[row - 1, column - 1] + (max(before, 0.0) if local else before)
        back = (row - 1, column) if last == "gap_in_b" else (row, column - 1)
        if min(back) < 0:
            return -np.inf
        costs = {state: gap_extend if state == last else gap_open for state in ("pair", "gap_in_b", "gap_in_a")}
        return max(best(*back, state) - cost for state, cost in costs.items())

    ends = itertools.product(range(height + 1), range(width + 1)) if local else [(height, width)]
    found = max(best(*end, state) for end in ends for state in ("pair", "gap_in_b", "gap_in_a"))
    return max(found, 0.0) if local else found


def score_of(scores: np.ndarray, pairs: np.ndarray, *, local: bool, gap_open: float, gap_extend: float) -> float:
    """What an alignment is worth, counted from its pairs."""
    total = float(scores[tuple(pairs.T)].sum())
    stops = [*pairs.tolist()]
    if not local:
        stops = [[-1, -1], *stops, list(scores.shape)]
    for (row, column), (next_row, next_column) in itertools.pairwise(stops):
        for gap in (next_row - row - 1, next_column - column - 1):
            total -= gap_open + gap_extend * (gap - 1) if gap else 0.0
    return total


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("costs", [(0.0, 0.0), (1.0, 1.0), (2.0, 0.5), (3.0, 0.0)])
def test_an_alignment_is_the_best_of_all(local: bool, costs: tuple[float, float]) -> None:
    generator = np.random.default_rng(0)
    gap_open, gap_extend = costs
    for _ in range(25):
        scores = generator.normal(-0.3, 2, size=generator.integers(1, 8, 2))
        found = align(scores, mode="local" if local else "global", gap_open=gap_open, gap_extend=gap_extend)
        known = {"local": local, "gap_open": gap_open, "gap_extend": gap_extend}
        assert found.score == pytest.approx(brute_force(scores, **known), abs=1e-9)
        assert (np.diff(found.pairs, axis=0) >= 1).all()
        assert found.score == pytest.approx(score_of(scores, found.pairs, **known), abs=1e-9)


def test_nothing_alike_is_no_local_alignment() -> None:
    found = align(np.full((3, 4), -1.0))
    assert (found.score, found.pairs.shape) == (0.0, (0, 2))


def test_gap_costs_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InvalidConfigError, match="open 1, extend 2"):
        align(np.ones((2, 2)), gap_open=1, gap_extend=2)
    with pytest.raises(InvalidConfigError, match="at least 2 shuffles"):
        Settings(shuffles=1)


def test_contrast_is_the_mean_of_both_z_scores() -> None:
    similarity = cosines(*np.random.default_rng(0).normal(size=(2, 6, 5)))
    assert np.abs(similarity).max() <= 1
    expected = np.empty_like(similarity)
    for row, column in np.ndindex(similarity.shape):
        lines = (similarity[row], similarity[:, column])
        expected[row, column] = np.mean([(similarity[row, column] - line.mean()) / line.std() for line in lines])
    np.testing.assert_allclose(contrast(similarity), expected, atol=1e-9)


def test_a_protein_against_itself_is_the_diagonal(tiny: Model) -> None:
    found = compare(tiny, BPTI, BPTI, ALONE)
    assert found.alignment.pairs.tolist() == [[index, index] for index in range(len(BPTI))]
    np.testing.assert_allclose(found.pair_cosines, 1, atol=1e-6)
    assert found.identity == 1
    (stretch,) = found.stretches
    assert (stretch.start_a, stretch.end_a, stretch.start_b, stretch.end_b) == (1, 58, 1, 58)


def test_a_domain_is_found_within_another_protein(tiny: Model) -> None:
    found = compare(tiny, BPTI, GB1[:30] + BPTI + GB1[30:], ALONE)
    offsets = found.alignment.pairs[:, 1] - found.alignment.pairs[:, 0]
    assert (offsets == 30).mean() > 0.9


def test_a_protein_scores_higher_than_its_shuffles(tiny: Model) -> None:
    found = compare(tiny, BPTI, BPTI, Settings(shuffles=4, seed=1))
    assert found.significance is not None
    assert len(set(found.significance.scores)) == 4
    assert max(found.significance.scores) < found.alignment.score
    spread = np.std(found.significance.scores, ddof=1)
    expected = (found.alignment.score - np.mean(found.significance.scores)) / spread
    assert found.significance.z_score == pytest.approx(expected)


def test_a_seed_decides_the_shuffles(tiny: Model) -> None:
    first, again, other = (compare(tiny, BPTI, GB1, Settings(shuffles=3, seed=seed)) for seed in (7, 7, 8))
    assert first.significance == again.significance != other.significance


def test_stretches_have_no_gap_and_stay_alike(tiny: Model) -> None:
    changed = BPTI[:20] + GB1[:12] + BPTI[20:]
    found = compare(tiny, BPTI, changed, Settings(shuffles=0, conserved=0.5, shortest=5))
    assert len(found.stretches) >= 2
    places = dict(zip(map(tuple, (found.alignment.pairs + 1).tolist()), found.pair_similarity.tolist(), strict=True))
    for each in found.stretches:
        assert each.end_a - each.start_a == each.end_b - each.start_b >= 4
        inside = [places[each.start_a + step, each.start_b + step] for step in range(each.end_a - each.start_a + 1)]
        assert each.similarity == pytest.approx(np.mean(inside))
    numbers = [row[6] for row in rows(found)]
    assert [numbers.count(number) for number in range(1, len(found.stretches) + 1)] == [
        each.end_a - each.start_a + 1 for each in found.stretches
    ]


def test_the_text_has_80_columns_and_spells_both_proteins(tiny: Model) -> None:
    names = (Record(0, "a" * 100, BPTI), Record(0, "b", BPTI[:25] + "GGGGG" + BPTI[25:]))
    found = compare(tiny, *names, Settings(shuffles=2, mode="global"))
    lines = list(text(found))
    assert max(map(len, lines)) <= 80
    blocks = [line for line in lines if line.startswith(("aaaaaaaaaaaaaa ", "b             "))]
    spelled = ["".join(line.split()[2] for line in blocks[start::2]).replace("-", "") for start in (0, 1)]
    assert spelled == [names[0].sequence, names[1].sequence]
    assert blocks[0].split()[1] == "1"
    assert [int(line.split()[3]) for line in blocks[-2:]] == [58, 63]


def test_two_proteins_can_be_given_in_every_way(esmkit: Esmkit, tmp_path: Path) -> None:
    both = write_fasta(tmp_path / "both.fasta", [("a", BPTI), ("b", GB1)])
    one, other = (write_fasta(tmp_path / f"{name}.fasta", [(name, each)]) for name, each in (("a", BPTI), ("b", GB1)))
    quick = ("--shuffles", "0", "--quiet")
    first = esmkit("compare", both, *quick)
    assert first.code == 0, first.err
    assert first.out == esmkit("compare", one, other, *quick).out
    assert esmkit("compare", both, "--id", "b", "--id", "a", *quick).out.startswith(
        "A b, 56 residues\nB a, 58 residues"
    )
    written = esmkit("compare", "--sequence", BPTI, "--sequence", GB1, *quick)
    assert written.out.splitlines()[2:5] == first.out.splitlines()[2:5]


def test_the_table_has_a_row_per_pair(esmkit: Esmkit, tmp_path: Path) -> None:
    call = ("compare", EXAMPLES, "--id", "5PTI_A", "--id", "1PGA_A", "--mode", "global", "--shuffles", "0", "--json")
    told = []
    for suffix in ("csv", "json", "parquet"):
        done = esmkit(*call, "--out", tmp_path / "folder" / f"pairs.{suffix}")
        assert done.code == 0, done.err
        told.append(done.out)
    assert len(set(told)) == 1
    facts = json.loads(told[0])
    with (tmp_path / "folder" / "pairs.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [[int(row["position_a"]), int(row["position_b"])] for row in table] == facts["pairs"]
    assert all(row["residue_a"] == BPTI[int(row["position_a"]) - 1] for row in table)
    assert all(row["residue_b"] == GB1[int(row["position_b"]) - 1] for row in table)
    objects = json.loads((tmp_path / "folder" / "pairs.json").read_text())
    assert objects == pq.read_table(tmp_path / "folder" / "pairs.parquet").to_pylist()
    assert np.mean([each["cosine"] for each in objects]) == pytest.approx(facts["mean_cosine"])


def test_the_dot_plot_is_a_picture(tiny: Model, tmp_path: Path) -> None:
    found = compare(tiny, Record(0, "a$_{x}", BPTI), Record(0, "b", GB1[:3]), Settings(shuffles=0, background=9))
    assert len(found.alignment.pairs) == 0
    draw_dot_plot(found, tmp_path / "folder" / "dots.png")
    assert (tmp_path / "folder" / "dots.png").read_bytes()[:4] == b"\x89PNG"
    assert list(text(found))[-1] == "nothing in the two is similar enough to be aligned"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give two files"),
        (("--sequence", "MK"), "--sequence twice"),
        ((EXAMPLES,), "more than two proteins"),
        ((EXAMPLES, "--id", "5PTI_A"), "--id twice"),
        ((EXAMPLES, "--id", "5PTI_A", "--id", "P00000"), "no protein 'P00000'"),
        (("--sequence", "MK", "--sequence", "MJ"), "record 'seq2', position 2: found 'J'"),
        (("--sequence", "MK", "--sequence", "ML", "--out", "pairs.xls"), "choose .csv"),
        (("--sequence", "MK", "--sequence", "ML", "--plot", "dots.gif"), "a picture ends with"),
    ],
)
def test_what_cannot_be_compared_is_refused(esmkit: Esmkit, arguments: tuple[str, ...], message: str) -> None:
    done = esmkit("compare", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_the_command_has_the_defaults_of_the_library() -> None:
    parameters = {each.name: each.default for each in typer.main.get_command(app).commands["compare"].params}
    for field in dataclasses.fields(Settings):
        assert parameters[field.name] == field.default


def test_an_error_names_the_protein(tiny: Model) -> None:
    with pytest.raises(InvalidSequenceError, match="record 'B', position 3"):
        compare(tiny, "MKT", "MK*", ALONE)
