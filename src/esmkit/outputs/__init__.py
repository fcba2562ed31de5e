"""What esmkit can compute from a model: one file per kind of output, found by scanning this folder."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping

from esmkit.errors import UnsupportedOutputError
from esmkit.outputs.base import Output, OutputOptions
from esmkit.types import ModelShape

__all__ = ["Output", "OutputOptions", "build", "known"]


def known() -> Mapping[str, type[Output]]:
    """Every output by its name."""
    found = {}
    for each in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{each.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Output) and hasattr(value, "name"):
                found[value.name] = value
    return dict(sorted(found.items()))


def build(names: Iterable[str], shape: ModelShape, options: OutputOptions | None = None) -> list[Output]:
    """Outputs by name for a model of this shape.

    Raises:
        UnsupportedOutputError: a name is unknown; lists the names that exist.
        InvalidConfigError: an option does not suit the model, such as a layer it has not.

    Example:
        >>> [output.name for output in build(["mean", "bos"], ModelShape(6, 320, 20))]
        ['mean', 'bos']
    """
    classes = known()
    chosen = list(dict.fromkeys(names))
    for name in chosen:
        if name not in classes:
            raise UnsupportedOutputError(
                f"unknown output {name!r}; choose from {', '.join(classes)}", output=name, choices=classes
            )
    return [classes[name].of(shape, options or OutputOptions()) for name in chosen]
