"""workflows/: shards give what one run gives, and both workflow managers call commands that exist.

Snakemake runs where it is installed. Nextflow is no Python package: the script of each process runs here as Nextflow
would run it, by bash with the variables filled in.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from esmkit import __version__
from tests.cli_calls import EXAMPLES, SHORT, Esmkit, examples, in_process, write_fasta

WORKFLOWS = Path(__file__).parents[1] / "workflows"
SHARDS_PY = WORKFLOWS / "shards.py"
MODULES = WORKFLOWS / "nextflow" / "modules" / "esmkit"


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


@pytest.fixture
def proteins(tmp_path: Path) -> Path:
    known = examples()
    records = [(name, known[name]) for name in SHORT]
    return write_fasta(tmp_path / "proteins.fasta", [*records[:1], ("bad", "MK1"), *records[1:]])


@pytest.fixture
def path_with_esmkit(tmp_path: Path) -> dict[str, str]:
    """An environment whose `esmkit` and `python` are those of the tests."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, call in {"esmkit": "-m esmkit ", "python": ""}.items():
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {call}"$@"\n')
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def shards(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SHARDS_PY, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def embedded_in_shards(esmkit: Esmkit, proteins: Path, folder: Path) -> list[Path]:
    assert shards("split", proteins, "--out", folder, "--residues", 50).returncode == 0
    parts = sorted(folder.glob("*.fasta"))
    for part in parts:
        assert esmkit("embed", part, "--out", part.with_suffix(".parquet"), "-q", "--on-error", "skip").code in (0, 1)
    return [part.with_suffix(".parquet") for part in parts]


def test_shards_give_what_one_run_gives_failures_too(esmkit: Esmkit, proteins: Path, tmp_path: Path) -> None:
    parts = embedded_in_shards(esmkit, proteins, tmp_path / "shards")
    assert len(parts) == 3
    assert shards("merge", *parts, "--out", tmp_path / "merged.parquet").returncode == 0
    assert esmkit("embed", proteins, "--out", tmp_path / "whole.parquet", "-q", "--on-error", "skip").code == 1
    merged, whole = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("merged", "whole"))
    assert merged.schema.equals(whole.schema, check_metadata=True)
    assert merged.drop(["mean_6"]) == whole.drop(["mean_6"])
    assert merged["index"].to_pylist() == [0, 2, 3]
    for one, other in zip(merged["mean_6"].to_pylist(), whole["mean_6"].to_pylist(), strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    failure, expected = (
        json.loads((tmp_path / f"{name}.parquet.failures.jsonl").read_text()) for name in ("merged", "whole")
    )
    assert (failure["index"], failure["id"], failure["error"]["code"]) == (1, "bad", expected["error"]["code"])
    manifest = json.loads((tmp_path / "merged.parquet.manifest.json").read_text())
    assert manifest["counts"] == json.loads((tmp_path / "whole.parquet.manifest.json").read_text())["counts"]


def test_a_shard_of_another_run_or_a_damaged_one_is_refused(esmkit: Esmkit, proteins: Path, tmp_path: Path) -> None:
    parts = embedded_in_shards(esmkit, proteins, tmp_path / "shards")
    esmkit(
        "embed",
        parts[1].with_suffix(".fasta"),
        "--out",
        parts[1],
        "-q",
        "--pool",
        "max",
        "--on-error",
        "skip",
        "--overwrite",
    )
    other = shards("merge", *parts, "--out", tmp_path / "merged.parquet")
    assert other.returncode == 2
    assert "outputs was" in other.stderr
    parts[1].write_bytes(parts[1].read_bytes() + b"x")
    damaged = shards("merge", *parts, "--out", tmp_path / "merged.parquet")
    assert damaged.returncode == 2
    assert "is not the file of its manifest" in damaged.stderr
    assert not (tmp_path / "merged.parquet").exists()


def test_an_id_in_two_shards_is_found_before_anything_is_computed(tmp_path: Path) -> None:
    twice = write_fasta(tmp_path / "twice.fasta", [("a", "MKT"), ("b", "MKV"), ("a", "MKL")])
    refused = shards("split", twice, "--out", tmp_path / "shards", "--residues", 3)
    assert refused.returncode == 2
    assert "'a'" in refused.stderr


def script(module: str, **variables: object) -> str:
    """The command of a process with its variables, as Groovy fills them in."""
    text = (MODULES / module / "main.nf").read_text()
    (block,) = re.findall(r'script:.*?"""\n(.*?)"""', text, re.DOTALL)
    for name, value in variables.items():
        block = block.replace("${" + name + "}", str(value))
    assert "${" not in block
    return "set -euo pipefail\n" + "\n".join(line[4:] for line in block.replace("\\$", "$").split("\n"))


def test_every_process_of_the_nextflow_module_runs(
    proteins: Path, tmp_path: Path, path_with_esmkit: dict[str, str]
) -> None:
    work = tmp_path / "work"
    work.mkdir()

    def run(commands: str) -> None:
        done = subprocess.run(
            ["bash", "-c", commands], cwd=work, env=path_with_esmkit, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert yaml.safe_load((work / "versions.yml").read_text()) == {"task": {"esmkit": __version__}}

    common = {"task.process": "task", "shards_py": SHARDS_PY, "prefix": "all"}
    run(script("split", proteins=proteins, residues=10_000, **common))
    assert [path.name for path in sorted((work / "shards").iterdir())] == ["shard-00000.fasta"]
    embed = {"model": "esm2-mini", "task.cpus": 1, "args": "--on-error skip", "task.process": "task"}
    run(script("embed", proteins="shards/shard-00000.fasta", prefix="shard-00000", **embed))
    assert (work / "shard-00000.parquet.failures.jsonl").exists()  # and the task succeeds
    run(script("merge", **common))
    assert pq.read_metadata(work / "all.parquet").num_rows == 3


def test_modules_say_what_they_take_and_give_and_the_version_they_install() -> None:
    described = yaml.safe_load((MODULES / "embed" / "meta.yml").read_text())
    process = (MODULES / "embed" / "main.nf").read_text()
    assert sorted(described["output"]) == sorted(re.findall(r"emit: (\w+)", process))
    for name in ("nextflow/modules/esmkit/environment.yml", "snakemake/esmkit/embed/environment.yaml"):
        dependencies = yaml.safe_load((WORKFLOWS / name).read_text())["dependencies"]
        (pip,) = [each for each in dependencies if isinstance(each, dict)]
        assert pip["pip"][0].replace(" ", "") == f"esmkit=={__version__}"
    config = (WORKFLOWS / "nextflow" / "nextflow.config").read_text()
    assert set(re.findall(r"esmkit:([\d.]+)-(\w+)", config)) == {(__version__, "cpu"), (__version__, "cuda")}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("snakemake") is None, reason="snakemake is not installed")
def test_snakemake_runs_the_workflow(tmp_path: Path, path_with_esmkit: dict[str, str]) -> None:
    snakefile = WORKFLOWS / "snakemake" / "Snakefile"
    config = [f"proteins={EXAMPLES}", "out=embeddings.parquet", "residues=8000"]
    done = subprocess.run(
        ["snakemake", "--snakefile", snakefile, "--cores", "1", "--config", *config],
        cwd=tmp_path,
        env=path_with_esmkit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert pq.read_table(tmp_path / "embeddings.parquet")["index"].to_pylist() == list(range(48))
