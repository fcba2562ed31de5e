"""How the embedded model is evaluated: baselines by hand, files as they are, tables where they belong."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from training.evaluation import mutations, page, retrieval
from training.evaluation.markov import OTHER, Markov, V, codes, contexts, count, symbols
from training.evaluation.perplexity import markov_scores

from esmkit.alphabet import STANDARD, tokenize
from esmkit.applications.mutations import score
from esmkit.applications.mutations.variants import parse
from esmkit.engine import Model
from esmkit.inputs.structures import read_structure
from esmkit.training.corpus import Corpus
from esmkit.training.validation import Validation
from esmkit.types import Record
from tests.cli_calls import EXAMPLES, ROOT, examples

A, K, M = (STANDARD.index(letter) for letter in "AKM")


def corpus(*sequences: str) -> Corpus:
    return Corpus.of(Record(index, str(index), sequence) for index, sequence in enumerate(sequences))


def test_contexts_end_where_the_sequence_does_and_at_what_is_no_amino_acid() -> None:
    symbols_T = symbols(tokenize(["MKA", "KXA"]))
    assert symbols_T.tolist() == [OTHER, M, K, A, OTHER, OTHER, K, OTHER, A, OTHER]
    seen = contexts(symbols_T, np.array([1, 2, 3, 6, 8]), 3)
    assert seen.tolist() == [
        [OTHER, OTHER, OTHER],
        [M, OTHER, OTHER],
        [K, M, OTHER],
        [OTHER, OTHER, OTHER],
        [OTHER, OTHER, OTHER],  # the K before X is not seen
    ]


def test_counts_of_every_order_are_those_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.evaluation.markov._AT_ONCE", 700)
    sequences = list(examples().values())[:6]
    counts = count(symbols(tokenize(sequences)), 2)
    assert [each.shape for each in counts] == [(1, V), (V + 1, V), ((V + 1) ** 2, V)]
    for order, counts_CV in enumerate(counts):
        by_hand = np.zeros_like(counts_CV)
        for sequence in sequences:
            indices = [STANDARD.index(letter) for letter in sequence]
            for place, residue in enumerate(indices):
                context = [*indices[max(0, place - order) : place][::-1], *[OTHER] * order][:order]
                by_hand[codes(np.array([context], dtype=np.int64).reshape(1, order))[0], residue] += 1
        np.testing.assert_array_equal(counts_CV, by_hand)


def test_orders_are_interpolated_as_by_hand() -> None:
    """After MK: K followed M twice and A once; the unigram has 1 added, spread over the 20 residues."""
    counts = count(symbols(tokenize(["MKA", "MKM", "MA"])), 1)
    model = Markov(counts, [1.0, 2.0])
    unigram, bigram = model.foretell(symbols(tokenize(["MK"])), np.array([2]))
    seen = {M: 4, K: 2, A: 2}
    for residue in (M, K, A, STANDARD.index("W")):
        expected = (seen.get(residue, 0) + 1 / 20) / 9
        assert unigram[0, residue] == pytest.approx(expected)
        after_m = {K: 2, A: 1}.get(residue, 0)
        assert bigram[0, residue] == pytest.approx((after_m + 2 * expected) / 5)
    assert unigram.sum() == pytest.approx(1)
    assert bigram.sum() == pytest.approx(1)


def test_a_markov_model_learns_what_follows_what_and_is_scored_on_hidden_residues() -> None:
    learnt = Markov.fit(corpus(*["MKA" * 20] * 200), 2)
    assert len(learnt.strengths) == 3
    held_out = Validation(corpus("MKA" * 30, "KAM" * 40), crop=1024)
    unigram, bigram, trigram = markov_scores(learnt, held_out)
    assert unigram["perplexity"] == pytest.approx(3, rel=0.02)
    assert 1 < trigram["perplexity"] <= bigram["perplexity"] < 1.05
    assert bigram["accuracy"] > 0.95 > unigram["accuracy"]


def test_assays_of_both_kinds_are_read_and_ranked(tmp_path: Path) -> None:
    (tmp_path / "named.csv").write_text("mutant,n_mut,score\nM1A,1,0.5\nK3A,1,-2\nM1W:K3W,2,-3\n")
    (tmp_path / "whole.csv").write_text("sequence,target,set,validation\nAAK,0.5,test,\nMAA,-2,train,\nWAW,-3,test,\n")
    for name in ("named", "whole"):
        assay = mutations.Assay.read(tmp_path / f"{name}.csv", "MAK")
        assert assay.variants == ["AAK", "MAA", "WAW"]
        assert assay.measured.tolist() == [0.5, -2, -3]
        assert assay.changes("WAW") == [("M", "W"), ("K", "W")]
        assert assay.up_to(1).variants == ["AAK", "MAA"]
        assert assay.up_to(None).variants == assay.variants
        # B(M, A) = B(K, A) = -1, B(M, W) + B(K, W) = -1 - 3, a tie at the top; B(M, M) = B(K, K) = 5 changes no rank
        for above_old in (False, True):
            assert assay.of_blosum62(above_old=above_old) == pytest.approx(3**0.5 / 2)


def test_the_model_is_ranked_by_its_masked_marginals(tiny: Model) -> None:
    sequence = examples()["1PGA_A"]
    variants = [f"{sequence[index]}{index + 1}W" for index in (3, 10, 20, 30)]
    scores = score(tiny, sequence, variants).scores
    texts = [parse(variant, sequence) for variant in variants]
    assert mutations.Assay(sequence, texts, scores).of_model(tiny) == pytest.approx(1)
    assert mutations.Assay(sequence, texts, -scores).of_model(tiny) == pytest.approx(-1)


def test_recall_is_the_share_of_queries_whose_nearest_is_of_the_family() -> None:
    vectors = np.array([[1.0, 0.1], [0.1, 1.0], [10.0, 0.0], [0.0, 0.1], [1.0, 1.0]])
    families = np.array(["a", "b", "a", "a", "b"])
    is_query = np.array([True, True, False, False, False])
    assert retrieval.recall_at_1(vectors, families, is_query) == 0.5
    assert retrieval.composition(["AAKM"])[0, [A, K, M]].tolist() == [0.5, 0.25, 0.25]


def report() -> dict[str, object]:
    scores = {"perplexity": 17.0, "accuracy": 0.1}
    shares = {"chance": 0.03, "L": 0.1, "L/2": 0.15, "L/5": 0.2}
    return {
        "date": "2026-01-01",
        "model": {
            "slug": "small",
            "weights_sha256": "0123456789abcdef",
            "layers": 1,
            "width": 8,
            "heads": 2,
            "parameters": 1234,
            "esmkit": "0.1.0",
        },
        "perplexity": {
            "proteins": 10,
            "hidden_residues": 1500,
            "order": 5,
            **dict.fromkeys(("unigram", "bigram", "markov", "model"), scores),
        },
        "mutations": [{"assay": "TEM-1", "variants": 4996, "blosum62": 0.3, "model": 0.4}],
        "contacts": {"structures": 28, "precision": dict.fromkeys(("all", "short", "medium", "long"), shares)},
        "retrieval": {"queries": 30, "lookups": 300, "model": 0.5, "composition": 0.2},
    }


def test_tables_replace_what_stands_between_the_marks_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "README.md"
    target.write_text(f"before\n{page.BEGIN}\nstale\n{page.END}\nafter\n")
    page.write(report(), target)
    page.write(report(), target)
    text = target.read_text()
    assert text.startswith(f"before\n{page.BEGIN}\n\nWeights `0123456789ab`")
    assert text.endswith(f"|\n\n{page.END}\nafter\n")
    assert "stale" not in text
    for cell in ("| TEM-1 | 4,996 | 0.300 | 0.400 |", "| 0.030 | 0.100 | 0.200 |", "| yes | 20.0% | 50.0% |"):
        assert cell in text
    target.write_text("no marks\n")
    with pytest.raises(ValueError, match="has no place for the tables"):
        page.write(report(), target)


def test_the_page_of_the_embedded_model_has_a_place_for_the_tables() -> None:
    text = (ROOT / "src" / "esmkit" / "models" / "embedded" / "README.md").read_text()
    assert text.index(page.BEGIN) < text.index(page.END)


def test_backbones_become_structures_that_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "training" / "backbones_to_pdb.py"
    spec = importlib.util.spec_from_file_location("backbones_to_pdb", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    places = np.array(
        [[[380 * index, 0, 0], [380 * index + 146, 0, 0], [380 * index + 247, 110, 0], [0, 0, 9]] for index in range(5)]
    )
    np.savez(
        tmp_path / "backbones.npz",
        ids=np.array(["1abc_B", "2def_A"]),
        seqs=np.array(["GKM", "WA"]),
        lengths=np.array([3, 2]),
        bb_N_CA_C_O_centi_angstrom=places.astype(np.int16),
    )
    monkeypatch.setattr("sys.argv", ["x", str(tmp_path / "backbones.npz"), str(tmp_path / "out")])
    script.main()
    first, second = (read_structure(str(tmp_path / "out" / f"{name}.pdb")) for name in ("1abc_B", "2def_A"))
    assert (first.sequence, second.sequence) == ("GKM", "WA")
    n, ca, c = places[0, :3] / 100
    b, d = ca - n, c - ca
    np.testing.assert_allclose(
        first.cb_L3[0], -0.58273431 * np.cross(b, d) + 0.56802827 * b - 0.54067466 * d + ca, atol=2e-3
    )


def test_evaluations_are_json(tmp_path: Path) -> None:
    scores = markov_scores(Markov.fit(Corpus.read([str(EXAMPLES)]), 1), Validation(Corpus.read([str(EXAMPLES)]), 1024))
    assert json.loads(json.dumps(scores)) == scores
