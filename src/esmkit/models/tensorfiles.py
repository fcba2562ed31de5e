"""Tensors in a weights file, mapped into memory and not read before they are touched."""

from __future__ import annotations

import json
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from esmkit.errors import WeightsError

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Files that hold the weights of a folder in transformers' layout, or list the shards that do; best first."""


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a file by the names it gives them, on the CPU, backed by the file.

    Pages that were read count as memory of the process until the last tensor of this call is dropped.

    Raises:
        WeightsError: the file is missing, truncated, or holds something else; names it.
    """
    if path.suffix != ".safetensors":
        content = unpickled(path)
        return _only_tensors(content.get("model", content), path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error


def is_mapped(path: Path) -> bool:
    """Whether tensors of this file are read only when touched: torch's format from before 1.6 is read as a whole."""
    return path.suffix == ".safetensors" or zipfile.is_zipfile(path)


def unpickled(path: Path) -> Mapping[str, Any]:
    """The top level of a `.pt` or `.bin` file, read without running any code from it.

    Raises:
        WeightsError: the file is missing, truncated, or holds other objects than tensors and plain settings.
    """
    try:
        with torch.serialization.safe_globals([Namespace]):  # fair-esm keeps its settings in one
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped(path))
    except Exception as error:  # a damaged pickle raises nearly anything
        raise unreadable(path, error) from error
    if not isinstance(content, Mapping):
        raise unreadable(path, TypeError(f"it holds a {type(content).__name__}, not tensors by name"))
    return content


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        WeightsError: the file is missing or holds something else; names it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not isinstance(content, dict):
        raise unreadable(path, TypeError("it holds no JSON object"))
    return content


def shards(index: Path) -> list[str]:
    """The file names that an index file lists, sorted.

    Raises:
        WeightsError: it is no index, or names a file outside its own folder.
    """
    listed = read_json(index).get("weight_map")
    names = sorted(set(listed.values())) if isinstance(listed, dict) else []
    if not names or any(Path(name).name != name for name in names):
        raise unreadable(index, ValueError("its weight_map must name files in the same folder"))
    return names


def unreadable(path: Path, error: Exception) -> WeightsError:
    """The error for a file that cannot be used."""
    if isinstance(error, FileNotFoundError):
        return WeightsError(
            f"{path} does not exist; a model is a folder of config.json and weights, or a fair-esm .pt file",
            path=str(path),
        )
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return WeightsError(
        f"{path} cannot be read: {reason}. It is truncated, damaged or of another kind; fetch it again",
        path=str(path),
        found=reason,
    )


def _only_tensors(content: Any, path: Path) -> dict[str, torch.Tensor]:
    if not isinstance(content, Mapping):
        raise unreadable(path, TypeError(f"its 'model' is a {type(content).__name__}, not tensors by name"))
    for name, value in content.items():
        if not isinstance(value, torch.Tensor):
            raise unreadable(path, TypeError(f"{name!r} is a {type(value).__name__}, not a tensor"))
    return dict(content)
