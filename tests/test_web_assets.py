"""The static files: libraries of others are what the list says, and nothing comes from elsewhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from esmkit.web import assets

VENDOR = assets.FOLDER / "vendor"
OWN_SCRIPTS = sorted(path for path in assets.FOLDER.rglob("*.js") if VENDOR not in path.parents)
OWN_STYLES = sorted(path for path in assets.FOLDER.rglob("*.css") if VENDOR not in path.parents)


def listed() -> dict[str, list[str]]:
    """The cells of VERSIONS.md by file."""
    rows = [line.strip("| \n").split(" | ") for line in (VENDOR / "VERSIONS.md").read_text().splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) == 5 and not row[0].startswith(("file", "---"))}


def test_every_library_is_listed_with_its_digest_version_and_licence() -> None:
    files = {path.name for path in VENDOR.iterdir() if path.suffix in (".js", ".css")}
    assert files
    assert set(listed()) == files
    for name, (_, version, licence, sha256) in listed().items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == sha256, name
        assert f"-{version}." in name
        spdx, text = licence.split(", ")
        assert spdx in ("MIT", "BSD-3-Clause", "ISC", "Apache-2.0", "Bitstream Vera"), name
        assert len((VENDOR / text).read_text()) > 500, name


def test_every_library_is_used() -> None:
    templates = [path.read_text() for path in (assets.FOLDER.parent / "templates").glob("*.html")]
    text = "\n".join([*templates, *(path.read_text() for path in OWN_SCRIPTS)])
    for name in listed():
        assert name in text, name


@pytest.mark.parametrize("path", OWN_SCRIPTS, ids=lambda path: path.relative_to(assets.FOLDER).as_posix())
def test_a_script_imports_only_what_is_here_and_writes_no_html(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r'(?:^(?:import|export|\}).*\bfrom |^import |\bimport\()"([^"]+)"', text, re.MULTILINE):
        assert name.startswith("."), name
        assert (path.parent / name).resolve().is_file(), name
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    assert not re.search(r"https?://(?!www\.w3\.org/)", text.replace("http://${", ""))


@pytest.mark.parametrize("path", OWN_STYLES, ids=lambda path: path.relative_to(assets.FOLDER).as_posix())
def test_a_style_sheet_loads_nothing(path: Path) -> None:
    text = path.read_text()
    assert "@import" not in text
    assert "url(" not in text


def test_the_address_of_the_files_follows_from_their_content() -> None:
    assert re.fullmatch(r"/static/[0-9a-f]{16}/core/base\.css", assets.address("core/base.css"))
    assert assets.exists("core/base.css")
    assert not assets.exists("core/nothing.css")
