"""The documentation of command line and library is true: commands run, Python runs, no option is missing."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

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


@pytest.mark.parametrize("page", PAGES)
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


def test_every_option_is_on_the_page_of_the_command_line() -> None:
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    group = typer.main.get_command(app)
    options = {
        option
        for name, command in group.commands.items()
        for parameter in command.params
        if name not in ("models", "version", "serve", "usage", "fit")  # serve and fit have pages of their own
        if name not in ("models", "version", "serve", "usage", "map", "cluster")  # the last three: on their pages
        for option in parameter.opts
        if option.startswith("-") and option not in ("--help", "-h")
    }
    assert len(options) > 30
    assert sorted(option for option in options if f"`{option}`" not in page) == []
    assert sorted(name for name in group.commands if f"`esmkit {name}" not in page) == []


@pytest.mark.parametrize(
    ("kind", "name", "at_least"),
    [
        ("mlm", "training", 30),
        ("head", "finetune", 29),
        ("finetune", "finetune", 29),
        ("contacts", "contacts-training", 12),
    ],
)
def test_every_option_of_training_is_on_its_page(kind: str, name: str, at_least: int) -> None:
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    command = typer.main.get_command(app).commands["train"].commands[kind]
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("-")}
    assert len(options) > at_least
    assert sorted(option for option in options - {"-q"} if f"`{option}`" not in page) == []


def test_every_option_of_fit_is_on_its_page() -> None:
    page = (DOCS / "predictors.md").read_text(encoding="utf-8")
    command = typer.main.get_command(app).commands["fit"]
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("-")}
    assert len(options) > 20
    assert sorted(option for option in options - {"-q"} if f"`{option}`" not in page) == []
@pytest.mark.parametrize("name", ["map", "cluster"])
def test_every_option_of_maps_is_on_its_page(name: str) -> None:
    pages = "".join((DOCS / f"{page}.md").read_text(encoding="utf-8") for page in ("maps", "command-line"))
    command = typer.main.get_command(app).commands[name]
    assert len(options) > 25
    assert sorted(option for option in options if f"`{option}`" not in pages) == []


def test_every_option_of_mutations_is_on_its_page() -> None:
    pages = "".join((DOCS / f"{page}.md").read_text(encoding="utf-8") for page in ("mutations", "command-line"))
    groups = typer.main.get_command(app).commands
    commands = [*groups["mutations"].commands.values(), *groups["benchmark"].commands.values()]
    options = {option for command in commands for each in command.params for option in each.opts if option[0] == "-"}
    assert len(options) > 25
    assert sorted(option for option in options - {"--help", "-h"} if f"`{option}`" not in pages) == []


def test_every_option_of_design_is_on_its_page() -> None:
    pages = "".join((DOCS / f"{page}.md").read_text(encoding="utf-8") for page in ("design", "command-line"))
    commands = typer.main.get_command(app).commands["design"].commands.values()
    options = {option for command in commands for each in command.params for option in each.opts if option[0] == "-"}
    assert len(options) > 50
    assert sorted(option for option in options - {"--help", "-h"} if f"`{option}`" not in pages) == []


@pytest.mark.parametrize(
    ("name", "page", "at_least"), [("interactions", "interactions", 25), ("antibody", ANTIBODY_PAGE, 22)]
)
def test_every_option_of_pairs_is_on_its_page(name: str, page: str, at_least: int) -> None:
    pages = "".join((DOCS / f"{each}.md").read_text(encoding="utf-8") for each in (page, "command-line"))
    commands = typer.main.get_command(app).commands[name].commands.values()
    options = {option for command in commands for each in command.params for option in each.opts if option[0] == "-"}
    assert len(options) > at_least
    assert sorted(option for option in options - {"--help", "-h"} if f"`{option}`" not in pages) == []


def test_every_option_of_search_is_on_its_page() -> None:
    pages = "".join((DOCS / f"{page}.md").read_text(encoding="utf-8") for page in ("search", "command-line"))
    groups = typer.main.get_command(app).commands
    commands = [*groups["index"].commands.values(), groups["search"], groups["annotate"]]
    options = {option for command in commands for each in command.params for option in each.opts if option[0] == "-"}
    assert len(options) > 30
    assert sorted(option for option in options - {"--help", "-h"} if f"`{option}`" not in pages) == []


def test_every_exit_code_is_on_the_page_of_the_command_line() -> None:
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == ["0", "1", "2", "3", "4", "130"]


def test_pages_are_built_with_the_pictures_they_show() -> None:
    shown = {name for page in DOCS.glob("*.md") for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text())}
    assert shown == {str(path.relative_to(DOCS)) for path in (DOCS / "images").iterdir()}
    assert all((DOCS / name).stat().st_size < 60_000 for name in shown)
