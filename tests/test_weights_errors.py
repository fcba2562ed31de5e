"""Loading: nothing is missing, unknown, doubled, cut or of another model without an error that names it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from esmkit.errors import UnknownModelError, WeightsError
from tests.checkpoint_files import SHAPE, State, load_path, state_of, transformers_model, write_folder
from tests.conftest import save_fair_esm

UP = "esm.encoder.layer.1.intermediate.dense.weight"


@pytest.fixture(scope="module")
def complete() -> State:
    return state_of(transformers_model())


@pytest.fixture
def state(complete: State) -> State:
    return dict(complete)


def message_of(folder: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_path(folder)
    assert caught.value.path is not None
    assert str(folder) in caught.value.path
    return caught.value.message


def test_missing_tensor_is_named(state: State, tmp_path: Path) -> None:
    del state[UP]
    assert f"missing {UP}" in message_of(write_folder(tmp_path / "model", state))


def test_encoder_without_lm_head_says_what_is_missing_and_what_to_save(state: State, tmp_path: Path) -> None:
    bare = {key.removeprefix("esm."): value for key, value in state.items() if not key.startswith("lm_head")}
    message = message_of(write_folder(tmp_path / "model", bare))
    assert "missing lm_head.bias" in message
    assert "EsmForMaskedLM" in message


def test_unknown_tensor_is_named(state: State, tmp_path: Path) -> None:
    state["classifier.dense.weight"] = torch.zeros(2, 2)
    assert "unknown classifier.dense.weight" in message_of(write_folder(tmp_path / "model", state))


def test_tensor_of_a_layer_too_many_is_unknown(state: State, tmp_path: Path) -> None:
    name = UP.replace("layer.1", "layer.2")
    state[name] = state[UP].clone()
    assert f"unknown {name}" in message_of(write_folder(tmp_path / "model", state))


def test_wrong_shape_is_named_with_both_shapes(state: State, tmp_path: Path) -> None:
    state[UP] = torch.zeros(128, 31)
    assert f"{UP} has shape [128, 31], not [128, 32]" in message_of(write_folder(tmp_path / "model", state))


@pytest.mark.parametrize("dtype", [torch.float64, torch.int8])
def test_dtype_that_is_no_weight_is_named(dtype: torch.dtype, state: State, tmp_path: Path) -> None:
    state[UP] = state[UP].to(dtype)
    assert f"{UP} is {dtype}" in message_of(write_folder(tmp_path / "model", state))


def test_many_complaints_are_all_in_the_fields_and_few_in_the_message(state: State, tmp_path: Path) -> None:
    kept = {key: value for key, value in state.items() if "layer.0" not in key}
    folder = write_folder(tmp_path / "model", kept)
    with pytest.raises(WeightsError) as caught:
        load_path(folder)
    assert caught.value.found is not None
    assert caught.value.found.count("missing ") == 16
    assert "and 12 more" in caught.value.message


def test_both_spellings_of_one_tensor_are_refused(state: State, tmp_path: Path) -> None:
    name = "esm.encoder.layer.0.LayerNorm"
    state[f"{name}.gamma"] = state[f"{name}.weight"].clone()
    message = message_of(write_folder(tmp_path / "model", state))
    assert f"{name}.gamma" in message
    assert f"{name}.weight" in message


def test_untied_decoder_is_refused(state: State, tmp_path: Path) -> None:
    state["lm_head.decoder.weight"] = state["esm.embeddings.word_embeddings.weight"] + 1
    message = message_of(write_folder(tmp_path / "model", state))
    assert "lm_head.decoder.weight differs from esm.embeddings.word_embeddings.weight" in message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "bert"),
        ("position_embedding_type", "absolute"),
        ("token_dropout", False),
        ("emb_layer_norm_before", True),
        ("vocab_size", 32),
        ("mask_token_id", None),
        ("layer_norm_eps", 1e-12),
        ("rope_theta", 500.0),
        ("is_folding_model", True),
        ("hidden_act", "relu"),
        ("intermediate_size", 100),
        ("num_hidden_layers", None),
        ("hidden_size", "32"),
        ("num_attention_heads", 5),
    ],
)
def test_config_of_another_model_is_refused_by_field(field: str, value: Any, state: State, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", state, **{field: value})
    message = message_of(folder)
    assert f"{folder / 'config.json'}: {field} is {value!r}" in message.replace("'absent'", "None")
    assert "no ESM-2 checkpoint" in message


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def overwrite_start(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xff" * 64)


@pytest.mark.parametrize("damage", [cut, empty, overwrite_start])
@pytest.mark.parametrize("container", ["safetensors", "sharded safetensors", "bin", "sharded bin"])
def test_damaged_file_is_named(damage: Callable[[Path], None], container: Any, state: State, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", state, container)
    victim = sorted(path for path in folder.iterdir() if path.suffix != ".json")[-1]
    damage(victim)
    message = message_of(folder)
    assert str(victim) in message
    assert "fetch it again" in message


def test_missing_shard_is_named(state: State, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", state, "sharded safetensors")
    (folder / "model-00002-of-00003.safetensors").unlink()
    assert "lacks model-00002-of-00003.safetensors" in message_of(folder)


@pytest.mark.parametrize("index", ['{"weight_map": {"a": "../../etc/passwd"}}', '{"weight_map": {}}', "[1]", "{"])
def test_index_that_lists_no_files_of_its_folder_is_refused(index: str, state: State, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", state, "sharded safetensors")
    (folder / "model.safetensors.index.json").write_text(index)
    assert "model.safetensors.index.json" in message_of(folder)


def test_folder_without_weights_or_config_is_named(state: State, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", state)
    (folder / "model.safetensors").unlink()
    assert "holds no weights" in message_of(folder)
    (folder / "config.json").unlink()
    assert "config.json does not exist" in message_of(folder)


class Runs:
    """A pickle that would run a command."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("pwned",)


