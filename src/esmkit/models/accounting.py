"""Accounts for every tensor of a checkpoint and every parameter of a module: all of both, or an error by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from esmkit.errors import WeightsError
from esmkit.models.base import KeyMap
from esmkit.models.locate import Source
from esmkit.models.tensorfiles import tensors_of

STORED_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_NAMES_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Copy:
    """One tensor of a file and the rows (dimension 0) of the parameter that it fills."""

    path: Path
    name: str
    parameter: str
    rows: slice
    num_bytes: int


@dataclass(frozen=True, slots=True)
class _Found:
    """A tensor in a file, under the name that the file gives it."""

    path: Path
    name: str
    shape: torch.Size
    dtype: torch.dtype


def account(source: Source, module: nn.Module) -> list[Copy]:
    """Which tensor of which file fills which parameter.

    Args:
        source: the files.
        module: built for the shape of the source; may be on the meta device.

    Raises:
        WeightsError: tensors are missing, unknown, doubled, of wrong shape or dtype, or copies that differ from their
            original; names them.
    """
    keys = source.file_format.keys
    found = _inventory(source, keys)
    copies: list[Copy] = []
    complaints: list[str] = []
    for parameter, target in module.named_parameters():
        names = keys.names(parameter)
        num_rows = target.shape[0] // len(names)
        shape = torch.Size([num_rows, *target.shape[1:]])
        complaints += _complaints(names, shape, found)
        copies += [
            Copy(
                path=found[name].path,
                name=found[name].name,
                parameter=parameter,
                rows=slice(number * num_rows, (number + 1) * num_rows),
                num_bytes=shape.numel() * found[name].dtype.itemsize,
            )
            for number, name in enumerate(names)
            if name in found
        ]
    filled = {(copy.path, copy.name) for copy in copies}
    complaints += [
        f"unknown {tensor.name}"
        for name, tensor in found.items()
        if (tensor.path, tensor.name) not in filled and not keys.is_unused(name) and name not in keys.tied
    ]
    if complaints:
        raise _error(source, complaints)
    _check_tied(keys, found)
    return copies


def _inventory(source: Source, keys: KeyMap) -> dict[str, _Found]:
    """Every tensor of every file by its canonical name."""
    found: dict[str, _Found] = {}
    for path in source.files:
        for name, tensor in tensors_of(path).items():
            canonical = keys.canonical(name)
            if canonical in found:
                raise WeightsError(
                    f"{path}: {found[canonical].name} and {name} are two spellings or copies of one tensor",
                    path=str(path),
                    found=name,
                )
            found[canonical] = _Found(path, name, tensor.shape, tensor.dtype)
    return found


def _complaints(names: list[str], shape: torch.Size, found: dict[str, _Found]) -> list[str]:
    complaints = []
    for name in names:
        tensor = found.get(name)
        if tensor is None:
            complaints.append(f"missing {name}")
        elif tensor.shape != shape:
            complaints.append(f"{tensor.name} has shape {list(tensor.shape)}, not {list(shape)}")
        elif tensor.dtype not in STORED_DTYPES:
            complaints.append(f"{tensor.name} is {tensor.dtype}, not one of {', '.join(map(str, STORED_DTYPES))}")
    return complaints


def _check_tied(keys: KeyMap, found: dict[str, _Found]) -> None:
    """Our module has one tensor for both, so a copy with other values would be dropped without a word."""
    for name, original in keys.tied.items():
        if name in found and not torch.equal(_read(found[name]), _read(found[original])):
            raise WeightsError(
                f"{found[name].path}: {found[name].name} differs from {found[original].name}; in this kind of model "
                "they are one tensor",
                path=str(found[name].path),
                expected=f"equal to {found[original].name}",
                found=found[name].name,
            )


def _read(tensor: _Found) -> torch.Tensor:
    return tensors_of(tensor.path)[tensor.name]


def _error(source: Source, complaints: list[str]) -> WeightsError:
    shown = "; ".join(complaints[:_NAMES_SHOWN])
    more = f"; and {len(complaints) - _NAMES_SHOWN} more" if len(complaints) > _NAMES_SHOWN else ""
    path = str(source.files[0]) if len(source.files) == 1 else str(source.files[0].parent)
    advice = source.file_format.complete
    return WeightsError(f"{path}: {shown}{more}. ({advice})", path=path, found="; ".join(complaints))
