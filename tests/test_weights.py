"""Loading: every layout and spelling of a checkpoint fills the same parameters with the same bits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from esmkit.config import Settings
from esmkit.layers.layout import Layout
from esmkit.models.digests import CACHE, combined, sha256_of
from esmkit.models.esm2 import Esm2
from esmkit.models.weights import load
from esmkit.types import Needs
from tests.checkpoint_files import (
    Container,
    State,
    assert_holds,
    load_path,
    public_style,
    state_of,
    transformers_model,
    write_folder,
)
from tests.conftest import save_fair_esm
from tests.embedded import SHAPE


@pytest.fixture(scope="module")
def model() -> Any:
    return transformers_model()


@pytest.fixture(scope="module")
def state(model: Any) -> State:
    return state_of(model)


@pytest.mark.parametrize("container", ["safetensors", "sharded safetensors", "bin", "sharded bin"])
def test_every_container_of_a_transformers_folder_loads(container: Container, state: State, tmp_path: Path) -> None:
    assert_holds(load_path(write_folder(tmp_path / "model", state, container)), state)


def test_pickle_in_the_format_before_torch_1_6_loads(state: State, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", state, "bin")
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert_holds(load_path(folder), state)


def test_folder_written_by_the_installed_transformers_loads(model: Any, state: State, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    assert_holds(load_path(tmp_path / "model"), state)


def test_both_spellings_of_layer_norm_load(state: State, tmp_path: Path) -> None:
    renamed = {
        re.sub(r"LayerNorm\.bias$", "LayerNorm.beta", re.sub(r"LayerNorm\.weight$", "LayerNorm.gamma", key)): value
        for key, value in state.items()
    }
    assert sum(key.endswith((".gamma", ".beta")) for key in renamed) == 4 * 2
    assert_holds(load_path(write_folder(tmp_path / "model", renamed)), state)


def test_public_files_with_position_tables_load(state: State, tmp_path: Path) -> None:
    assert_holds(load_path(write_folder(tmp_path / "model", public_style(state))), state)


def test_tied_decoder_copies_and_pooler_are_accepted(state: State, tmp_path: Path) -> None:
    extra = {
        "lm_head.decoder.weight": state["esm.embeddings.word_embeddings.weight"].clone(),
        "lm_head.decoder.bias": state["lm_head.bias"].clone(),
        "esm.pooler.dense.weight": torch.zeros(32, 32),
        "esm.pooler.dense.bias": torch.zeros(32),
    }
    assert_holds(load_path(write_folder(tmp_path / "model", {**state, **extra})), state)


def test_names_without_the_esm_prefix_load(state: State, tmp_path: Path) -> None:
    bare = {key.removeprefix("esm."): value for key, value in state.items()}
    assert_holds(load_path(write_folder(tmp_path / "model", bare)), state)


def test_loaded_model_gives_the_logits_of_transformers(model: Any, state: State, tmp_path: Path) -> None:
    module = load_path(write_folder(tmp_path / "model", state)).module
    assert isinstance(module, Esm2)
    tokens = torch.tensor([0, *range(4, 30), 32, 5, 2])
    ours = module(tokens, Layout.of((0, len(tokens)), "cpu"), Needs(logits=True)).logits
    theirs = model(tokens[None]).logits[0]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert ours.shape == (30, 33)


@pytest.mark.parametrize("prefix", ["", "encoder.", "encoder.sentence_encoder."])
def test_fair_esm_files_load_under_every_prefix(prefix: str, fair_esm: Any, tmp_path: Path) -> None:
    path = save_fair_esm(fair_esm, tmp_path)
    content = torch.load(path, weights_only=False)
    content["model"] = {
        prefix + key.removeprefix("encoder.sentence_encoder."): value for key, value in content["model"].items()
    }
    torch.save(content, path)
    parameters = dict(load_path(path).module.named_parameters())
    layer = fair_esm.layers[1]
    heads = layer.self_attn
    joined = torch.cat([heads.q_proj.weight, heads.k_proj.weight, heads.v_proj.weight])
    pairs = [
        ("embedding.weight", fair_esm.embed_tokens.weight),
        ("blocks.1.qkv.weight", joined),
        ("blocks.1.attention_norm.bias", layer.self_attn_layer_norm.bias),
        ("blocks.1.ffn_norm.weight", layer.final_layer_norm.weight),
        ("blocks.1.up.weight", layer.fc1.weight),
        ("final_norm.weight", fair_esm.emb_layer_norm_after.weight),
        ("lm_head.bias", fair_esm.lm_head.bias),
        ("contact_head.weight", fair_esm.contact_head.regression.weight),
    ]
    for name, expected in pairs:
        assert torch.equal(parameters[name], expected), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtype_is_chosen_at_load_and_recorded(dtype: torch.dtype, state: State, tmp_path: Path) -> None:
    loaded = load_path(write_folder(tmp_path / "model", state), dtype=dtype)
    assert {parameter.dtype for parameter in loaded.module.parameters()} == {dtype}
    assert loaded.provenance["dtype"] == str(dtype).removeprefix("torch.")
    assert_holds(loaded, state)


def test_loaded_model_is_in_eval_mode_without_gradients(state: State, tmp_path: Path) -> None:
    module = load_path(write_folder(tmp_path / "model", state)).module
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_provenance_names_the_folder_and_the_digest_of_the_file(state: State, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "my-model", state)
    provenance = load_path(folder).provenance
    assert provenance["slug"] == "my-model"
    assert provenance["source"] == str(folder)
    assert provenance["weights_sha256"] == sha256_of(folder / "model.safetensors")


def test_digest_of_shards_covers_names_and_contents(state: State, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", state, "sharded safetensors")
    digests = {path.name: sha256_of(path) for path in folder.glob("*.safetensors")}
    assert len(digests) == 3
    assert load_path(folder).provenance["weights_sha256"] == combined(digests)
    swapped = dict(zip(digests, reversed(digests.values()), strict=True))
    assert combined(swapped) != combined(digests)


def test_digest_follows_a_changed_file(state: State, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", state)
    before = load_path(folder).provenance["weights_sha256"]
    write_folder(folder, {**state, "lm_head.bias": state["lm_head.bias"] + 1})
    assert load_path(folder).provenance["weights_sha256"] == sha256_of(folder / "model.safetensors") != before


def test_damaged_or_unwritable_digest_cache_changes_nothing(state: State, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", state)
    home = tmp_path / "home"
    home.mkdir()
    (home / CACHE).write_text("{ not json")
    expected = sha256_of(folder / "model.safetensors")
    assert load_path(folder, home=home).provenance["weights_sha256"] == expected
    (tmp_path / "file").write_text("")
    assert load_path(folder, home=tmp_path / "file").provenance["weights_sha256"] == expected


def test_embedded_model_loads_and_says_what_it_is_for(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, offline=True)
    loaded = load("esm2-mini", settings=settings, device=torch.device("cpu"), dtype=torch.float32)
    assert loaded.shape == SHAPE
    assert loaded.provenance["slug"] == "esm2-mini"
    assert loaded.notice is not None
    assert "for trying things out" in loaded.notice
    assert "esmkit models pull" in loaded.notice
    assert "\n" not in loaded.notice


def test_other_models_have_no_notice(state: State, tmp_path: Path) -> None:
    assert load_path(write_folder(tmp_path / "model", state)).notice is None
