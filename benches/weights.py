"""Models to measure: the true sizes with random weights, made once, in the layout that esmkit and transformers open.

A folder given by the user may hold the public weights instead: a subfolder that exists is used as it is.
"""

from __future__ import annotations

import os
from pathlib import Path

from esmkit.models.registry import checkpoint, families
from esmkit.models.save import save_pretrained
from esmkit.types import ModelShape

TINY, WIDE = "tiny", "wide"
_OWN_SHAPES = {
    TINY: ModelShape(num_layers=1, width=32, num_heads=2),
    WIDE: ModelShape(num_layers=2, width=1280, num_heads=20),  # the answers of 650m without its computing
}
_MARK = "random-weights.txt"


def default_folder() -> Path:
    """Where weights are kept between runs; outside the repository, as they are large."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "esmkit-benches"


def shape_of(model: str) -> ModelShape:
    """The sizes of a model called 8m, 35m, ..., tiny or wide."""
    if model in _OWN_SHAPES:
        return _OWN_SHAPES[model]
    known = checkpoint(f"esm2-{model}")
    if known is None:
        raise SystemExit(f"bench: no model is called {model!r}; choose from 8m, 35m, 150m, 650m, 3b, 15b")
    return known.shape


def folder_of(model: str, root: Path) -> Path:
    """The folder with the weights of a model below `root`, filled with random ones if there is none."""
    folder = root / f"esm2-{model}"
    if not folder.exists():
        _make(shape_of(model), folder)
    return folder


def are_random(folder: Path) -> bool:
    """Whether the weights were made here."""
    return (folder / _MARK).exists()


def _make(shape: ModelShape, folder: Path) -> None:
    import torch

    torch.manual_seed(0)
    module = families()["esm2"].build(shape)
    torch.nn.init.normal_(module.contact_head.weight)  # type: ignore[arg-type, union-attr]
    save_pretrained(module.requires_grad_(False), folder)
    (folder / _MARK).write_text("Made by benches/weights.py with torch.manual_seed(0).\n", encoding="utf-8")
