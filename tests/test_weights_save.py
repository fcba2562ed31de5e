"""Saving: transformers opens what we write, and what is loaded again is equal bit by bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from esmkit.alphabet import TOKENS
from esmkit.errors import InvalidConfigError
from esmkit.layers.layout import Layout
from esmkit.models.esm2 import Esm2
from esmkit.models.save import save_pretrained
from tests.checkpoint_files import SHAPE, assert_holds, load_path, state_of
from tests.conftest import randomize


@pytest.fixture
def module() -> Esm2:
    module = Esm2(SHAPE).requires_grad_(False).eval()
    randomize(module)
    return module


def assert_equal(loaded: torch.nn.Module, saved: torch.nn.Module) -> None:
    expected = dict(saved.named_parameters())
    found = dict(loaded.named_parameters())
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_round_trip_is_bit_equal(dtype: torch.dtype, module: Esm2, tmp_path: Path) -> None:
    module = module.to(dtype)
    save_pretrained(module, tmp_path / "model")
    assert_equal(load_path(tmp_path / "model", dtype=dtype).module, module)


def test_sharded_round_trip_is_bit_equal_and_indexed(module: Esm2, tmp_path: Path) -> None:
    save_pretrained(module, tmp_path / "model", shard_bytes=30_000)
    index = json.loads((tmp_path / "model" / "model.safetensors.index.json").read_text())
    files = sorted((tmp_path / "model").glob("model-*.safetensors"))
    assert len(files) > 2
    assert all(path.stat().st_size < 40_000 for path in files)
    for path in files:
        assert {name for name, file in index["weight_map"].items() if file == path.name} == set(load_file(path))
    assert_equal(load_path(tmp_path / "model").module, module)


@pytest.mark.parametrize("shard_bytes", [10**9, 30_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_transformers_opens_it_with_nothing_missing(
    dtype: torch.dtype, shard_bytes: int, module: Esm2, tmp_path: Path
) -> None:
    from transformers import EsmForMaskedLM

    save_pretrained(module, tmp_path / "model", dtype=dtype, shard_bytes=shard_bytes)
    model, report = EsmForMaskedLM.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert {name: list(found) for name, found in report.items()} == {name: [] for name in report}
    assert model.dtype == dtype
    assert_holds(load_path(tmp_path / "model", dtype=dtype), state_of(model))


def test_transformers_gives_the_same_logits(module: Esm2, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    from esmkit.types import Needs

    save_pretrained(module, tmp_path / "model")
    tokens = torch.tensor([0, *range(4, 30), 32, 5, 2])
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path / "model").eval()(tokens[None]).logits[0]
    ours = module(tokens, Layout.of((0, len(tokens)), "cpu"), Needs(logits=True)).logits
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_auto_tokenizer_of_a_saved_model_gives_our_tokens(module: Esm2, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    save_pretrained(module, tmp_path / "model")
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer("MKB<mask>L")["input_ids"] == [0, 20, 15, 25, 32, 4, 2]
    assert tokenizer.convert_tokens_to_ids(list(TOKENS)) == list(range(33))


def test_saving_into_a_folder_with_content_is_refused(module: Esm2, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("precious")
    with pytest.raises(InvalidConfigError, match="not empty"):
        save_pretrained(module, tmp_path / "model")
    assert (tmp_path / "model" / "thesis.txt").read_text() == "precious"


def test_failed_save_leaves_nothing(module: Esm2, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save_pretrained(module, tmp_path / "model", about={"slug": object()})
    assert list(tmp_path.iterdir()) == []
