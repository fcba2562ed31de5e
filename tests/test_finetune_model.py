"""What is trained: LoRA begins as nothing and merges exactly, and only what is meant to has gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import esmkit
from esmkit.applications.predictors import Base, Card, Task, lora, read_predictor
from esmkit.applications.predictors.network import Head, Network
from esmkit.batching import LengthPolicy
from esmkit.errors import InvalidConfigError, WeightsError
from esmkit.outputs import build
from esmkit.training.features import FrozenFeatures, ModelFeatures
from esmkit.training.finetune import make_trainable, new_head
from esmkit.training.supervised import Adapter
from tests.labelled import REGRESSION, RESIDUES, SHAPE, neighbours, proteins, read, recipe, save_model, solubility

SEQUENCES = proteins(12, seed=3)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_model(tmp_path / "base")


def shaken(module: torch.nn.Module) -> None:
    """LoRA that has learnt something."""
    generator = torch.Generator().manual_seed(7)
    for _, change in lora.changes(module):
        change.b.data.normal_(0.0, 0.3, generator=generator)


def test_lora_starts_as_the_identity_bit_for_bit(base: Path) -> None:
    expected = esmkit.load(base).embed(SEQUENCES)
    model = esmkit.load(base)
    lora.add(model.engine.loaded.module, blocks=2, rank=4, alpha=8, seed=0)
    assert len(list(lora.changes(model.engine.loaded.module))) == 8
    np.testing.assert_array_equal(model.embed(SEQUENCES), expected)


def test_merged_lora_answers_as_unmerged_lora_does(base: Path) -> None:
    model, merged = esmkit.load(base), esmkit.load(base)
    before = merged.embed(SEQUENCES)
    lora.add(model.engine.loaded.module, blocks=2, rank=4, alpha=8, seed=0)
    shaken(model.engine.loaded.module)
    changes = {
        name: (change.a.detach(), change.b.detach()) for name, change in lora.changes(model.engine.loaded.module)
    }
    Network(Head(16, 0, 1), REGRESSION, changes, 8 / 4).adapt(merged.engine.loaded.module)
    np.testing.assert_allclose(merged.embed(SEQUENCES), model.embed(SEQUENCES), atol=1e-5, rtol=1e-5)
    assert np.abs(merged.embed(SEQUENCES) - before).max() > 0.1
    contacts = [one.contacts(SEQUENCES[0]) for one in (model, merged)]
    np.testing.assert_allclose(*contacts, atol=1e-5)


def trained(module: torch.nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("last", [1, 2])
@pytest.mark.parametrize("kind", ["lora", "full"])
def test_only_what_is_wanted_has_gradients(kind: str, last: int, base: Path, tmp_path: Path) -> None:
    data = read(solubility(tmp_path / "t.csv", 20), REGRESSION)
    module = esmkit.load(base).engine.loaded.module
    make_trainable(module, Adapter(kind, 4, 8.0), last=last, seed=0)
    shaken(module)
    features = ModelFeatures(module, [last], recipe())
    features(data.batch([0, 1, 2])).square().sum().backward()
    wanted = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert trained(module) == wanted
    blocks = {name.split(".")[1] for name in wanted if name.startswith("blocks.")}
    assert blocks == {str(number) for number in range(last)}
    if kind == "lora":
        assert all("parametrizations.weight.0." in name for name in wanted)
        assert len(wanted) == last * 4 * 2
    else:
        others = {name.split(".")[0] for name in wanted} - {"blocks"}
        assert others == ({"embedding", "final_norm"} if last == SHAPE.num_layers else {"embedding"})


@pytest.mark.parametrize("task", [REGRESSION, RESIDUES])
@pytest.mark.parametrize("length", [LengthPolicy(), LengthPolicy("window", 16), LengthPolicy("truncate", 16)])
@pytest.mark.parametrize("layers", [(2,), (0, 1)])
def test_features_in_training_are_those_of_the_engine(
    task: Task, length: LengthPolicy, layers: tuple[int, ...], base: Path, tmp_path: Path
) -> None:
    table = (solubility if task == REGRESSION else neighbours)(tmp_path / "t.csv", 20)
    data = read(table, task, length=length)
    model = esmkit.load(base)
    frozen = FrozenFeatures.of(model, data, layers, length, tmp_path)
    batch = data.batch(list(range(20))[::-1])
    with torch.no_grad():
        found = ModelFeatures(model.engine.loaded.module, layers, recipe())(batch)
    assert found.shape == (batch.num_lines, 16 * len(layers))
    np.testing.assert_allclose(found.numpy(), frozen(batch).numpy(), atol=1e-5, rtol=1e-5)


def test_a_new_head_predicts_the_mean_and_sees_whitened_features(base: Path, tmp_path: Path) -> None:
    data = read(solubility(tmp_path / "t.csv", 40), REGRESSION)
    frozen = FrozenFeatures.of(esmkit.load(base), data, (2,), LengthPolicy(), tmp_path)
    train = data.batch(data.parts["train"].tolist())
    for hidden in (0, 5):
        head = new_head(data, frozen, hidden, seed=0)
        with torch.no_grad():
            np.testing.assert_allclose(head(frozen(train))[:, 0], train.targets.mean(), atol=1e-6)
        seen = ((frozen(train) - head.centre) @ head.whitening).numpy()
        np.testing.assert_allclose(seen.mean(0), 0, atol=1e-3)
        covariance = np.cov(seen.T, bias=True)
        variances = covariance.diagonal()
        np.testing.assert_allclose(covariance - np.diag(variances), 0, atol=1e-3)
        assert 0.9 < variances.max() < 1
        assert (np.diff(variances) > -1e-3).all()


def save_predictor(folder: Path, base: Path, task: Task = REGRESSION) -> Path:
    """A predictor of random numbers."""
    folder.mkdir()
    head = Head(16, 0, task.num_outputs)
    torch.nn.init.normal_(head.layers[0].weight, generator=torch.Generator().manual_seed(1))
    Network(head, task).write(folder)
    base_of = esmkit.load(base).provenance
    settings = {"hidden": 0, "adapter": {"kind": "none", "rank": 0, "alpha": 0.0}}
    about = Base(base_of["slug"], base_of["source"], base_of["weights_sha256"])
    Card("network", task, about, (2,), "mean", settings).write(folder)
    return folder


def test_another_base_model_is_refused(base: Path, tmp_path: Path) -> None:
    saved = read_predictor(save_predictor(tmp_path / "predictor", base))
    other = esmkit.load(save_model(tmp_path / "other", seed=1))
    with pytest.raises(
        InvalidConfigError, match=r"was trained on tiny with weights of sha256 \w+..., not on tiny with"
    ):
        saved.put_on(other)


def test_the_base_is_found_by_path_else_by_name(base: Path, tmp_path: Path) -> None:
    folder = save_predictor(tmp_path / "predictor", base)
    assert read_predictor(folder).base == str(base)
    base.rename(tmp_path / "moved")
    assert read_predictor(folder).base == "tiny"
    found = esmkit.load_predictor(folder, model=tmp_path / "moved").predict(SEQUENCES)
    assert found.shape == (12,)


def test_results_say_which_predictor_made_them(base: Path, tmp_path: Path) -> None:
    folder = save_predictor(tmp_path / "predictor", base)
    (result,) = esmkit.load_predictor(folder).run("MKT")
    assert result.meta["provenance"]["predictor_sha256"] == read_predictor(folder).sha256
    assert list(result.arrays) == ["prediction"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "predictor.json").unlink(), "is no predictor: it holds no predictor.json"),
        (lambda f: (f / "predictor.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "predictor.json").write_text('{"format": 99}'), "is not of format 1"),
        (lambda f: (f / "predictor.json").write_text('{"format": 1}'), "cannot be read"),
        (lambda f: replace_in(f, '"network"', '"oracle"'), "the kind is 'oracle'; this esmkit knows network"),
        (lambda f: replace_in(f, '"hidden": 0', '"hidden": 9'), "does not fit predictor.json"),
        (lambda f: (f / "predictor.safetensors").write_bytes(b"x" * 100), "cannot be read"),
        (lambda f: Network(Head(16, 0, 1).apply(spoilt), REGRESSION).write(f), "holds NaN or Inf"),
    ],
)
def test_a_damaged_predictor_is_an_error_that_names_the_file(
    spoil: object, message: str, base: Path, tmp_path: Path
) -> None:
    folder = save_predictor(tmp_path / "predictor", base)
    spoil(folder)  # type: ignore[operator]
    with pytest.raises(WeightsError, match=message) as caught:
        read_predictor(folder)
    assert "predictor" in str(caught.value.path)


def replace_in(folder: Path, old: str, new: str) -> None:
    path = folder / "predictor.json"
    path.write_text(path.read_text().replace(old, new))


def spoilt(module: torch.nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        parameter.data.fill_(float("nan"))


def test_a_predictor_is_no_output_that_anyone_can_ask_for_by_name() -> None:
    with pytest.raises(esmkit.EsmkitError, match="unknown output 'property'"):
        build(["property"], SHAPE)
