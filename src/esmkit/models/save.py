"""Writes a module as a folder that transformers opens: config, safetensors, and the files of its tokenizer."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from esmkit import alphabet
from esmkit.errors import InvalidConfigError
from esmkit.models import registry
from esmkit.models.base import TRANSFORMERS, Family, FileFormat
from esmkit.models.tensorfiles import CONFIG
from esmkit.types import ModelShape

SHARD_BYTES = 5 * 10**9
_CONFIG = {
    "architectures": ["EsmForMaskedLM"],
    "attention_probs_dropout_prob": 0.0,
    "hidden_dropout_prob": 0.0,
    "initializer_range": 0.02,
    "max_position_embeddings": 1026,
}
"""Fields that transformers reads and esmkit does not."""
_TOKENIZER = {
    "tokenizer_class": "EsmTokenizer",
    "cls_token": "<cls>",
    "eos_token": "<eos>",
    "mask_token": alphabet.MASK,
    "pad_token": "<pad>",
    "unk_token": "<unk>",
}


def save_pretrained(
    module: nn.Module,
    directory: Path | str,
    *,
    dtype: torch.dtype | None = None,
    about: Mapping[str, Any] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Saves a model in transformers' layout; the folder appears complete or not at all.

    Args:
        module: a model of a known family.
        directory: where to; must not exist, or be empty.
        dtype: float32, float16 or bfloat16; None keeps that of the module. In the same dtype, what is loaded again is
            equal bit by bit.
        about: the `esmkit` block of config.json, as `Loaded.about` has it.
        shard_bytes: a file gets no larger, unless one tensor is.

    Returns:
        The folder.

    Raises:
        InvalidConfigError: the folder holds something already.
    """
    directory = Path(directory)
    demand_new(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    family, shape = _family_of(module)
    dtype = dtype or next(module.parameters()).dtype
    partial = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}.", suffix=".partial"))
    try:
        _write_weights(_named_tensors(module, family.formats[TRANSFORMERS], shape, dtype), partial, shard_bytes)
        config = {
            **family.formats[TRANSFORMERS].config.config(shape),
            **_CONFIG,
            "dtype": str(dtype).removeprefix("torch."),
            **({"esmkit": dict(about)} if about else {}),
        }
        _write_json(partial / CONFIG, config)
        _write_json(partial / "tokenizer_config.json", _TOKENIZER)
        (partial / "vocab.txt").write_text("\n".join(alphabet.TOKENS) + "\n", encoding="utf-8")
        partial.chmod(0o755)  # mkdtemp and save_file write for one user only
        for file in partial.iterdir():
            file.chmod(0o644)
        partial.replace(directory)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return directory


def demand_new(directory: Path) -> None:
    """Finds out before the work whose result shall be saved.

    Raises:
        InvalidConfigError: the folder holds something already.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InvalidConfigError(f"{directory} exists and is not empty; choose a new folder", setting="directory")


def _family_of(module: nn.Module) -> tuple[Family, ModelShape]:
    family = next(family for family in registry.families().values() if isinstance(module, family.build))
    shape = module.shape
    assert isinstance(shape, ModelShape)
    return family, shape


def _named_tensors(
    module: nn.Module, file_format: FileFormat, shape: ModelShape, dtype: torch.dtype
) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor under its name in the file, converted one at a time."""
    for parameter, tensor in module.named_parameters():
        names = file_format.keys.names(parameter)
        for name, part in zip(names, tensor.detach().chunk(len(names)), strict=True):
            yield name, part.to("cpu", dtype).contiguous()
    yield from file_format.derived(shape).items()


def _write_weights(tensors: Iterator[tuple[str, torch.Tensor]], folder: Path, shard_bytes: int) -> None:
    """One model.safetensors, or numbered shards with an index when there is more than fits into one."""
    names: list[list[str]] = []
    total_bytes = 0
    for number, shard in enumerate(_shards(tensors, shard_bytes)):
        save_file(shard, folder / str(number), metadata={"format": "pt"})
        names.append(list(shard))
        total_bytes += sum(tensor.nbytes for tensor in shard.values())
    if len(names) == 1:
        (folder / "0").rename(folder / "model.safetensors")
        return
    weight_map: dict[str, str] = {}
    for number, shard_names in enumerate(names):
        file = f"model-{number + 1:05d}-of-{len(names):05d}.safetensors"
        (folder / str(number)).rename(folder / file)
        weight_map |= dict.fromkeys(shard_names, file)
    index = {"metadata": {"total_size": total_bytes}, "weight_map": weight_map}
    _write_json(folder / "model.safetensors.index.json", index)


def _shards(tensors: Iterator[tuple[str, torch.Tensor]], shard_bytes: int) -> Iterator[dict[str, torch.Tensor]]:
    shard: dict[str, torch.Tensor] = {}
    num_bytes = 0
    for name, tensor in tensors:
        if shard and num_bytes + tensor.nbytes > shard_bytes:
            yield shard
            shard, num_bytes = {}, 0
        shard[name] = tensor
        num_bytes += tensor.nbytes
    yield shard


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
