"""Claims about coordinates, clusters, columns and what is drawn of them."""

from __future__ import annotations

import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esmkit.applications.maps import Chart, Clusters, agreement, axis_labels, draw_chart, hdbscan, leiden, pca, umap
from esmkit.applications.maps.columns import (
    COLORS,
    NOTHING_COLOR,
    OTHERS_COLOR,
    SHAPES,
    Categories,
    Numbers,
    legend,
    understand,
)
from esmkit.applications.maps.page import page, write_page
from esmkit.errors import InvalidConfigError, InvalidInputError
from esmkit.types import FloatArray

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)> & \"quotes\" 'too' {{data}} $x^$ α"


def random_vectors(count: int = 60, width: int = 12, seed: int = 0) -> FloatArray:
    """Around a common direction, as embeddings are, with axes that differ."""
    generator = np.random.default_rng(seed)
    return (5 + generator.normal(size=(count, width)) * np.linspace(2, 0.2, width)).astype(np.float32)


def planted(groups: int = 4, size: int = 30, stray: int = 0, width: int = 40) -> tuple[FloatArray, list[str]]:
    """Groups around directions far from each other, of sizes that differ, and vectors that belong nowhere."""
    generator = np.random.default_rng(7)
    vectors, labels = [], []
    for group in range(groups):
        count = size + 3 * (groups - group)
        vectors.append(generator.normal(size=width) * 4 + generator.normal(size=(count, width)) * 0.3)
        labels += [f"family {group}"] * count
    vectors.append(generator.normal(size=(stray, width)) * 4)
    order = generator.permutation(len(labels) + stray)
    labels += [""] * stray
    return np.concatenate(vectors).astype(np.float32)[order], [labels[at] for at in order]


@pytest.mark.parametrize(("count", "width"), [(60, 12), (9, 30)])
def test_pca_is_the_svd_of_centred_unit_vectors_up_to_sign(count: int, width: int) -> None:
    vectors = random_vectors(count, width)
    found = pca(vectors, 4)
    units = vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    left, singular, right = np.linalg.svd(units - units.mean(axis=0), full_matrices=False)
    signs = np.sign(right[np.arange(4), np.abs(right[:4]).argmax(axis=1)])  # the largest weight is positive
    np.testing.assert_allclose(found.coordinates, (left * singular)[:, :4] * signs, atol=2e-5)
    np.testing.assert_allclose(found.explained, (singular**2 / (singular**2).sum())[:4], atol=1e-5)
    assert found.coordinates.shape == (count, 4)
    assert found.axes == ("PC1", "PC2", "PC3", "PC4")


def test_pca_gives_the_same_bits_again_and_leaves_the_vectors_alone() -> None:
    vectors = random_vectors()
    before = vectors.copy()
    first, second = pca(vectors), pca(vectors)
    np.testing.assert_array_equal(first.coordinates, second.coordinates)
    np.testing.assert_array_equal(vectors, before)


def test_the_length_of_a_vector_does_not_move_a_point() -> None:
    vectors = random_vectors()
    factors = np.linspace(1, 3, len(vectors), dtype=np.float32)[:, None]
    np.testing.assert_allclose(pca(vectors * factors).coordinates, pca(vectors).coordinates, atol=1e-5)


def test_vectors_that_make_no_map_are_refused() -> None:
    vectors = random_vectors()
    with pytest.raises(InvalidInputError, match="2 proteins; a map or clusters need 3"):
        pca(vectors[:2])
    with pytest.raises(InvalidInputError, match="all proteins have the same vector"):
        pca(np.ones((5, 4), dtype=np.float32))
    with pytest.raises(InvalidConfigError, match="1 to 12 components, not 13"):
        pca(vectors, 13)
    for bad in (0, np.nan):
        broken = vectors.copy()
        broken[7] = bad
        with pytest.raises(InvalidInputError, match="vector of protein 8"):
            pca(broken)


