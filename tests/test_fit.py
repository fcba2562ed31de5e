"""Fitting predictors: it learns, chooses without the test part, and what it saves answers the same and is safe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.ensemble
import sklearn.preprocessing
from skops import io

import esmkit
from esmkit.applications.fitting import Fit, FitOptions, fit, read_fit_data
from esmkit.applications.fitting.baselines import composition, onehot
from esmkit.applications.fitting.candidates import Candidate, candidates, wanted
from esmkit.applications.fitting.intervals import intervals
from esmkit.applications.fitting.selection import Contest
from esmkit.applications.labelled import Columns
from esmkit.applications.predictors import Task, read_predictor
from esmkit.applications.predictors.estimator import FILE, Estimator
from esmkit.applications.vectors import VectorCache, vectors
from esmkit.batching import LengthPolicy
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError, InvalidRecordError, SequenceTooLongError, WeightsError
from esmkit.inputs import from_sequences
from esmkit.types import Record
from tests.labelled import REGRESSION, proteins, save_model, share_of, solubility, write_table

CLASSES = Task("classification", "sequence", "label")
RIDGE = FitOptions(estimator="ridge", layers=(2,), folds=3)
UNSEEN = proteins(12, seed=9, letters="ACDEFG")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture(scope="module")
def model(base: Path) -> Model:
    return esmkit.load(base)


def fitted(model: Model, table: Path, options: FitOptions = RIDGE, task: Task = REGRESSION, **more: Any) -> Fit:
    split = more.pop("column", None)
    return fit(model, read_fit_data({"train": str(table)}, Columns("label", split=split), task), options, **more)


def classes(path: Path, number: int = 90) -> Path:
    """Three classes that composition tells."""
    shares = [(sequence, share_of("AC", sequence)) for sequence in proteins(number, letters="ACDEFG")]
    ends = np.quantile([share for _, share in shares], [1 / 3, 2 / 3])
    return write_table(path, [(sequence, "abc"[int((share > ends).sum())]) for sequence, share in shares])


def seen_by(model: Model, found: Fit, sequences: list[str]) -> Any:
    """Features as the estimator gets them."""
    records, card = list(from_sequences(sequences)), found.card
    return vectors(model, records, layers=card.layers, pooling=card.pooling)[:, 0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "estimator", "pooling"),
    [
        (REGRESSION, "ridge", "mean"),
        (REGRESSION, "boosting", "max"),
        (REGRESSION, "mlp", "bos"),
        (CLASSES, "logistic", "max"),
        (CLASSES, "boosting", "mean"),
        (CLASSES, "mlp", "mean"),
    ],
)
def test_a_saved_predictor_answers_as_the_estimator_itself(
    task: Task, estimator: Any, pooling: Any, model: Model, base: Path, tmp_path: Path
) -> None:
    table = (solubility if task == REGRESSION else classes)(tmp_path / "t.csv", 60)
    options = FitOptions(estimator=estimator, layers=(1,), pooling=(pooling,), folds=2)
    found = fitted(model, table, options, task)
    folder = found.save(tmp_path / "predictor")
    assert sorted(path.name for path in folder.iterdir()) == ["predictor.json", "predictor.skops"]
    loaded = read_predictor(folder)
    assert (loaded.card, loaded.card.pooling, loaded.card.layers) == (_as_json(found), pooling, (1,))
    assert loaded.card.settings["estimator"] == estimator
    own = found.estimator.model
    features = seen_by(model, found, UNSEEN).astype(np.float64)
    predictor = esmkit.load_predictor(folder)
    results = predictor.run(UNSEEN)
    if task == REGRESSION:
        np.testing.assert_allclose(predictor.predict(UNSEEN), own.predict(features), atol=1e-5, rtol=1e-5)
        return
    shares = np.array([[result.arrays[f"probability_{name}"] for name in "abc"] for result in results])
    np.testing.assert_allclose(shares, own.predict_proba(features), atol=1e-5)
    assert predictor.predict(UNSEEN) == ["abc"[number] for number in own.predict(features)]


def _as_json(found: Fit) -> Any:
    """The card as it reads back: tuples are lists."""
    plain = {name: json.loads(json.dumps(getattr(found.card, name))) for name in ("settings", "metrics", "provenance")}
    return replace(found.card, **plain)


def test_it_learns_and_tells_how_sure_it_is(model: Model, tmp_path: Path) -> None:
    found = fitted(model, solubility(tmp_path / "t.csv", 200), replace(RIDGE, layers=(), baselines=("composition",)))
    test = found.card.metrics["test"]
    assert test["proteins"] == 40
    assert test["spearman"] > 0.8
    for name, (low, high) in test["intervals"].items():
        assert low <= test[name] <= high, name
        assert low < high
    assert found.card.metrics["baselines"]["composition"]["test"]["spearman"] > 0.9
    assert [trial.features for trial in found.trials[::8]] == ["layer 1, mean", "layer 2, mean", "composition"]
    assert found.chosen.criterion == max(trial.criterion for trial in found.trials[:16])
    assert found.card.metrics["cross_validation"]["r2"] == found.chosen.criterion


def test_the_test_part_decides_nothing(model: Model, tmp_path: Path) -> None:
    """Other labels and other proteins in the test part: the same choice, the same estimator, another score."""
    header = ("sequence", "label", "split")
    rows = [(s, share_of("AC", s), "train" if n < 60 else "test") for n, s in enumerate(proteins(80, letters="ACDEFG"))]
    other = [*rows[:60], *((s, n, "test") for n, s in enumerate(proteins(20, seed=5, letters="WY")))]
    options = FitOptions(layers=(0, 2), folds=3, pooling=("mean", "max"), estimator="ridge")
    one, two = (
        fitted(model, write_table(tmp_path / f"{n}.csv", table, header), options, column="split")
        for n, table in enumerate([rows, other])
    )
    assert one.card.settings == two.card.settings
    assert [trial.to_dict() for trial in one.trials] == [trial.to_dict() for trial in two.trials]
    np.testing.assert_array_equal(one.estimator.model[-1].coef_, two.estimator.model[-1].coef_)
    assert one.card.metrics["test"]["spearman"] > two.card.metrics["test"]["spearman"]


@pytest.mark.parametrize("estimator", ["ridge", "boosting"])
def test_held_out_folds_are_not_learnt_from(estimator: Any) -> None:
    """Trees that have seen a row remember its noise."""
    generator = np.random.default_rng(0)
    x, noise = generator.normal(size=(120, 5)), generator.normal(size=120)
    folds = np.array_split(generator.permutation(120), 4)
    trial = Contest(REGRESSION, noise, folds, 0, lambda _: None).best("noise", x, candidates(estimator))
    assert trial.criterion < 0.1
    seen = candidates(estimator)[-1].fit(x, noise, seed=0)
    assert np.corrcoef(seen.predict(x), noise)[0, 1] > (0.7 if estimator == "boosting" else 0.1)


def test_standardisation_is_learnt_within_each_fold() -> None:
    """A fold that lies elsewhere would shift what is standardised with it."""
    seen: list[Any] = []

    class Spy(Candidate):
        def fit(self, x_nF: Any, y_n: Any, **options: Any) -> Any:
            model = super().fit(x_nF, y_n, **options)
            seen.append((len(x_nF), model[0].mean_))
            return model

    x = np.arange(12.0)[:, None]
    Contest(REGRESSION, np.sin(x[:, 0]), [np.arange(6), np.arange(6, 12)], 0, lambda _: None).best(
        "x", x, [Spy("ridge", "alpha", 1.0)]
    )
    assert [(rows, mean.tolist()) for rows, mean in seen] == [(6, [8.5]), (6, [2.5])]


def test_the_same_seed_gives_the_same_predictor(model: Model, tmp_path: Path) -> None:
    table = solubility(tmp_path / "t.csv", 60)
    options = FitOptions(layers=(2,), folds=2, estimator="mlp")
    one, two = (fitted(model, table, options) for _ in range(2))
    assert one.card == two.card


def test_rows_of_relatives_make_wide_intervals() -> None:
    generator = np.random.default_rng(2)
    truth = generator.integers(0, 2, 400)
    right = generator.random(400) < 0.8
    answers = np.eye(2)[np.where(right, truth, 1 - truth)]
    task = replace(CLASSES, classes=("no", "yes"))
    low, high = intervals(task, answers, truth, np.arange(400), seed=0)["accuracy"] or (0, 0)
    spread = 1.96 * (0.8 * 0.2 / 400) ** 0.5
    assert high - low == pytest.approx(2 * spread, rel=0.15)
    assert low < right.mean() < high
    repeated = np.repeat(np.arange(100), 4)
    ends = intervals(task, np.repeat(answers[:100], 4, 0), np.repeat(truth[:100], 4), repeated, seed=0)["accuracy"]
    assert ends is not None
    assert ends[1] - ends[0] == pytest.approx(4 * spread, rel=0.25)  # a hundred witnesses, not four hundred


def test_what_no_sample_defines_has_no_interval() -> None:
    truth = np.ones(9, dtype=int)
    found = intervals(replace(CLASSES, classes=("a", "b")), np.eye(2)[truth], truth, np.arange(9), seed=0)
    assert (found["auroc"], found["mcc"], found["accuracy"]) == (None, None, (1.0, 1.0))


def test_onehot_ridge_learns_additive_effects(model: Model, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    effects = generator.normal(size=(30, 26))
    wild = generator.integers(0, 6, 30)
    rows = []
    for _ in range(150):
        letters = np.where(generator.random(30) < 0.1, generator.integers(0, 6, 30), wild)
        rows.append(("".join("ACDEFG"[number] for number in letters), effects[np.arange(30), letters].sum()))
    found = fitted(model, write_table(tmp_path / "t.csv", rows), replace(RIDGE, baselines=("onehot",)))
    assert found.card.metrics["baselines"]["onehot"]["test"]["spearman"] > 0.8
    table = onehot([Record(0, "a", "MKA"), Record(1, "b", "MCA"), Record(2, "c", "MKD")])
    assert table.toarray().tolist() == [[0, 1, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1]]
    shares = composition([Record(0, "a", "LLAG")])
    assert (shares.shape, shares[0].sum()) == ((1, 21), pytest.approx(1 + np.log(4)))


def test_bad_rows_stop_it_before_the_model_runs(model: Model, base: Path, tmp_path: Path) -> None:
    table = solubility(tmp_path / "t.csv", 30)
    with pytest.raises(InvalidRecordError, match=r"line 3, record 'row2' has \d+ residues, 'row1' has \d+;"):
        fitted(model, table, replace(RIDGE, baselines=("onehot",)))
    short = esmkit.load(base, length=LengthPolicy(limit=25))
    with pytest.raises(SequenceTooLongError, match="the limit is 25"):
        fitted(short, table)
    with pytest.raises(InvalidConfigError, match="--estimator logistic is not for regression; choose auto, ridge"):
        fitted(model, table, replace(RIDGE, estimator="logistic"))
    for options, message in (
        ({"pooling": ("median",)}, "--pooling 'median': choose from mean, max, bos"),
        ({"baselines": ("blosum",)}, "--baseline 'blosum': choose from composition, onehot"),
        ({"folds": 1}, "--folds must be 2 or more"),
    ):
        with pytest.raises(InvalidConfigError, match=message):
            FitOptions(**options)


def test_vectors_are_computed_once(model: Model, tmp_path: Path) -> None:
    table, cache = solubility(tmp_path / "t.csv", 30), VectorCache(tmp_path / "cache")
    one = fitted(model, table, cache=cache)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert fitted(model, table, cache=cache).card == one.card


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    return fitted(model, solubility(tmp_path / "t.csv", 30)).save(tmp_path / "predictor")


def test_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    other = save_model(tmp_path / "other", seed=1)
    with pytest.raises(
        InvalidConfigError, match=r"was trained on tiny with weights of sha256 \w+..., not on tiny with"
    ):
        esmkit.load_predictor(folder, model=other)


def test_a_predictor_is_replaced_only_when_asked(model: Model, folder: Path, tmp_path: Path) -> None:
    found = fitted(model, solubility(tmp_path / "t.csv", 40))
    with pytest.raises(InvalidConfigError, match="exists and is not empty"):
        found.save(folder)
    found.save(folder, overwrite=True)
    assert read_predictor(folder).card.metrics["train"]["proteins"] == 32
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(InvalidConfigError, match="exists and is not empty"):
        found.save(tmp_path / "mine", overwrite=True)
    assert [path.name for path in tmp_path.glob(".*")] == []


class Foreign:
    """A type that is no part of any predictor."""


def swap(folder: Path, model: Any) -> None:
    io.dump(model, folder / FILE)


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (Foreign(), "holds what no predictor of esmkit consists of: tests.test_fit.Foreign"),
        (sklearn.preprocessing.FunctionTransformer(np.exp), "consists of: FunctionTransformer"),
        (sklearn.ensemble.RandomForestRegressor(n_estimators=1), "consists of: RandomForestRegressor"),
        ({"model": [1, 2]}, "consists of: dict"),
    ],
)
def test_foreign_types_are_refused_by_name(put: Any, message: str, folder: Path) -> None:
    swap(folder, put)
    with pytest.raises(WeightsError, match=message):
        read_predictor(folder)


def test_a_damaged_file_is_an_error_that_names_it(folder: Path) -> None:
    whole = (folder / FILE).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"PK\x03\x04nonsense"):
        (folder / FILE).write_bytes(content)
        with pytest.raises(WeightsError, match=r"predictor\.skops cannot be read") as caught:
            read_predictor(folder)
        assert caught.value.path == str(folder / FILE)


def test_an_estimator_that_answers_otherwise_than_when_it_was_saved_is_refused(folder: Path) -> None:
    card = json.loads((folder / "predictor.json").read_text())
    card["settings"]["probe"][1][0] += 0.01
    (folder / "predictor.json").write_text(json.dumps(card))
    with pytest.raises(WeightsError, match="answers otherwise than when it was saved"):
        read_predictor(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [("left", 10_000), ("right", 0), ("feature_idx", 999), ("feature_idx", -1), ("is_categorical", 1)],
)
def test_a_tree_whose_branches_lead_nowhere_is_refused(field: str, value: int, model: Model, tmp_path: Path) -> None:
    table = solubility(tmp_path / "t.csv", 120)
    found = fitted(model, table, replace(RIDGE, estimator="boosting", folds=2))
    folder = found.save(tmp_path / "predictor")
    assert isinstance(read_predictor(folder).fitted, Estimator)
    nodes = found.estimator.model[-1]._predictors[3][0].nodes
    assert len(nodes) > 1
    nodes[field][0] = value
    swap(folder, found.estimator.model)
    with pytest.raises(WeightsError, match="a tree of it is none"):
        read_predictor(folder)


def test_auto_tries_what_suits_the_task() -> None:
    assert wanted("auto", "regression") == ("ridge", "boosting", "mlp")
    assert wanted("auto", "classification") == ("logistic", "boosting", "mlp")
    assert wanted("mlp", "classification") == ("mlp",)
