"""Hydropathy: means and segments as worked out by hand, on real membrane proteins, and beside a scan."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from esmkit.alphabet import STANDARD
from esmkit.applications.hydropathy import KYTE_DOOLITTLE, hydropathy
from esmkit.applications.mutations.heatmap import draw_heatmap
from esmkit.applications.mutations.page import page
from esmkit.applications.mutations.scan import assembled
from esmkit.errors import InvalidConfigError, InvalidSequenceError
from tests.cli_calls import EXAMPLES, Esmkit, examples, in_process

BACTERIORHODOPSIN = "P02945"


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


def test_the_scale_covers_the_20_amino_acids() -> None:
    assert sorted(KYTE_DOOLITTLE) == sorted(STANDARD)
    assert sum(KYTE_DOOLITTLE.values()) == pytest.approx(-9.8)


def test_means_are_those_worked_out_by_hand() -> None:
    # I 4.5, K -3.9, A 1.8, R -4.5, L 3.8
    found = hydropathy("IKARL", window=3)
    expected = [(4.5 - 3.9) / 2, (4.5 - 3.9 + 1.8) / 3, (-3.9 + 1.8 - 4.5) / 3, (1.8 - 4.5 + 3.8) / 3, (-4.5 + 3.8) / 2]
    np.testing.assert_allclose(found.means, expected, atol=1e-9)
    assert found.segments == ()


def test_segments_are_the_best_windows_and_do_not_overlap() -> None:
    found = hydropathy("KKKK" + "V" * 7 + "KKKK" + "I" * 5 + "KKKK", window=5, threshold=4.2)
    assert found.segments == ((5, 9), (16, 20))
    assert hydropathy("V" * 20, window=5).segments == ((1, 5), (6, 10), (11, 15), (16, 20))


def test_a_protein_shorter_than_the_window_has_means_and_no_segment() -> None:
    found = hydropathy("VVV")
    np.testing.assert_allclose(found.means, 4.2)
    assert found.segments == ()


def test_known_membrane_proteins_have_segments_where_their_helices_are() -> None:
    # Residues of the helices in UniProt's numbering of the precursor, as the structures of bacteriorhodopsin have them.
    helices = [(22, 42), (49, 75), (93, 114), (118, 140), (147, 173), (180, 205), (216, 239)]
    segments = hydropathy(examples()[BACTERIORHODOPSIN]).segments
    assert len(segments) >= 5
    assert all(any(first - 3 <= start and end <= last + 3 for first, last in helices) for start, end in segments)
    assert len(hydropathy(examples()["P29274"]).segments) >= 6  # a receptor with seven
    for soluble in ("P62593", "P0DP23", "P69441", "P42212"):
        assert hydropathy(examples()[soluble]).segments == ()


def test_what_has_no_hydropathy_is_named() -> None:
    with pytest.raises(InvalidSequenceError, match="position 3: 'X'"):
        hydropathy("MKX")
    with pytest.raises(InvalidConfigError, match="odd number"):
        hydropathy("MKT", window=4)


def test_a_scan_has_the_hydropathy_in_table_picture_and_page(esmkit: Esmkit, tmp_path: Path) -> None:
    call = ("mutations", "scan", EXAMPLES, "--id", BACTERIORHODOPSIN, "--method", "wt_marginal", "--positions", "20-60")
    pictures = ("--heatmap", tmp_path / "map.png", "--heatmap", tmp_path / "map.html", "--summary", tmp_path / "by.csv")
    done = esmkit(*call, *pictures, "--offset", "100", "--positions", "120-160", "--hydropathy")
    assert done.code == 0, done.err
    found = hydropathy(examples()[BACTERIORHODOPSIN])
    assert "124-142" in done.err
    assert f"{len(found.segments)} hydrophobic segments" in done.err
    with (tmp_path / "by.csv").open() as file:
        table = list(csv.DictReader(file))
    np.testing.assert_allclose([float(row["hydropathy"]) for row in table], found.means[19:60], atol=1e-4)
    data = json.loads(re.search(r'id="data">(.*?)</script>', (tmp_path / "map.html").read_text())[1])
    np.testing.assert_allclose(data["hydropathy"]["means"], found.means[19:60], atol=1e-3)
    assert [at + 20 for at, inside in enumerate(data["hydropathy"]["segments"]) if inside][:19] == list(range(24, 43))
    shown = esmkit(*call, "--hydropathy", "-q").out.splitlines()
    assert shown[0].endswith("hydro")
    assert max(map(len, shown)) <= 80
    assert "hydropathy" not in esmkit(*call, "--json", "-q").out


def test_a_picture_with_the_track_is_taller(tmp_path: Path) -> None:
    scan = assembled("VVVKKKVVV", range(9), np.zeros(171), method="wt_marginal", models=("tiny",))
    track = hydropathy(scan.sequence, window=3)
    draw_heatmap(scan, tmp_path / "plain.svg", title="t")
    draw_heatmap(scan, tmp_path / "track.svg", title="t", hydropathy=track)
    heights = [
        float(re.search(r'height="([\d.]+)pt"', (tmp_path / f"{n}.svg").read_text())[1]) for n in ("plain", "track")
    ]
    assert heights[1] > heights[0] + 40
    assert '"hydropathy":null' in page(scan, title="t")
