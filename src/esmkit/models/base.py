"""What a model family declares: sizes, checkpoints, and, as data, how checkpoint files describe and name its tensors.

Nothing here knows a family; `models/<family>.py` fills these in and exposes the result as `FAMILY`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from esmkit.errors import WeightsError
from esmkit.types import ModelShape

TRANSFORMERS = "transformers"
FAIR_ESM = "fair-esm"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One public set of weights.

    Attributes:
        slug: esmkit's short name, `esm2-8m`.
        name: the authors' name, `esm2_t6_8M_UR50D`.
        shape: layers, width and heads.
        hub_id: where to download it.
        parameters: trained numbers in the model.
        licence: SPDX id of the weights.
        sha256: digests published for files of this checkpoint, by file name; other files are checked against the
            digests that the hub reports at download.
    """

    slug: str
    name: str
    shape: ModelShape
    hub_id: str
    parameters: int
    licence: str
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which a user may ask for it."""
        return self.slug, self.name, self.hub_id


@dataclass(frozen=True, slots=True)
class KeyMap:
    """How the tensors of a file format are named, read in both directions.

    Attributes:
        modules: esmkit's module -> module in the file. `{i}` counts layers; `query|key|value` at the end means that
            the tensors of these modules, joined along dimension 0, are ours.
        rewrites: (regular expression, replacement) applied to names in a file: older spellings become the one above.
        unused: regular expressions of tensors that files may hold and the model does not need.
        tied: tensors that files may hold as copies -> the tensor that they must equal.
    """

    modules: Mapping[str, str]
    rewrites: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()
    tied: Mapping[str, str] = field(default_factory=dict)

    def names(self, parameter: str) -> list[str]:
        """The tensors in a file that make up one of our parameters, in order.

        Example:
            >>> keys = KeyMap({"blocks.{i}.qkv": "layers.{i}.query|key|value"})
            >>> keys.names("blocks.3.qkv.bias")
            ['layers.3.query.bias', 'layers.3.key.bias', 'layers.3.value.bias']
        """
        module, _, leaf = parameter.rpartition(".")
        layer = re.search(r"\d+", module)
        pattern = self.modules[module if layer is None else module.replace(layer[0], "{i}", 1)]
        stem, dot, last = pattern.format(i=layer and layer[0]).rpartition(".")
        return [f"{stem}{dot}{alternative}.{leaf}" for alternative in last.split("|")]

    def canonical(self, name: str) -> str:
        """The current spelling of a name found in a file."""
        for pattern, replacement in self.rewrites:
            name = re.sub(pattern, replacement, name)
        return name

    def is_unused(self, name: str) -> bool:
        """Whether the model does without this tensor (canonical name)."""
        return any(re.fullmatch(pattern, name) for pattern in self.unused)


@dataclass(frozen=True, slots=True)
class ConfigRules:
    """What the configuration inside a checkpoint must say, and where it says the sizes.

    Attributes:
        required: fields that must be present with exactly this value.
        assumed: fields that may be absent or null, but have no other value than this.
        layers: field with the number of layers.
        width: field with the width.
        heads: field with the number of heads.
        ffn: field with the feed-forward width; 4 x width if present.
        advice: what a mismatch probably means.
    """

    required: Mapping[str, Any]
    assumed: Mapping[str, Any]
    layers: str
    width: str
    heads: str
    ffn: str
    advice: str

    def shape(self, config: Mapping[str, Any], path: Path) -> ModelShape:
        """The sizes that a configuration gives, once everything else in it fits.

        Raises:
            WeightsError: names the file, the field, what it says and what it must say.
        """
        for name, value in self.required.items():
            if name not in config or config[name] != value:
                raise self._mismatch(path, name, value, config.get(name, "absent"))
        for name, value in self.assumed.items():
            if config.get(name) not in (None, value):
                raise self._mismatch(path, name, value, config[name])
        num_layers, width, num_heads = (
            self._size(config, name, path) for name in (self.layers, self.width, self.heads)
        )
        if width % (2 * num_heads):
            raise self._mismatch(path, self.heads, f"a divisor of {self.width} / 2 = {width} / 2", num_heads)
        if config.get(self.ffn) not in (None, 4 * width):
            raise self._mismatch(path, self.ffn, 4 * width, config[self.ffn])
        return ModelShape(num_layers=num_layers, width=width, num_heads=num_heads)

    def config(self, shape: ModelShape) -> dict[str, Any]:
        """The configuration of a model of this shape."""
        sizes = {self.layers: shape.num_layers, self.width: shape.width, self.heads: shape.num_heads}
        return {**self.required, **self.assumed, **sizes, self.ffn: 4 * shape.width}

    def _size(self, config: Mapping[str, Any], name: str, path: Path) -> int:
        value = config.get(name, "absent")
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._mismatch(path, name, "a positive integer", value)
        return value

    def _mismatch(self, path: Path, name: str, expected: object, found: object) -> WeightsError:
        return WeightsError(
            f"{path}: {name} is {found!r}, not {expected!r}; {self.advice}",
            path=str(path),
            expected=f"{name}={expected}",
            found=f"{name}={found}",
        )


@dataclass(frozen=True, slots=True)
class FileFormat:
    """One way in which checkpoints of a family are stored.

    Attributes:
        config: what the configuration must say.
        keys: how tensors are named.
        complete: what to tell a user whose file lacks tensors.
        derived: tensors that follow from the shape alone and that readers of the format expect to find.
    """

    config: ConfigRules
    keys: KeyMap
    complete: str
    derived: Callable[[ModelShape], Mapping[str, torch.Tensor]] = lambda shape: {}


@dataclass(frozen=True, slots=True)
class Family:
    """Everything esmkit knows about a kind of model.

    Attributes:
        name: `esm2`.
        title: the name in prose, `ESM-2`.
        provides: features that outputs may ask for: representations, logits, contacts, attentions.
        max_residues: default length limit of one record.
        checkpoints: public weights, smallest first.
        formats: how files store it, by format name.
        build: the module's class; takes a ModelShape, which it keeps as `shape`.
        activation_bytes: (shape, bytes per number) -> memory that one packed token needs while the model runs.
    """

    name: str
    title: str
    provides: frozenset[str]
    max_residues: int
    checkpoints: tuple[Checkpoint, ...]
    formats: Mapping[str, FileFormat]
    build: type[nn.Module]
    activation_bytes: Callable[[ModelShape, int], int]
