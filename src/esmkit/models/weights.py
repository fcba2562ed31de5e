"""From the files of a model to a filled module, in the memory of one copy of the weights.

The module is built on the meta device, so no initial values are ever made; then every parameter is filled straight
from its file. Files are mapped and, a group of tensors later, mapped anew: pages that were read count as memory of the
process until the mapping goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from esmkit.config import Settings
from esmkit.errors import WeightsError
from esmkit.models import digests
from esmkit.models.accounting import Copy, account
from esmkit.models.base import Family
from esmkit.models.locate import Source, find
from esmkit.models.tensorfiles import is_mapped, tensors_of
from esmkit.types import ModelShape

GROUPS = 25
"""Mappings per model: each costs about 0.05 s to open, and one of them, 4 % of the weights, is memory on top."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to run.

    Attributes:
        module: in eval mode, on the device and in the dtype asked for, without gradients.
        shape: its sizes.
        slug: its name.
        family: the kind of model.
        provenance: `slug`, `source`, `weights_sha256` and `dtype`, for every result that it makes.
        about: the `esmkit` block of its config.json, for save_pretrained.
        notice: one line to show to its user, or None.
    """

    module: nn.Module
    shape: ModelShape
    slug: str
    family: Family
    provenance: Mapping[str, str]
    about: Mapping[str, Any]
    notice: str | None


def load(name: str, *, settings: Settings, device: torch.device, dtype: torch.dtype) -> Loaded:
    """Loads a model from this machine; never from the network.

    Args:
        name: slug, checkpoint name, hub id, folder or `.pt` file; see `locate.find`.
        settings: where downloads are.
        device: where the parameters go.
        dtype: what they are converted to.

    Raises:
        UnknownModelError: there is no such model.
        WeightsError: it is not downloaded; a file is truncated, corrupt or not what was published; or a tensor is
            missing, unknown, or of the wrong shape or dtype. The message names it.

    Example:
        >>> import tempfile
        >>> settings = Settings(home=Path(tempfile.mkdtemp()), offline=True)
        >>> loaded = load("esm2-mini", settings=settings, device=torch.device("cpu"), dtype=torch.float32)
        >>> loaded.shape
        ModelShape(num_layers=6, width=160, num_heads=10)
    """
    source = find(name, settings)
    found = check_files(source, settings.home)
    with torch.device("meta"):
        module = source.family.build(source.shape)
    copies = account(source, module)
    # Module.to_empty would do the same through empty_like, which on the meta device imports sympy: 0.5 s, and 33 MB.
    room = {name: torch.empty(p.shape, dtype=dtype, device=device) for name, p in module.named_parameters()}
    module.load_state_dict(room, assign=True)
    module.eval().requires_grad_(False)
    _fill(room, copies)
    provenance = {
        "slug": source.slug,
        "source": source.origin,
        "weights_sha256": digests.combined({path.name: digest for path, digest in found.items()}),
        "dtype": str(dtype).removeprefix("torch."),
    }
    return Loaded(module, source.shape, source.slug, source.family, provenance, source.about, source.notice)


def verify(name: str, settings: Settings) -> tuple[Source, dict[Path, str]]:
    """Reads every byte of a model again and accounts for every tensor.

    Returns:
        Where the model is, and the SHA-256 of each weights file.

    Raises:
        UnknownModelError: there is no such model.
        WeightsError: it is not downloaded, or a file is not what was published; names the file.
    """
    source = find(name, settings)
    found = check_files(source, settings.home, reread=True)
    with torch.device("meta"):
        module = source.family.build(source.shape)
    account(source, module)
    return source, found


def check_files(source: Source, home: Path, *, reread: bool = False) -> dict[Path, str]:
    """The SHA-256 of every weights file of a model, once all its files are what was published.

    Args:
        source: the files.
        home: where digests of files that do not change are remembered.
        reread: compute digests again.

    Raises:
        WeightsError: a file has another size or digest than it must have; names it.
    """
    found = {}
    for path in dict.fromkeys([*source.size_bytes, *source.files]):
        size_bytes = path.stat().st_size if path.exists() else 0
        if size_bytes != source.size_bytes.get(path, size_bytes):
            raise _wrong_file(path, f"{source.size_bytes[path]} bytes", f"{size_bytes} bytes")
        found[path] = digests.remembered_sha256(path, home, reread=reread)
        if found[path] != source.sha256.get(path, found[path]):
            raise _wrong_file(path, f"sha256 {source.sha256[path]}", f"sha256 {found[path]}")
    return {path: found[path] for path in source.files}


def _fill(parameters: Mapping[str, torch.Tensor], copies: Sequence[Copy]) -> None:
    for group in _groups(copies):
        tensors = tensors_of(group[0].path)
        for copy in group:
            parameters[copy.parameter][copy.rows] = tensors[copy.name]
        del tensors  # unmaps the pages just read, before the next group maps its own


def _groups(copies: Sequence[Copy]) -> Iterator[list[Copy]]:
    """Copies file by file, at most one part in GROUPS of all bytes (or one tensor) at a time."""
    limit_bytes = sum(copy.num_bytes for copy in copies) / GROUPS
    group: list[Copy] = []
    for copy in sorted(copies, key=lambda copy: copy.path):
        is_full = sum(other.num_bytes for other in group) + copy.num_bytes > limit_bytes
        if group and (copy.path != group[0].path or (is_full and is_mapped(copy.path))):
            yield group
            group = []
        group.append(copy)
    if group:
        yield group


def _wrong_file(path: Path, expected: str, found: str) -> WeightsError:
    return WeightsError(
        f"{path} is not the file that was published: it has {found}, expected {expected}. It is truncated, damaged or "
        "another file, and is not used; `esmkit models pull` replaces a damaged download",
        path=str(path),
        expected=expected,
        found=found,
    )
