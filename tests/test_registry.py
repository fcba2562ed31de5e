"""Families and checkpoints: found by the scan, complete, and true to their numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from esmkit.config import Settings
from esmkit.errors import UnknownModelError
from esmkit.models import registry
from esmkit.models.base import FAIR_ESM, TRANSFORMERS, Checkpoint, Family
from esmkit.models.locate import embedded_slug, find, folder_of

FAMILIES = list(registry.families().values())
CHECKPOINTS = registry.checkpoints()


def parameters_of(family: Family, known: Checkpoint) -> torch.nn.Module:
    with torch.device("meta"):
        return family.build(known.shape)


def test_scan_finds_esm2_in_all_six_sizes() -> None:
    assert [family.name for family in FAMILIES] == ["esm2"]
    sizes = [(known.slug, known.shape.num_layers, known.shape.width, known.shape.num_heads) for known in CHECKPOINTS]
    assert sizes == [
        ("esm2-8m", 6, 320, 20),
        ("esm2-35m", 12, 480, 20),
        ("esm2-150m", 30, 640, 20),
        ("esm2-650m", 33, 1280, 20),
        ("esm2-3b", 36, 2560, 40),
        ("esm2-15b", 48, 5120, 40),
    ]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_declared_parameter_counts_are_those_of_the_module(family: Family) -> None:
    for known in family.checkpoints:
        module = parameters_of(family, known)
        assert sum(parameter.numel() for parameter in module.parameters()) == known.parameters, known.slug
        assert list(module.buffers()) == [], "buffers would not be filled by the loader"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("file_format", [TRANSFORMERS, FAIR_ESM])
def test_key_map_names_every_parameter_once_and_keeps_its_own_names(family: Family, file_format: str) -> None:
    keys = family.formats[file_format].keys
    for known in family.checkpoints:
        parameters = [name for name, _ in parameters_of(family, known).named_parameters()]
        names = [name for parameter in parameters for name in keys.names(parameter)]
        assert len(names) == len(set(names)) > len(parameters)
        assert [keys.canonical(name) for name in names] == names
        assert not any(keys.is_unused(name) or name in keys.tied for name in names)
        assert set(keys.tied.values()) <= set(names)


def test_key_map_at_the_true_8m_shape_equals_both_references() -> None:
    from esm.model.esm2 import ESM2
    from transformers import EsmConfig, EsmForMaskedLM

    (family,) = FAMILIES
    known = family.checkpoints[0]
    config = EsmConfig(**family.formats[TRANSFORMERS].config.config(known.shape))
    with torch.device("meta"):
        references = {TRANSFORMERS: EsmForMaskedLM(config)}
    references[FAIR_ESM] = ESM2(num_layers=6, embed_dim=320, attention_heads=20)
    parameters = [name for name, _ in parameters_of(family, known).named_parameters()]
    for file_format, reference in references.items():
        keys = family.formats[file_format].keys
        ours = {name for parameter in parameters for name in keys.names(parameter)}
        theirs = set(reference.state_dict())
        assert ours <= theirs
        assert all(keys.is_unused(name) or name in keys.tied for name in theirs - ours), theirs - ours
        assert len(ours) == 6 * 16 + 10


@pytest.mark.parametrize("known", CHECKPOINTS, ids=lambda known: known.slug)
def test_every_name_in_any_case_is_the_same_checkpoint(known: Checkpoint, tmp_path: Path) -> None:
    for name in (known.slug, known.name, known.hub_id):
        for spelling in (name, name.upper(), name.lower()):
            assert registry.checkpoint(spelling) is known
            assert folder_of(spelling, Settings(home=tmp_path)).name == known.slug


def test_unknown_name_lists_choices_with_the_nearest_first() -> None:
    assert registry.checkpoint("esm1b") is None
    error = registry.unknown_model("esm2_t33_650M", ["esm2-mini"])
    assert isinstance(error, UnknownModelError)
    assert error.choices[0] == "esm2-650m"
    assert sorted(error.choices) == sorted(["esm2-mini", *(known.slug for known in CHECKPOINTS)])


def test_name_unlike_any_gets_no_guess() -> None:
    assert "did you mean" not in registry.unknown_model("qqqq", []).message


def test_embedded_model_is_found_in_any_case(tmp_path: Path) -> None:
    source = find(embedded_slug().upper(), Settings(home=tmp_path))
    assert (source.slug, source.origin) == (embedded_slug(), "embedded")
    assert registry.checkpoint(embedded_slug()) is None, "a public checkpoint must not hide the embedded model"
