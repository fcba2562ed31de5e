"""Search: what the page shows is what the index has, and how sure labels are; and what to do without an index."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from esmkit.applications.search import Annotator, Index, Metadata, Sequences, Space, build
from esmkit.engine import load
from esmkit.inputs import open_records
from tests.browser.conftest import Errors
from tests.server_process import ServedProcess

DOMAINS = Path(__file__).parents[2] / "examples" / "cath" / "domains.csv"
Opens = Callable[..., Page]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server with an index of 235 domains, whose superfamilies can be taken over."""
    model = load()
    folder = tmp_path_factory.mktemp("indexes") / "domains"
    source = Sequences(
        model, lambda: open_records(DOMAINS, other_columns={"superfamily": "superfamily"}), Space.of(model)
    )
    build(folder, source, columns=[Metadata("superfamily", "text")])
    Annotator.of(Index.open(folder), "superfamily")  # measures
    with ServedProcess(tmp_path_factory.mktemp("searched"), "--index", str(folder)) as server:
        yield server


def asked(searched: ServedProcess, action: str, proteins: list[str], **params: Any) -> Any:
    body = {"items": [{"sequence": each} for each in proteins], "params": {"index": "domains", **params}}
    with searched.client() as client:
        answer = client.post(f"/api/v3/esm2-mini/{action}/", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def given(page: Page) -> dict[str, str]:
    """The proteins in the editor, by name."""
    text = page.get_by_label("Proteins to search with").input_value()
    blocks = [block.split("\n", 1) for block in text.removeprefix(">").split("\n>")]
    return {head.split()[0]: sequence.replace("\n", "") for head, sequence in blocks}


def table(page: Page, name: str) -> list[list[str]]:
    rows = page.get_by_role("region", name=name).locator("tbody tr")
    rows.first.wait_for()
    return [row.locator("td").all_inner_texts() for row in rows.all()]


def saved(page: Page, button: str) -> str:
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).click()
    return download.value.path().read_text("utf-8")


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_the_example_finds_what_the_api_finds(
    open_page: Opens, check: Callable[[Page], None], searched: ServedProcess, phone: bool
) -> None:
    page = open_page("/search", url=searched.url, phone=phone)
    proteins = given(page)
    page.get_by_label("Hits per protein").fill("5")
    page.get_by_label("Align hits").check()
    page.get_by_role("button", name="Search", exact=True).click()
    found = asked(searched, "search", list(proteins.values()), k=5, identity=True, sequences=True)
    labels = asked(searched, "annotate", list(proteins.values()), label_column="superfamily")
    overview = table(page, "All proteins")
    assert [row[0] for row in overview] == list(proteins)
    assert [row[2] for row in overview] == [each["hits"][0]["id"] for each in found]

    second = list(proteins)[1]
    page.get_by_role("button", name=second).click()
    hits = table(page, f"Hits for {second}")
    assert [row[0] for row in hits] == [hit["id"] for hit in found[1]["hits"]]
    assert [float(row[1]) for row in hits] == [pytest.approx(hit["cosine"], abs=1e-4) for hit in found[1]["hits"]]
    assert [row[2] for row in hits] == [f"{100 * hit['identity']:.0f} %" for hit in found[1]["hits"]]
    assert page.get_by_text(f"Reliability {labels[1]['reliability']:.2f}").count() == 1

    rows = list(csv.DictReader(io.StringIO(saved(page, "CSV"))))
    wanted = [(name, hit["id"]) for name, each in zip(proteins, found, strict=True) for hit in each["hits"]]
    assert [(row["query"], row["hit"]) for row in rows] == wanted
    sequences = {hit["id"]: hit["sequence"] for each in found for hit in each["hits"]}
    blocks = [block.split("\n") for block in saved(page, "FASTA of hits").removeprefix(">").rstrip().split("\n>")]
    assert {head.split()[0]: sequence for head, sequence in blocks} == sequences
    check(page)


def test_hits_are_filtered_and_sorted(open_page: Opens, searched: ServedProcess) -> None:
    page = open_page("/search", url=searched.url, dark=True)
    page.get_by_label("Only proteins with").fill("length < 80")
    page.get_by_role("button", name="Search", exact=True).click()
    first = next(iter(given(page)))
    lengths = [int(row[2]) for row in table(page, f"Hits for {first}")]
    assert len(lengths) == 10
    assert max(lengths) < 80
    heading = page.get_by_role("region", name=f"Hits for {first}").get_by_role("button", name="length")
    heading.click()
    assert [int(row[2]) for row in table(page, f"Hits for {first}")] == sorted(lengths, reverse=True)
    heading.click()
    assert [int(row[2]) for row in table(page, f"Hits for {first}")] == sorted(lengths)


def test_a_wrong_filter_is_said_in_place(open_page: Opens, searched: ServedProcess, errors: Errors) -> None:
    page = open_page("/search", url=searched.url)
    page.get_by_label("Only proteins with").fill("colour = 'red'")
    page.get_by_role("button", name="Search", exact=True).click()
    said = page.get_by_role("alert").inner_text()
    assert said.startswith("where names a column 'colour', which the index has not")
    assert errors.pop().startswith("Failed to load resource: the server responded with a status of 400")


def test_more_proteins_than_a_request_may_hold_are_searched(open_page: Opens, searched: ServedProcess) -> None:
    page = open_page("/search", url=searched.url)
    names = [f"p{at}" for at in range(19)]
    text = "".join(f">{name}\n{'MKTAYIAKQRQISFVKSHFSRQ'[at:]}\n" for at, name in enumerate(names))
    page.get_by_label("Proteins to search with").fill(text)
    page.get_by_text("19 proteins").wait_for()
    page.get_by_role("button", name="Search", exact=True).click()
    assert [row[0] for row in table(page, "All proteins")] == names


def test_a_link_searches_again(open_page: Opens, searched: ServedProcess) -> None:
    page = open_page("/search", url=searched.url)
    page.get_by_label("Hits per protein").fill("3")
    page.get_by_role("button", name="Search", exact=True).click()
    second = list(given(page))[1]
    page.get_by_role("button", name=second).click()
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("Copied.").wait_for()
    again = open_page(page.evaluate("navigator.clipboard.readText()"), url=searched.url)
    assert len(table(again, f"Hits for {second}")) == 3


def test_without_an_index_the_page_says_how_to_make_one(open_page: Opens, check: Callable[[Page], None]) -> None:
    page = open_page("/search")
    page.get_by_role("heading", name="This server has no index to search in yet").wait_for()
    assert "esmkit serve --index known" in page.locator("pre").inner_text()
    check(page)
