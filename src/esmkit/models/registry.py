"""Which families and checkpoints exist: found by scanning this folder for modules that expose `FAMILY`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import esmkit.models
from esmkit.errors import UnknownModelError, WeightsError
from esmkit.models.base import Checkpoint, Family
from esmkit.types import ModelShape


@cache
def families() -> Mapping[str, Family]:
    """Every family by name.

    Example:
        >>> list(families())
        ['esm2']
    """
    names = [module.name for module in pkgutil.iter_modules(esmkit.models.__path__, "esmkit.models.")]
    modules = map(importlib.import_module, names)
    declared = (module.FAMILY for module in modules if hasattr(module, "FAMILY"))
    return {family.name: family for family in declared}


def checkpoints() -> list[Checkpoint]:
    """The public checkpoints of all families, smallest first within a family."""
    return [checkpoint for family in families().values() for checkpoint in family.checkpoints]


def checkpoint(name: str) -> Checkpoint | None:
    """The public checkpoint with this slug, checkpoint name or hub id, in any case; None if there is none.

    Example:
        >>> checkpoint("ESM2_T6_8M_UR50D").slug
        'esm2-8m'
    """
    wanted = name.casefold()
    return next((known for known in checkpoints() if wanted in map(str.casefold, known.names)), None)


def unknown_model(name: str, also: list[str]) -> UnknownModelError:
    """The error for a name that is neither a model nor a path; lists the slugs, nearest first.

    Args:
        name: what was asked for.
        also: further slugs that exist.
    """
    slugs = [*also, *(known.slug for known in checkpoints())]
    spellings = {spelling.casefold(): known.slug for known in checkpoints() for spelling in known.names}
    near = get_close_matches(name.casefold(), [*also, *spellings], n=3, cutoff=0.5)
    near_slugs = list(dict.fromkeys(spellings.get(match, match) for match in near))
    guess = f"did you mean {' or '.join(near_slugs)}? " if near_slugs else ""
    choices = near_slugs + [slug for slug in slugs if slug not in near_slugs]
    return UnknownModelError(
        f"no model is called {name!r}; {guess}choose one of {', '.join(slugs)}, a model hub id such as org/name, "
        "or the path of a checkpoint folder or .pt file",
        name=name,
        choices=choices,
    )


def recognise(file_format: str, config: Mapping[str, Any], path: Path) -> tuple[Family, ModelShape]:
    """The family whose rules a configuration fits, and the sizes in it.

    Args:
        file_format: a key of `Family.formats`.
        config: the configuration found in the checkpoint.
        path: the file it came from, for messages.

    Raises:
        WeightsError: no family fits; names the field that is off.
    """
    mismatch = WeightsError(f"{path}: no model family reads {file_format} checkpoints", path=str(path))
    for family in families().values():
        if file_format in family.formats:
            try:
                return family, family.formats[file_format].config.shape(config, path)
            except WeightsError as error:
                mismatch = error
    raise mismatch