def test_pickles_never_run_code(tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_folder(tmp_path / "model", {**state, "evil": Runs()}, "bin")  # type: ignore[dict-item]
    assert "pytorch_model.bin" in message_of(folder)
    assert not (tmp_path / "pwned").exists()


def test_pickle_of_something_else_than_tensors_is_refused(tmp_path: Path, state: State) -> None:
    folder = write_folder(tmp_path / "model", {**state, "note": "text"}, "bin")  # type: ignore[dict-item]
    assert "'note' is a str, not a tensor" in message_of(folder)
    torch.save([1, 2], folder / "pytorch_model.bin")
    assert "it holds a list" in message_of(folder)


def test_fair_esm_without_its_contact_head_says_where_to_get_it(fair_esm: Any, tmp_path: Path) -> None:
    path = save_fair_esm(fair_esm, tmp_path, "esm2_t6_8M_UR50D")
    (tmp_path / "esm2_t6_8M_UR50D-contact-regression.pt").unlink()
    with pytest.raises(WeightsError, match=r"regression/esm2_t6_8M_UR50D-contact-regression\.pt into the same folder"):
        load_path(path)


def test_fair_esm_file_of_another_generation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "esm1b.pt"
    torch.save({"args": argparse.Namespace(arch="roberta_large"), "model": {}}, path)
    with pytest.raises(WeightsError, match="needs the entries 'cfg' and 'model', it has 'args', 'model'"):
        load_path(path)


def test_fair_esm_without_token_dropout_is_refused(fair_esm: Any, tmp_path: Path) -> None:
    path = save_fair_esm(fair_esm, tmp_path)
    content = torch.load(path, weights_only=False)
    content["cfg"]["model"].token_dropout = False
    torch.save(content, path)
    with pytest.raises(WeightsError, match="token_dropout is False, not True"):
        load_path(path)


def test_file_with_a_public_name_must_be_the_public_file(fair_esm: Any, tmp_path: Path) -> None:
    path = save_fair_esm(fair_esm, tmp_path, "esm2_t33_650M_UR50D")
    with pytest.raises(WeightsError, match="not the file that was published") as caught:
        load_path(path)
    assert caught.value.expected is not None
    assert "c89758ebab0cecd17aebf8fae7a3000f56cac3e544606e1f8780696c00b8cf16" in caught.value.expected


def test_single_weights_file_asks_for_its_folder(state: State, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", state)
    with pytest.raises(WeightsError, match="give the folder that holds it"):
        load_path(folder / "model.safetensors")


def test_public_model_that_is_not_downloaded_says_how_to_get_it(tmp_path: Path) -> None:
    for name in ("esm2-650m", "esm2_t33_650M_UR50D", "facebook/esm2_t33_650M_UR50D"):
        with pytest.raises(WeightsError, match=r"esmkit models pull esm2-650m$"):
            load_path(name, home=tmp_path)


def test_hub_id_that_is_not_downloaded_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"some/model is no folder here\. .* esmkit models pull some/model$"):
        load_path("some/model", home=tmp_path)


def test_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match=r"nothing\.pt does not exist; give the folder of a checkpoint"):
        load_path(tmp_path / "nothing.pt")
    with pytest.raises(UnknownModelError, match=r"^\./nodir does not exist"):
        load_path("./nodir")


def test_empty_name_is_no_model_and_not_the_folder_one_stands_in() -> None:
    with pytest.raises(UnknownModelError, match="no model is called ''"):
        load_path("")


def test_unknown_name_lists_the_choices_nearest_first(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="did you mean esm2-650m") as caught:
        load_path("esm2-650", home=tmp_path)
    assert caught.value.choices[0] == "esm2-650m"
    assert {"esm2-mini", "esm2-8m", "esm2-15b"} <= set(caught.value.choices)


def test_no_weights_are_read_before_the_config_fits(state: State, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", state, position_embedding_type="absolute")
    (folder / "model.safetensors").write_text("garbage")
    assert "position_embedding_type" in message_of(folder)
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == SHAPE.width
