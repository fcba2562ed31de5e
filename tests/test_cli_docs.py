"""The documentation of command line and library is true: commands run, Python runs, no option is missing."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer.main

from esmkit.cli import app
from tests.cli_calls import ROOT, SHORT, Esmkit, examples, in_process, write_fasta
from tests.structure_files import STRUCTURES

DOCS = ROOT / "docs"
PAGES = (
    "quickstart",
    "embeddings",
    "contacts",
    "attentions",
    "logits-and-masked-prediction",
    "likelihood",
    "mutations",
    "predictors",
    "design",
    "maps",
    "compare",
    "interactions",
    "antibodies-membranes",
    "search",
    "library",
    "training",
    "contacts-training",
    "finetune",
    "command-line",
)
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NEEDS_A_DOWNLOAD = re.compile(r"^[^#\n]*(esm2-650m|avgfp_nn4dms|gb1_flip|esol_train|deeploc_train)", re.MULTILINE)
ANTIBODY_PAGE = "antibodies-membranes"


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def commands(block: str) -> list[list[str]]:
    """The calls of esmkit in a block of shell, without comments, pipes and redirections."""
    lines = [re.split(r" [|><] ", line)[0] for line in block.splitlines() if line.startswith("esmkit ")]
    return [shlex.split(line, comments=True)[1:] for line in lines if "COMMAND" not in line]


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Esmkit:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").mkdir()
    known = examples()
    # Calmodulin is shown on most pages, P10275 is cut into windows on one, P62593 is the protein of the assay, two are
    # compared, one is in a membrane.
    few = ["P0DP23", "P10275", "P62593", "P10415", "Q07812", "P02945", *SHORT]
    for folder in ("proteingym", "cath"):
        shutil.copytree(ROOT / "examples" / folder, tmp_path / "examples" / folder)
    write_fasta(tmp_path / "examples" / "proteins.fasta", [(name, known[name]) for name in few])
    (tmp_path / "examples" / "structures").symlink_to(STRUCTURES)
    for path in (*(ROOT / "examples").glob("*.csv"), ROOT / "examples" / "antibody_chains.fasta"):
        shutil.copy(path, tmp_path / "examples")
    return in_process(monkeypatch, capsys)


LONG = {"training", "finetune", "predictors", "design"}
"""Pages whose commands take half a minute each."""


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow) if page in LONG else page for page in PAGES]
)
def test_every_command_and_every_line_of_python_runs(esmkit: Esmkit, page: str) -> None:
    if page == ANTIBODY_PAGE:
        pytest.importorskip("anarcii")
    names: dict[str, object] = {}
    ran = 0
    for language, code in blocks(DOCS / f"{page}.md"):
        if NEEDS_A_DOWNLOAD.search(code):
            continue
        if language == "python":
            exec(compile(code, f"{page}.md", "exec"), names)
            ran += 1
            continue
        for arguments in commands(code):
            done = esmkit(*arguments)
            assert done.code == 0, (arguments, done.err)
            ran += 1
    assert ran >= 2


@pytest.mark.parametrize("page", sorted([*DOCS.glob("*.md"), ROOT / "README.md"]), ids=lambda page: page.stem)
def test_every_command_in_the_documentation_is_understood(page: Path) -> None:
    group = typer.main.get_command(app)
    for language, code in blocks(page):
        for name, *rest in commands(code) if language == "sh" else ():
            command = group.commands[name]
            if nested := getattr(command, "commands", None):
                command, rest = nested[rest[0]], rest[1:]
            command.make_context(name, list(rest))  # raises what `esmkit` would print


OWN_PAGES = {
    "train mlm": (["training"], 30),
    "train head": (["finetune"], 29),
    "train finetune": (["finetune"], 29),
    "train contacts": (["contacts-training"], 12),
    "fit": (["predictors"], 20),
    "map": (["maps", "command-line"], 25),
    "cluster": (["maps", "command-line"], 25),
    "mutations": (["mutations", "command-line"], 25),
    "benchmark": (["mutations", "command-line"], 15),
    "design": (["design", "command-line"], 50),
    "interactions": (["interactions", "command-line"], 25),
    "antibody": ([ANTIBODY_PAGE, "command-line"], 22),
    "index": (["search", "command-line"], 20),
    "search": (["search", "command-line"], 15),
    "annotate": (["search", "command-line"], 15),
    "jobs": (["jobs"], 20),
    "mcp": (["agents"], 5),
    "chat": (["chat"], 9),
}
"""Commands whose options are on pages of their own, and how many they are at least."""
ELSEWHERE = {"models", "version", "serve", "usage", *(name for name in OWN_PAGES if " " not in name)}


def options_of(command: Any) -> set[str]:
    """Of a command, or of all in a group."""
    nested = getattr(command, "commands", None)
    if nested:
        return {option for each in nested.values() for option in options_of(each)}
    found = {option for parameter in command.params for option in parameter.opts if option.startswith("-")}
    return found - {"--help", "-h"}


def test_every_option_is_on_the_page_of_the_command_line() -> None:
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    group = typer.main.get_command(app).commands
    single = (name for name, command in group.items() if not hasattr(command, "commands") and name not in ELSEWHERE)
    options = {option for name in single for option in options_of(group[name])}
    assert len(options) > 30
    assert sorted(option for option in options if f"`{option}`" not in page) == []
    assert sorted(name for name in group if f"`esmkit {name}" not in page) == []


@pytest.mark.parametrize("names", OWN_PAGES)
def test_every_option_is_on_the_page_of_its_command(names: str) -> None:
    pages, at_least = OWN_PAGES[names]
    text = "".join((DOCS / f"{page}.md").read_text(encoding="utf-8") for page in pages)
    command: Any = typer.main.get_command(app)
    for name in names.split():
        command = command.commands[name]
    options = options_of(command)
    assert len(options) > at_least
    assert sorted(option for option in options - {"-q"} if f"`{option}`" not in text) == []


def test_every_exit_code_is_on_the_page_of_the_command_line() -> None:
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == ["0", "1", "2", "3", "4", "130"]


def test_pages_are_built_with_the_pictures_they_show() -> None:
    shown = {name for page in DOCS.glob("*.md") for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text())}
    assert shown == {str(path.relative_to(DOCS)) for path in (DOCS / "images").iterdir()}
    assert all((DOCS / name).stat().st_size < 100_000 for name in shown)
