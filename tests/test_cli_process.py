"""What only a process of its own shows: signals, pipes, two runs at once, and what --help imports."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from rich.cells import cell_len

from esmkit.cli import app
from tests.cli_calls import EXAMPLES, Esmkit, in_process, start

# One thread and one size of batch, so that the sums of two runs are the same to the last bit.
SAME = ("--threads", 1, "--batch-tokens", 2048, "--shard-residues", 700)
PATIENCE_S = 120


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Esmkit]:
    import torch

    threads = torch.get_num_threads()
    yield in_process(monkeypatch, capsys)
    torch.set_num_threads(threads)


def started_with_two_shards(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """A run that has two shards or more and can never finish: it waits for the second half of its input."""
    run = start("embed", "-", *arguments)
    assert run.stdin is not None
    blocks = EXAMPLES.read_text().split("\n>")
    run.stdin.write("\n>".join(blocks[:24]) + "\n>")
    run.stdin.flush()
    give_up = time.monotonic() + PATIENCE_S
    while len(finished_shards(folder)) < 2:
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return run


def finished_shards(folder: Path) -> list[str]:
    try:
        return [shard["file"] for shard in json.loads((folder / "_manifest.json").read_text())["shards"]]
    except FileNotFoundError:
        return []


def test_killed_run_goes_on_to_the_bytes_of_an_undisturbed_one(esmkit: Esmkit, tmp_path: Path) -> None:
    undisturbed, out = tmp_path / "undisturbed.parquet", tmp_path / "out.parquet"
    assert esmkit("embed", EXAMPLES, *SAME, "--out", undisturbed).code == 0

    killed = started_with_two_shards(tmp_path / ".out.parquet.partial", *SAME, "--out", out)
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    made = len(finished_shards(tmp_path / ".out.parquet.partial"))

    resumed = esmkit("embed", EXAMPLES, *SAME, "--out", out, "--json")
    facts = json.loads(resumed.out)
    assert (resumed.code, facts["records"], facts["residues"]) == (0, 48, 14_079)
    assert facts["shards_resumed"] == made
    assert 0 < facts["computed_residues"] <= 14_079 - 700 * made
    assert out.read_bytes() == undisturbed.read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*out*")) == ["out.parquet", "out.parquet.manifest.json"]


def test_interrupted_run_ends_at_once_and_goes_on(esmkit: Esmkit, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = started_with_two_shards(out, *SAME, "--out", out)
    refused = esmkit("embed", EXAMPLES, *SAME, "--out", out, "--quiet")
    assert (refused.code, "is writing to" in refused.err) == (2, True)

    asked = time.monotonic()
    run.send_signal(signal.SIGINT)
    run.wait(PATIENCE_S)  # and not communicate() yet: it closes the input, whose half record would be an error
    assert time.monotonic() - asked < 10
    _, err = run.communicate()
    assert run.returncode == 130, err
    assert err.splitlines()[-1] == "esmkit: interrupted; run it again to go on from the last shard in --out"
    assert "Traceback" not in err

    made = {name: (out / name).stat().st_mtime_ns for name in finished_shards(out)}
    assert esmkit("embed", EXAMPLES, *SAME, "--out", out).code == 0
    assert {name: (out / name).stat().st_mtime_ns for name in made} == made
    assert len(finished_shards(out)) > len(made) >= 2


def test_a_reader_that_leaves_is_no_error() -> None:
    with start("likelihood", EXAMPLES, "--method", "log_prob", "--json", "--quiet") as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        assert run.stderr.read() == ""
        assert run.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("arguments", [["--help"], ["embed", "--help"], ["embed", "--no-such-option"]])
def test_help_and_typing_errors_import_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["esmkit", *{arguments!r}]
from esmkit import cli
def leave(code):
    heavy = {{"torch", "numpy", "pyarrow", "h5py", "matplotlib", "huggingface_hub", "safetensors"}} & set(sys.modules)
    print("HEAVY", sorted(heavy))
    raise SystemExit(code)
cli._leave = cli.sys.exit = leave
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == (2 if "--no-such-option" in arguments else 0), done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def every_command() -> list[list[str]]:
    group = typer.main.get_command(app)
    names: list[list[str]] = [[]]
    for name, command in group.commands.items():
        names += [[name], *([name, inner] for inner in getattr(command, "commands", ()))]
    return names


def test_there_are_as_many_commands_as_documented() -> None:
    names = [" ".join(command) for command in every_command()]
    assert {"embed", "contacts", "attentions", "logits", "predict", "likelihood", "version"} < set(names)
    assert {f"models {name}" for name in ("list", "info", "pull", "verify", "path")} < set(names)


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_help_fits_80_columns(esmkit: Esmkit, command: list[str]) -> None:
    done = esmkit(*command, "--help")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", done.out).splitlines()
    assert (done.code, done.err) == (0, "")
    assert len(lines) > 8
    assert max(map(cell_len, lines)) <= 80
    assert not any("…" in line for line in lines)


def test_python_m_esmkit_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "esmkit", "-h"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Usage: esmkit [OPTIONS] COMMAND" in done.stdout
