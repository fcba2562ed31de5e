"""Pictures of scans: drawn for any scan, and pages that hold data but never markup of others."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from esmkit.alphabet import STANDARD
from esmkit.applications.mutations.heatmap import ROWS, draw_heatmap, limit_of
from esmkit.applications.mutations.logo import COLORS, draw_logo
from esmkit.applications.mutations.page import page, write_page
from esmkit.applications.mutations.panels import panels
from esmkit.applications.mutations.scan import Scan, assembled
from esmkit.errors import InvalidConfigError

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)> & \"quotes\" 'too' {{data}} α"


def scan_of(length: int, offset: int = 0, seed: int = 0) -> Scan:
    generator = np.random.default_rng(seed)
    sequence = "".join(generator.choice(list(STANDARD), length))
    scores = generator.normal(-2, 2, 19 * length)
    return assembled(sequence, range(length), scores, method="masked_marginal", models=("tiny",), offset=offset)


@pytest.mark.parametrize("length", [1, 2, 89, 90, 91, 263])
def test_panels_are_all_positions_once_in_stretches_of_like_length(length: int) -> None:
    parts = panels(length)
    assert [at for part in parts for at in range(length)[part]] == list(range(length))
    assert max(part.stop - part.start for part in parts) <= 90


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize("length", [1, 120])
def test_pictures_are_drawn_in_every_format(tmp_path: Path, length: int, suffix: str) -> None:
    for draw in (draw_heatmap, draw_logo):
        path = tmp_path / "folder" / f"{draw.__name__}{suffix}"
        draw(scan_of(length, offset=23), path, title=EVIL)
        assert path.stat().st_size > 1000


def test_a_scan_without_any_effect_can_be_drawn(tmp_path: Path) -> None:
    flat = assembled("MKT", range(3), np.zeros(57), method="wt_marginal", models=("tiny",))
    draw_heatmap(flat, tmp_path / "map.png", title="flat")
    draw_logo(flat, tmp_path / "logo.png", title="flat")
    assert "\\u" not in page(flat, title="flat").split('id="data">')[1].split("<")[0]


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match=r"ends with \.png"):
        draw_heatmap(scan_of(3), tmp_path / "map.jpg", title="")


def test_every_residue_has_a_row_and_a_colour() -> None:
    assert sorted(ROWS) == sorted(COLORS) == sorted(STANDARD)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags_of(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(text)
    return parser.tags


def test_nothing_from_outside_becomes_markup() -> None:
    scan = assembled("MK", range(2), np.arange(38.0), method="wt_marginal", models=(EVIL,))
    hostile, harmless = page(scan, title=EVIL), page(scan, title="title")
    assert [tag for tag, _ in tags_of(hostile)] == [tag for tag, _ in tags_of(harmless)]
    assert "<img" not in hostile
    assert "&lt;/script&gt;" in hostile


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    write_page(scan_of(5), tmp_path / "map.html", title="a protein")
    text = (tmp_path / "map.html").read_text()
    for tag, attributes in tags_of(text):
        assert tag not in ("link", "img", "iframe")
        assert not {"src", "href"} & set(attributes)
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|import ", text)
    assert "default-src 'none'" in text


def test_the_page_holds_the_scan() -> None:
    scan = scan_of(30, offset=23)
    data = json.loads(re.search(r'id="data">(.*?)</script>', page(scan, title="t"), re.DOTALL)[1])  # type: ignore[index]
    order = [STANDARD.index(residue) for residue in data["rows"]]
    np.testing.assert_allclose(data["scores"], scan.scores[:, order], atol=1e-4)
    np.testing.assert_allclose(data["probabilities"], scan.probabilities[:, order], atol=1e-5)
    assert (data["residues"], data["positions"]) == (scan.sequence, list(range(24, 54)))
    assert data["limit"] == limit_of(scan)
