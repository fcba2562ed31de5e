"""The model that a run starts from: random weights of a shape, or a checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from esmkit.config import Settings
from esmkit.errors import InvalidConfigError
from esmkit.models import registry
from esmkit.models.base import TRANSFORMERS
from esmkit.models.esm2 import FAMILY
from esmkit.models.tensorfiles import read_json
from esmkit.models.weights import Loaded, load
from esmkit.types import ModelShape

CONTACT_BIAS = -3.0
"""Few residues touch: a contact head that was never fitted says 5 % everywhere."""


def initialised(shape: ModelShape, *, seed: int, device: torch.device) -> nn.Module:
    """A model of this shape with random weights, the same on every machine, in fp32.

    Matrices are normal with variance 1 / inputs, and those that add to the residual stream are smaller by
    sqrt(2 layers), so that its variance does not grow with depth (Radford et al. 2019, GPT-2); the token embedding has
    standard deviation 0.02, as it is the decoder of the LM head too.

    Raises:
        InvalidConfigError: the width does not divide into heads of an even size.
    """
    if shape.width % (2 * shape.num_heads):
        raise InvalidConfigError(
            f"width {shape.width} does not divide into {shape.num_heads} heads of an even size; heads of 16 or more "
            "in a multiple of 8 are fastest",
            setting="width",
        )
    generator = torch.Generator().manual_seed(seed)
    module = FAMILY.build(shape).requires_grad_(False)
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif "norm" in name:
            parameter.fill_(1.0)
        elif name.startswith("embedding"):
            parameter.normal_(0.0, 0.02, generator=generator)
        elif name.startswith("contact_head"):
            parameter.zero_()
        else:
            adds = name.endswith(("out.weight", "down.weight"))
            variance = 1.0 / parameter.shape[1] / (2 * shape.num_layers if adds else 1)
            parameter.normal_(0.0, variance**0.5, generator=generator)
    module.get_parameter("contact_head.bias").fill_(CONTACT_BIAS)
    return trainable(module.to(device))


def checkpoint(name: str, *, settings: Settings, device: torch.device) -> Loaded:
    """The weights of a model by slug or path, ready to be trained on.

    Raises:
        UnknownModelError: there is no such model.
        WeightsError: it is not downloaded, or damaged.
    """
    loaded = load(name, settings=settings, device=device, dtype=torch.float32)
    trainable(loaded.module)
    return loaded


def shape_in(config: Path) -> ModelShape:
    """The sizes in a config.json of transformers' layout.

    Raises:
        WeightsError: it describes no model that esmkit knows.
    """
    return registry.recognise(TRANSFORMERS, read_json(config), config)[1]


def trainable(module: nn.Module) -> nn.Module:
    """Gradients for everything but the contact head, which masked-language-model training never uses."""
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(not name.startswith("contact_head"))
    return module
