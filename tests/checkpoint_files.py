"""Random ESM-2 checkpoints on disk, in every layout that users have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file

from esmkit.config import Settings
from esmkit.models.base import TRANSFORMERS
from esmkit.models.esm2 import FAMILY, Esm2
from esmkit.models.weights import Loaded, load
from esmkit.types import ModelShape
from tests.conftest import randomize

SHAPE = ModelShape(num_layers=2, width=32, num_heads=4)
State = dict[str, torch.Tensor]
Container = Literal["safetensors", "sharded safetensors", "bin", "sharded bin"]


def transformers_model(shape: ModelShape = SHAPE) -> Any:
    """transformers' own ESM-2 with random weights, all heads included."""
    from transformers import EsmConfig, EsmForMaskedLM

    config = EsmConfig(
        **FAMILY.formats[TRANSFORMERS].config.config(shape) | {"model_type": "esm"},
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = EsmForMaskedLM(config).eval()
    randomize(model)
    return model


def state_of(model: Any) -> State:
    """Its tensors as transformers 4 saved them: LayerNorm weight and bias, no tied copies."""
    return {key: value.detach().clone() for key, value in model.state_dict().items() if "decoder" not in key}


def public_style(state: State) -> State:
    """The tensors as the public files on the hub have them: per-layer rotary tables and an unused position table."""
    inv_freq = state["esm.rotary_embeddings.inv_freq"]
    kept = {key: value for key, value in state.items() if "rotary" not in key}
    tables = {
        f"esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq": inv_freq.clone()
        for layer in range(SHAPE.num_layers)
    }
    positions = {
        "esm.embeddings.position_embeddings.weight": torch.randn(1026, SHAPE.width),
        "esm.embeddings.position_ids": torch.arange(1026)[None],
    }
    return {**kept, **tables, **positions}


def write_folder(folder: Path, state: State, container: Container = "safetensors", **config: Any) -> Path:
    """A folder in transformers' layout; `config` overrides fields of config.json, None removes one."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = {**FAMILY.formats[TRANSFORMERS].config.config(SHAPE), **config}
    kept = {name: value for name, value in fields.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept), encoding="utf-8")
    stem, suffix, write = _writer(container)
    if not container.startswith("sharded"):
        write(state, folder / f"{stem}.{suffix}")
        return folder
    weight_map = {}
    names = sorted(state)
    for number in range(3):
        file = f"{stem}-{number + 1:05d}-of-00003.{suffix}"
        part = {name: state[name] for name in names[number::3]}
        write(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    return folder


def _writer(container: Container) -> tuple[str, str, Callable[[State, Path], None]]:
    if container.endswith("safetensors"):
        return "model", "safetensors", save_file
    return "pytorch_model", "bin", torch.save


def load_path(path: Path | str, *, dtype: torch.dtype = torch.float32, home: Path | None = None) -> Loaded:
    """What the loader makes of a path."""
    settings = Settings(home=home or Path(path).parent / "home", offline=True)
    return load(str(path), settings=settings, device=torch.device("cpu"), dtype=dtype)


def expected_parameters(state: State) -> State:
    """Our parameters from transformers' tensors, written out by hand: the reference for the key map."""
    encoder = "esm.encoder.layer"
    expected = {
        "embedding.weight": state["esm.embeddings.word_embeddings.weight"],
        "lm_head.bias": state["lm_head.bias"],
    }
    for leaf in ("weight", "bias"):
        expected[f"final_norm.{leaf}"] = state[f"esm.encoder.emb_layer_norm_after.{leaf}"]
        expected[f"lm_head.dense.{leaf}"] = state[f"lm_head.dense.{leaf}"]
        expected[f"lm_head.norm.{leaf}"] = state[f"lm_head.layer_norm.{leaf}"]
        expected[f"contact_head.{leaf}"] = state[f"esm.contact_head.regression.{leaf}"]
        for i in range(SHAPE.num_layers):
            attention = f"{encoder}.{i}.attention"
            qkv = [state[f"{attention}.self.{part}.{leaf}"] for part in ("query", "key", "value")]
            expected[f"blocks.{i}.qkv.{leaf}"] = torch.cat(qkv)
            expected[f"blocks.{i}.attention_norm.{leaf}"] = state[f"{attention}.LayerNorm.{leaf}"]
            expected[f"blocks.{i}.out.{leaf}"] = state[f"{attention}.output.dense.{leaf}"]
            expected[f"blocks.{i}.ffn_norm.{leaf}"] = state[f"{encoder}.{i}.LayerNorm.{leaf}"]
            expected[f"blocks.{i}.up.{leaf}"] = state[f"{encoder}.{i}.intermediate.dense.{leaf}"]
            expected[f"blocks.{i}.down.{leaf}"] = state[f"{encoder}.{i}.output.dense.{leaf}"]
    return expected


def assert_holds(loaded: Loaded, state: State) -> None:
    """Every parameter equals its source, bit by bit, and none is left out."""
    assert isinstance(loaded.module, Esm2)
    parameters = dict(loaded.module.named_parameters())
    expected = expected_parameters(state)
    assert parameters.keys() == expected.keys()
    assert len(parameters) == 12 * SHAPE.num_layers + 10
    for name, value in expected.items():
        assert torch.equal(parameters[name], value.to(parameters[name].dtype)), name
