"""An index of vectors: what is near is found, what is refused, and that nothing is lost or there twice."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import esmkit
from esmkit.applications.search import Index, IndexCard, Metadata, Sequences, Space, add, align, build, parse_filter
from esmkit.applications.search.index import MEASURED_NEIGHBOURS
from esmkit.applications.search.nearest import unit
from esmkit.applications.search.table import VectorTable
from esmkit.errors import EsmkitError, InvalidConfigError, InvalidInputError, InvalidRecordError
from esmkit.inputs import open_records
from tests.cli_calls import write_fasta
from tests.search_indices import DIMENSION, MadeUp, clustered, made, plain_search

COLUMNS = (Metadata("family", "text"), Metadata("EC number", "text"), Metadata("weight", "number"))


def ids_of(count: int) -> list[str]:
    return [f"p{at:04}" for at in range(count)]


def rows_of(index: Index) -> list[dict[str, Any]]:
    """Everything that stands in the table, in the order of ids."""
    names = ["id", "sequence", "length", "digest", "vector", *(column.name for column in index.card.columns)]
    return sorted((row for batch in index.table.scan(names) for row in batch.to_pylist()), key=lambda row: row["id"])


def cells(at: int) -> tuple[Any, ...]:
    return (f"f{at % 5}", "it's" if at % 3 else "", None if at % 4 == 0 else at / 2)


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Index:
    source = MadeUp(clustered(300), [cells(at) for at in range(300)])
    return made(tmp_path_factory.mktemp("described") / "index", source, columns=COLUMNS)


def test_hits_are_those_of_a_plain_search_with_equal_ones_by_id(tmp_path: Path) -> None:
    vectors = clustered(500)
    vectors[100:130] = 3 * vectors[7]  # thirty that are all as near as can be, of another length
    ids = [f"p{at * 37 % 500:04}" for at in range(500)]
    index = made(tmp_path / "index", MadeUp(vectors, ids=ids))
    queries = np.concatenate([vectors[[7, 400]], clustered(20, seed=1)])
    for k in (1, 8, 31, 600):
        found = index.search(queries, k=k)
        expected = plain_search(queries, vectors, ids, k)
        assert [[hit.id for hit in hits] for hits in found] == [[name for name, _ in line] for line in expected]
        cosines = [hit.cosine for hits in found for hit in hits]
        np.testing.assert_allclose(cosines, [cosine for line in expected for _, cosine in line], atol=1e-8)
        assert len(cosines) == 22 * min(k, 500)


def test_approximate_recall_is_what_a_plain_search_says_it_is(tmp_path: Path) -> None:
    vectors = clustered(3000, clusters=300)
    index = made(tmp_path / "index", MadeUp(vectors), approximate_from=3000)
    measured = index.card.approximate
    assert measured is not None
    assert (measured.proteins, measured.queries, measured.neighbours) == (3000, 200, MEASURED_NEIGHBOURS)
    assert measured.recall > 0.9
    drawn = np.sort(np.random.default_rng(0).choice(3000, 200, replace=False))
    found = index.search(vectors[drawn], k=11)
    expected = plain_search(vectors[drawn], vectors, ids_of(3000), 11)
    shares = [
        len({hit.id for hit in hits} & {name for name, _ in line[1:]}) / 10
        for hits, line in zip(found, expected, strict=True)
    ]
    assert measured.recall == pytest.approx(np.mean(shares), abs=0.002)
    exact = index.search(vectors[drawn], k=11, exact=True)
    assert [[hit.id for hit in hits] for hits in exact] == [[name for name, _ in line] for line in expected]


def test_an_approximate_search_that_misses_neighbours_does_not_measure_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = VectorTable.candidates

    def poor(self: VectorTable, *arguments: Any) -> Any:
        batch = candidates(self, *arguments)
        return batch.slice(0, 1)

    monkeypatch.setattr(VectorTable, "candidates", poor)
    index = made(tmp_path / "index", MadeUp(clustered(600)), approximate_from=600)
    assert index.card.approximate is not None
    assert index.card.approximate.recall < 0.05


def test_a_filter_searches_exactly_among_what_meets_it(tmp_path: Path) -> None:
    vectors = clustered(300)
    source = MadeUp(vectors, [cells(at) for at in range(300)])
    index = made(tmp_path / "index", source, columns=COLUMNS, approximate_from=300)
    meets = [at for at in range(300) if at % 5 == 2 and at % 3 and at % 4 and at / 2 <= 100]
    where = index.where("family = 'f2' and weight <= 1e2 AND \"EC number\" = 'it''s'")
    (hits,) = index.search(vectors[:1], k=300, where=where)
    expected = plain_search(vectors[:1], vectors[meets], [f"p{at:04}" for at in meets], 300)[0]
    assert [hit.id for hit in hits] == [name for name, _ in expected]
    assert len(hits) == len(meets) > 10
    assert hits[0].about == {
        **{"sequence": hits[0].about["sequence"], "length": len(hits[0].about["sequence"])},
        **dict(zip(("family", "EC number", "weight"), cells(int(hits[0].id[1:])), strict=True)),
    }


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("length > 3", 171),
        ("length != 7", 258),
        ("id >= 'p0290'", 10),
        ("weight < 10", 15),  # those without a weight meet nothing
        ("\"EC number\" = ''", 100),
        ("family='f1' AND family!='f1'", 0),
    ],
)
def test_filters_mean_what_they_say(described: Index, text: str, count: int) -> None:
    (hits,) = described.search(np.ones((1, DIMENSION)), k=300, where=described.where(text))
    assert len(hits) == count


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the name of a column should stand at character 1, found the end"),
        ("length > 1; DROP TABLE proteins", "AND and another comparison"),
        ("length > 1 OR 1 = 1", "there is no OR"),
        ("1 = 1", "the name of a column should stand at character 1"),
        ("family = 'a' OR 'a' = 'a'", "there is no OR"),
        ("family = 'a'' OR length > 0", "text in single quotes, should stand at character 10"),
        ("family = 'a' -- ", "AND and another comparison"),
        ("family LIKE '%'", "one of = != < <= > >= should stand at character 8"),
        ("length > (SELECT 1)", "a number"),
        ("length > length", "a number"),
        ("length > 1e999", "too large"),
        ("lower(family) = 'a'", "one of ="),
        ("_rowid = 1", "names a column '_rowid', which the index has not; it has 'family', 'EC number'"),
        ("cell_0 = 'f1'", "names a column 'cell_0'"),
        ("vector = 1", "names a column 'vector'"),
        ("length > '100'", "leave the quotes out"),
        ("family > 3", "put the value into single quotes"),
        ("length > 100AND family = 'a'", "a number"),
    ],
)
def test_anything_but_plain_comparisons_is_refused(described: Index, text: str, reason: str) -> None:
    with pytest.raises(InvalidConfigError) as refused:
        described.where(text)
    assert reason in str(refused.value)


def test_text_in_a_filter_stays_text(described: Index) -> None:
    (condition,) = parse_filter("family = 'f1'' OR ''1'' = ''1'", described.card)
    assert condition.value == "f1' OR '1' = '1"
    (hits,) = described.search(np.ones((1, DIMENSION)), k=300, where=(condition,))
    assert hits == []


def test_a_build_that_died_goes_on_to_the_index_of_an_undisturbed_one(tmp_path: Path) -> None:
    vectors = clustered(400)
    whole = made(tmp_path / "whole", MadeUp(vectors), approximate_from=300)
    with pytest.raises(RuntimeError, match="power"):
        build(tmp_path / "index", MadeUp(vectors, stop_after=333), approximate_from=300)
    with pytest.raises(InvalidInputError, match="not finished"):
        Index.open(tmp_path / "index")
    filled = build(tmp_path / "index", MadeUp(vectors), approximate_from=300)
    assert (filled.known, filled.added, filled.proteins) == (333, 67, 400)
    index = Index.open(tmp_path / "index")
    assert rows_of(index) == rows_of(whole)
    assert len(rows_of(index)) == 400
    assert replace(index.card, approximate=None) == replace(whole.card, approximate=None)
    again = build(tmp_path / "index", MadeUp(vectors), approximate_from=300)
    assert (again.known, again.added) == (400, 0)


def test_an_index_grows_and_its_recall_is_measured_anew(tmp_path: Path) -> None:
    vectors = clustered(500)
    index = made(tmp_path / "index", MadeUp(vectors[:300]), approximate_from=400)
    assert index.card.approximate is None
    for count, new in ((350, 50), (450, 100), (450, 0), (500, 50)):
        filled = add(tmp_path / "index", MadeUp(vectors[:count]))
        assert (filled.proteins, filled.added, filled.known) == (count, new, count - new)
    index = Index.open(tmp_path / "index")
    assert index.card.approximate is not None
    assert (index.card.proteins, index.card.approximate.proteins) == (500, 500)
    assert index.card.approximate.recall > 0.9
    expected = plain_search(vectors[490:], vectors, ids_of(500), 3)
    found = index.search(vectors[490:], k=3)
    assert [[hit.id for hit in hits] for hits in found] == [[name for name, _ in line] for line in expected]


def test_another_protein_of_the_same_id_is_refused(tmp_path: Path) -> None:
    vectors = clustered(20)
    made(tmp_path / "index", MadeUp(vectors))
    vectors[3] = 1
    with pytest.raises(InvalidRecordError, match=r"'p0003': the index has this id with another sequence"):
        add(tmp_path / "index", MadeUp(vectors))
    with pytest.raises(InvalidRecordError, match=r"'p0020': the finished index has it not; use 'esmkit index add'"):
        build(tmp_path / "index", MadeUp(np.concatenate([clustered(20), vectors])))


def test_another_input_or_other_options_do_not_go_on_with_an_index(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with pytest.raises(RuntimeError):
        build(folder, MadeUp(clustered(20), stop_after=10))
    with pytest.raises(InvalidInputError, match="holds 20 proteins and the input has 10 of them"):
        build(folder, MadeUp(clustered(20)[10:], ids=[f"q{at}" for at in range(10)]))
    with pytest.raises(InvalidConfigError, match="other approximate from: 200000, not 5"):
        build(folder, MadeUp(clustered(20)), approximate_from=5)
    with pytest.raises(InvalidConfigError, match=r"other columns: none, not family \(text\)"):
        build(folder, MadeUp(clustered(20)), columns=COLUMNS[:1])


def test_overwriting_replaces_an_index_and_goes_on_when_it_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    made(folder, MadeUp(clustered(20)))
    other = MadeUp(clustered(30, seed=1), [("f", "1", 2.0)] * 30)
    for stop_after, known in ((10, 0), (None, 10), (None, 0)):  # killed, gone on, and once more from the start
        attempt = partial(build, folder, replace(other, stop_after=stop_after), columns=COLUMNS, overwrite=True)
        if stop_after:
            with pytest.raises(RuntimeError):
                attempt()
        else:
            filled = attempt()
            assert (filled.known, filled.added) == (known, 30 - known)
    assert len(Index.open(folder).table) == 30


@pytest.mark.parametrize("count", [1, 3, 30])
def test_even_a_tiny_index_can_be_approximate(tmp_path: Path, count: int) -> None:
    vectors = clustered(count)
    index = made(tmp_path / "index", MadeUp(vectors), approximate_from=1)
    found = index.search(vectors, k=3)
    assert [hits[0].id for hits in found] == ids_of(count)


def test_folders_of_others_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InvalidConfigError, match=r"holds no index \(found 'thesis.txt'\)"):
            build(tmp_path, MadeUp(clustered(5)), overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights_sha256": "1" * 64, "slug": "other"}, "was built with made-up with weights of sha256 000000000000"),
        ({"layers": (1, 3)}, "holds vectors of mean pooling, layer 3, and these are of mean pooling, layers 1, 3"),
        ({"pooling": "max"}, "these are of max pooling"),
    ],
)
def test_vectors_of_another_space_are_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    source = MadeUp(clustered(5))
    made(tmp_path / "index", source)
    other = MadeUp(clustered(5), space=replace(source.space, **changes))
    for attempt in (add, build):
        with pytest.raises(InvalidConfigError, match=reason):
            attempt(tmp_path / "index", other)
    with pytest.raises(InvalidConfigError, match=r"queries should be \[n, 24\], found \[1, 3\]"):
        Index.open(tmp_path / "index").search(np.ones((1, 3)))


def test_names_that_an_index_has_itself_are_refused(tmp_path: Path) -> None:
    for names, reason in ((["length"], "would hide"), (["cosine"], "would hide"), (["a", "a"], "is named twice")):
        with pytest.raises(InvalidConfigError, match=reason):
            build(tmp_path / "index", MadeUp(clustered(5)), columns=[Metadata(name, "text") for name in names])
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1, "space": 3}'])
def test_a_damaged_card_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(EsmkitError, match=r"index\.json cannot be read"):
        IndexCard.read(tmp_path)


def test_a_model_gives_the_vectors_that_it_embeds(tmp_path: Path) -> None:
    model = esmkit.load()
    proteins = [("a", "MKTAYIAKQR"), ("b", "GSHMLEDPVAGK"), ("c", "MKTAYIAKQK"), ("d", "MKTAYIAKQR")]
    fasta = write_fasta(tmp_path / "p.fasta", proteins)
    space = Space.of(model, layers=[0, -1])
    build(tmp_path / "index", Sequences(model, lambda: open_records(fasta), space))
    index = Index.open(tmp_path / "index")
    embedded = model.embed([sequence for _, sequence in proteins], layers=[0, -1])
    joined = np.concatenate(list(embedded.values()), axis=1)
    stored = np.array([row["vector"] for row in rows_of(index)])
    np.testing.assert_allclose(stored, unit(joined), atol=1e-6)
    (hits,) = index.search(joined[:1], k=4)
    assert [hit.id for hit in hits][:2] == ["a", "d"]  # equal sequences tie
    assert json.loads((tmp_path / "index" / "index.json").read_text())["provenance"]["slug"] == "esm2-mini"


def test_identity_is_that_of_the_alignment_by_hand() -> None:
    one = align("MKTAYIAKQR", "MKTAYAKQR")  # MKTAYIAKQR over MKTAY-AKQR
    assert (one.identity, one.aligned, one.coverage) == (0.9, 9, 0.9)
    overhang = align("WWWCCCHHHW", "GGGGWWWCCCHHYW")  # 10 pairs, 9 of them alike, ends free
    assert (overhang.identity, overhang.aligned, overhang.coverage) == (0.9, 10, 1.0)
    assert align("MKT<mask>YIAK", "MKTAYIAK").identity == 7 / 8
    assert align("XXXX", "XXXX").identity == 0.0
