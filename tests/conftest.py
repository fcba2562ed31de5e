"""What several test files share: tiny random models and the reference they are measured against."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from esmkit.config import Settings
from esmkit.engine import Engine, Model
from esmkit.models.weights import load as load_weights

LOGGERS = ("", "esmkit", "uvicorn")
"""Whose levels `esmkit serve` sets."""
TINY = (4, 40, 5)
"""Layers, width, heads; head_dim 8."""


def randomize(module: torch.nn.Module, seed: int = 0) -> None:
    """Weights large enough that every part of the model moves its output."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        is_norm_scale = "norm" in name.lower() and name.endswith("weight")
        parameter.data = 1 + 0.1 * noise if is_norm_scale else (0.2 if parameter.dim() > 1 else 0.1) * noise


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests touch neither the user's cache nor the network."""
    monkeypatch.setenv("ESMKIT_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("ESMKIT_OFFLINE", "1")


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """A command configures the log of its process; here it must not outlive the test, whose streams get closed."""
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {logger: logger.level for logger in map(logging.getLogger, LOGGERS)}
    yield
    root.handlers[:] = handlers
    for logger, level in levels.items():
        logger.setLevel(level)


@pytest.fixture(scope="session")
def fair_esm() -> Any:
    """fair-esm's own ESM-2, tiny and random: the numeric reference."""
    from esm.model.esm2 import ESM2

    num_layers, width, num_heads = TINY
    reference = ESM2(num_layers=num_layers, embed_dim=width, attention_heads=num_heads, token_dropout=True).eval()
    randomize(reference)
    return reference


def save_fair_esm(reference: Any, folder: Path, name: str = "tiny") -> Path:
    """The reference as the two files that fair-esm publishes."""
    state = {key: value for key, value in reference.state_dict().items() if not key.startswith("contact_head")}
    state["lm_head.weight"] = reference.embed_tokens.weight
    config = argparse.Namespace(
        encoder_layers=reference.num_layers,
        encoder_embed_dim=reference.embed_dim,
        encoder_attention_heads=reference.attention_heads,
        token_dropout=True,
    )
    head = {
        f"contact_head.{key}": value
        for key, value in reference.contact_head.state_dict().items()
        if key.startswith("regression")
    }
    torch.save(
        {"cfg": {"model": config}, "model": {f"encoder.sentence_encoder.{k}": v for k, v in state.items()}},
        folder / f"{name}.pt",
    )
    torch.save({"model": head}, folder / f"{name}-contact-regression.pt")
    return folder / f"{name}.pt"


@pytest.fixture(scope="session")
def tiny_path(fair_esm: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference on disk."""
    return save_fair_esm(fair_esm, tmp_path_factory.mktemp("tiny"))


LoadTiny = Callable[..., Model]


@pytest.fixture(scope="session")
def load_tiny(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadTiny:
    """Our model with the weights of the reference, through the ordinary loader."""
    settings = Settings(home=tmp_path_factory.mktemp("digests"), offline=True)

    def build(dtype: torch.dtype = torch.float32, **engine: Any) -> Model:
        loaded = load_weights(str(tiny_path), settings=settings, device=torch.device("cpu"), dtype=dtype)
        return Model(Engine(loaded, **engine))

    return build


@pytest.fixture(scope="session")
def tiny(load_tiny: LoadTiny) -> Model:
    """The tiny model with default settings."""
    return load_tiny()
