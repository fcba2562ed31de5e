"""Calling the command line: in this process where that says the same, as a process of its own where it does not."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from esmkit import cli

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "proteins.fasta"
SHORT = ("P56552", "1PGA_A", "5PTI_A")
"""The three shortest examples: 54, 56 and 58 residues."""


@dataclass(frozen=True)
class Outcome:
    """What a call left behind."""

    code: int
    out: str
    err: str


Esmkit = Callable[..., Outcome]


def examples() -> dict[str, str]:
    """id -> sequence."""
    blocks = EXAMPLES.read_text().removeprefix(">").split("\n>")
    return {block.split()[0]: "".join(block.split("\n")[1:]) for block in blocks}


def write_fasta(path: Path, records: Iterable[tuple[str, str]]) -> Path:
    """A FASTA file."""
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in records))
    return path


def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    """The command line as the console script calls it, except that it does not take the test's process with it."""

    def leave(code: int) -> NoReturn:
        raise SystemExit(code)

    monkeypatch.setattr(cli, "_leave", leave)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["esmkit", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        shown = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Outcome(left.value.code, shown.out, shown.err)

    return call


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """`python -m esmkit ARGUMENTS` with pipes; Ctrl-C reaches it also where a shell put the tests in its background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as such a shell does, and what is ignored is inherited
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "esmkit", *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, **(pipes | options))