def test_axes_say_what_they_explain() -> None:
    assert re.fullmatch(r"PC1 \(\d+\.\d% of the variance\)", axis_labels(pca(random_vectors()))[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
def test_umap_is_the_same_for_a_seed_and_keeps_families_together() -> None:
    vectors, labels = planted()
    first, second = (umap(vectors, seed=seed).coordinates for seed in (3, 3))
    np.testing.assert_array_equal(first, second)
    assert (umap(vectors, seed=4).coordinates != first).any()
    distances = np.linalg.norm(first[:, None] - first[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert all(labels[nearest] == label for nearest, label in zip(distances.argmin(axis=1), labels, strict=True))
    assert umap(vectors[:3]).coordinates.shape == (3, 2)


def both(vectors: FloatArray) -> dict[str, Clusters]:
    return {"hdbscan": hdbscan(vectors), "leiden": leiden(vectors, neighbors=10)}


def test_planted_families_are_found_and_numbered_by_size() -> None:
    vectors, labels = planted()
    for method, found in both(vectors).items():
        compared = agreement(found, labels, with_noise=False)
        assert compared is not None
        assert compared.adjusted_rand == pytest.approx(1, abs=0 if method == "leiden" else 1e-9)
        assert compared.adjusted_mutual_information == pytest.approx(1)
        assert list(found.sizes) == ["1", "2", "3", "4"]
        assert list(found.sizes.values()) == sorted(found.sizes.values(), reverse=True)
        assert {name for name, label in zip(found.names, labels, strict=True) if label == "family 0"} <= {"1", "noise"}
        assert sum(found.sizes.values()) + found.noise == len(labels)


def test_strays_are_noise_or_hardly_belong() -> None:
    vectors, labels = planted(stray=12)
    found = hdbscan(vectors)
    is_stray, is_noise = (
        np.array([name == text for name in names]) for names, text in ((labels, ""), (found.names, "noise"))
    )
    assert found.probabilities is not None
    assert found.probabilities[is_stray].max() < 0.3 < found.probabilities[~is_noise & ~is_stray].min()
    assert (found.probabilities[is_noise] == 0).all()
    assert found.noise == is_noise.sum() >= 5


def test_each_noise_protein_counts_as_a_cluster_of_its_own() -> None:
    found = Clusters(["1", "1", "noise", "noise"], None, np.zeros(4, dtype=bool), {"1": 2})
    whole, without = (agreement(found, ["a", "a", "b", "b"], with_noise=noise) for noise in (True, False))
    assert whole is not None
    assert without is not None
    assert (whole.proteins, without.proteins) == (4, 2)
    assert whole.adjusted_rand < without.adjusted_rand == 1


def test_representatives_are_the_medoids_by_cosine() -> None:
    vectors, _ = planted(stray=5)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for found in both(vectors).values():
        assert found.representatives.sum() == len(found.sizes)
        for cluster in found.sizes:
            members = [at for at, name in enumerate(found.names) if name == cluster]
            best = members[int((units[members] @ units[members].T).sum(axis=1).argmax())]
            assert found.representatives[best]


def test_leiden_is_the_same_for_a_seed_and_leaves_other_random_numbers_alone() -> None:
    vectors = random_vectors(200, 30)
    random.seed(1)
    before = random.getstate()
    assert leiden(vectors, seed=5).names == leiden(vectors, seed=5).names
    assert random.getstate() == before


def test_finer_resolution_gives_more_communities() -> None:
    vectors = random_vectors(200, 30)
    assert len(leiden(vectors, resolution=3).sizes) > len(leiden(vectors, resolution=0.3).sizes)


def test_vectors_can_be_clustered_as_they_are() -> None:
    vectors, labels = planted(groups=3, size=10)
    found = agreement(hdbscan(vectors, components=0), labels, with_noise=False)
    assert found is not None
    assert found.adjusted_rand == pytest.approx(1)


def test_more_proteins_in_a_cluster_than_there_are_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match="min-size is 61, but there are only 60"):
        hdbscan(random_vectors(), min_size=61)


def test_agreement_of_nothing_is_none() -> None:
    assert agreement(hdbscan(random_vectors()), [""] * 60) is None


def test_columns_are_numbers_or_categories_and_lose_no_row() -> None:
    numbers = [str(value / 2) for value in range(40)]
    found = understand("ddG", [*numbers, "", "NA", "> 4"])
    assert isinstance(found, Numbers)
    assert (found.missing, found.odd, len(found.values)) == (3, (42,), 43)
    classes = understand("class", ["1", "2", "2", "n/a", " 3 "])
    assert isinstance(classes, Categories)
    assert (classes.names, classes.codes.tolist(), classes.missing) == (("2", "1", "3"), [1, 0, 0, -1, 2], 1)
    assert isinstance(understand("class", ["1", "2", "x"], "numbers"), Numbers)
    assert isinstance(understand("year", numbers, "categories"), Categories)
    assert isinstance(understand("mostly text", [*numbers, *["text"] * 10]), Categories)
    assert understand("empty", ["", "-"]).missing == 2
    for infinite in ("inf", "nan", "1e400"):
        assert understand("x", ["1", infinite], "numbers").missing == 1
    with pytest.raises(InvalidInputError, match="column 'x' holds no number"):
        understand("x", ["a", "b"], "numbers")


def test_colours_end_where_few_values_lie_beyond_and_never_at_one_point() -> None:
    found = understand("x", [*map(str, range(1000)), "1e9"])
    assert isinstance(found, Numbers)
    assert found.limits[1] < 1000
    flat = understand("x", ["2", "2"], "numbers")
    assert isinstance(flat, Numbers)
    assert flat.limits == (1.5, 2.5)


def test_every_point_is_in_the_legend_once() -> None:
    most = len(COLORS) * len(SHAPES)
    cells = [f"family {number}" for number in range(most + 5) for _ in range(most + 6 - number)]
    found = understand("x", [*cells, "", "noise"])
    assert isinstance(found, Categories)
    entries = legend(found)
    assert [entry.label for entry in entries[-3:]] == ["5 others", "noise", "missing"]
    assert [entry.color for entry in entries[-3:]] == [OTHERS_COLOR, NOTHING_COLOR, NOTHING_COLOR]
    assert sum(entry.count for entry in entries) == len(cells) + 2
    codes = [code for entry in entries for code in entry.codes]
    assert sorted(codes) == list(range(-1, len(found.names)))
    assert len({(entry.color, entry.shape) for entry in entries[:most]}) == most


def chart(cells: dict[str, list[str]], color_by: str, text: str = "title") -> Chart:
    count = len(cells[color_by])
    places = pca(random_vectors(count)).coordinates
    columns = {name: understand(name, values) for name, values in cells.items()}
    return Chart([f"{text} {at}" for at in range(count)], places, (text, text), columns, color_by, text, text)


CELLS = {
    "class": ["alpha", "beta", "", *["gamma"] * 17],
    "ddG": ["", "odd", *[str(value / 3) for value in range(18)]],
    EVIL: [EVIL, *["x"] * 19],
}


@pytest.mark.parametrize("color_by", list(CELLS))
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_pictures_are_drawn_of_numbers_and_categories(tmp_path: Path, color_by: str, suffix: str) -> None:
    path = tmp_path / "folder" / f"map{suffix}"
    draw_chart(chart(CELLS, color_by, EVIL), path)
    assert path.stat().st_size > 5000


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


def data_of(text: str) -> Any:
    found = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_nothing_from_outside_becomes_markup() -> None:
    harmless = {"class": CELLS["class"], "ddG": CELLS["ddG"]}
    hostile = page(chart(CELLS, EVIL, EVIL))
    assert [tag for tag, _ in tags_of(hostile)] == [tag for tag, _ in tags_of(page(chart(harmless, "class")))]
    assert "<img" not in hostile
    assert data_of(hostile)["ids"][0] == f"{EVIL} 0"


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    write_page(chart(CELLS, "class"), tmp_path / "folder" / "map.html")
    text = (tmp_path / "folder" / "map.html").read_text()
    for tag, attributes in tags_of(text):
        assert tag not in ("link", "img", "iframe")
        assert not {"src", "href"} & set(attributes)
    assert not re.search(r"https?://|//[a-z]+\.|fetch\(|XMLHttpRequest|import ", text)
    assert "default-src 'none'" in text


def test_the_page_holds_every_point_and_column() -> None:
    drawn = chart(CELLS, "ddG")
    data = data_of(page(drawn))
    np.testing.assert_allclose(np.stack([data["x"], data["y"]], axis=1), drawn.places, rtol=1e-5)
    kinds = {column["name"]: column for column in data["columns"]}
    assert [column["kind"] for column in data["columns"]] == ["categories", "numbers", "categories"]
    assert data["columns"][data["colorBy"]]["name"] == "ddG"
    assert kinds["ddG"]["values"][:3] == [None, None, 0.0]
    classes = kinds["class"]
    assert [classes["names"][code] if code >= 0 else "" for code in classes["codes"]] == CELLS["class"]
    labels = [classes["entries"][classes["entryOf"][code]]["label"] for code in classes["codes"][:3]]
    assert labels == ["alpha", "beta", "missing"]
