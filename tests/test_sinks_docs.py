"""The code in docs/output-files.md prints what the page says it prints."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esmkit.sinks import open_target
from esmkit.types import Column, Record, Result
from tests.embedded import SHAPE

PAGE = Path(__file__).parents[1] / "docs" / "output-files.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
# The first of 48 proteins is the one that the page looks at.
RECORDS = [Record(0, "P42212", "M" * 238), *(Record(i, f"P{i}", "MKT") for i in range(1, 48))]
RUNS = {
    "mean.parquet": ("mean_6",),
    "run": ("mean_6", "per_residue_6"),
    "contacts.parquet": ("contacts",),
    "maps.parquet": ("attention_maps",),
    "mean.h5": ("mean_6",),
    "all.h5": ("mean_6", "per_residue_6"),
    "contacts.npz": ("contacts",),
    "st": ("mean_6",),
    "scores.jsonl": ("log_prob",),
    "scores.csv": ("log_prob",),
}
SHAPES: dict[str, tuple[int | str, ...]] = {
    "mean_6": (SHAPE.width,),
    "per_residue_6": ("L", SHAPE.width),
    "contacts": ("L", "L"),
    "attention_maps": (1, SHAPE.num_heads, "L", "L"),
    "log_prob": (),
}


def write(out: Path, names: tuple[str, ...]) -> None:
    with open_target(
        out,
        format="safetensors" if out.name == "st" else None,
        columns=[Column(name, "float", SHAPES[name]) for name in names],
        arguments={},
        provenance={"slug": "esm2-mini"},
        shard_records=48,
        shard_residues=10**6,
    ) as target:
        for shard in target.pending(RECORDS):
            for record in shard.records:
                length = len(record.sequence)
                arrays = {name: np.zeros([length if n == "L" else n for n in SHAPES[name]]) for name in names}
                shard.write(Result(record.index, record.id, arrays, {"length": length}))
            shard.commit()
        target.finish()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    for name, names in RUNS.items():
        write(folder / name, names)
    return folder


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_example_prints_what_the_page_says(
    block: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = {name for name in ("pandas", "polars") if f"import {name}" in block}
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        pytest.skip(f"{missing[0]} is not installed")
    monkeypatch.chdir(folder)
    said = re.findall(r"print\(.*\)  # (.*)", block)
    values: dict[str, Any] = {}
    exec(compile(block, PAGE.name, "exec"), values)
    assert said
    assert capsys.readouterr().out.splitlines() == said


def test_the_page_has_an_example_for_every_way_of_reading() -> None:
    text = "".join(BLOCKS)
    for library in (
        "pandas",
        "polars",
        "pyarrow.parquet",
        "h5py",
        "np.load",
        "safetensors",
        "json",
        "csv",
        "open_target",
    ):
        assert library in text
