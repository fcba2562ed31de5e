"""The map: what is dropped becomes points where the API puts them; coloured, circled, found, and taken out again."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page

from tests.server_process import ServedProcess

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "cath_domains.csv"
MAP = "/api/v3/esm2-mini/map/"
Opens = Callable[..., Page]


def domains(count: int | None = None) -> list[dict[str, str]]:
    """All, or so many of all classes."""
    with EXAMPLE.open() as file:
        found = list(csv.DictReader(file))
    return found if count is None else found[:: len(found) // count][:count]


def fasta(rows: list[dict[str, str]]) -> str:
    return "".join(f">{row['id']} a domain OS={row['class']} OX=1\n{row['sequence']}\n" for row in rows)


def drop(page: Page, name: str, text: str) -> None:
    made = page.evaluate_handle(
        "([name, text]) => { const all = new DataTransfer(); all.items.add(new File([text], name)); return all; }",
        [name, text],
    )
    page.dispatch_event("#source .entry", "drop", {"dataTransfer": made})


def draw(page: Page) -> Locator:
    page.get_by_role("button", name="Draw the map").click()
    canvas = page.locator("canvas.scatter")
    canvas.wait_for()
    return canvas


def saved(page: Page, button: str) -> str:
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).click()
    return download.value.path().read_text("utf-8")


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def asked(served: ServedProcess, sequences: list[str], action: str = "map", **params: Any) -> Any:
    body = {"items": [{"sequence": each} for each in sequences], "params": params}
    with served.client() as client:
        answer: httpx.Response = client.post(f"/api/v3/esm2-mini/{action}/", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][0]


def circle(page: Page, canvas: Locator, right: float) -> None:
    """Draws a lasso around the left part of the map."""
    page.get_by_role("button", name="Lasso").click()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    corners = [(0.01, 0.01), (right, 0.01), (right, 0.99), (0.01, 0.99)]
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_a_dropped_fasta_file_is_mapped_circled_and_taken_out(
    open_page: Opens, check: Callable[[Page], None], served: ServedProcess, phone: bool
) -> None:
    page = open_page("/map", phone=phone)
    known = domains(60)
    drop(page, "set.fasta", fasta(known))
    page.get_by_text("60 proteins").first.wait_for()
    canvas = draw(page)
    points = rows_of(saved(page, "CSV"))
    wanted = asked(served, [row["sequence"] for row in known], nearest=1)
    assert [point["id"] for point in points] == [row["id"] for row in known]
    for point, place, near in zip(points, wanted["coordinates"], wanted["nearest"], strict=True):
        assert [float(point["pc1"]), float(point["pc2"])] == pytest.approx(place, abs=1e-4)
        assert float(point["cosine"]) == pytest.approx(near[0]["cosine"], abs=1e-4)
    assert page.get_by_label("Colour").input_value() == "organism"
    assert {point["organism"] for point in points} == {row["class"] for row in known}

    circle(page, canvas, right=0.5)
    page.get_by_role("heading", name="selected of 60").wait_for()
    xs = [float(point["pc1"]) for point in points]
    middle = (min(xs) + max(xs)) / 2  # of the window too
    inside = [point["id"] for point, x in zip(points, xs, strict=True) if x < middle]
    assert page.get_by_role("heading", name="selected of 60").inner_text() == f"{len(inside)} selected of 60"
    written = saved(page, "Selected as FASTA")
    assert [line[1:] for line in written.splitlines() if line.startswith(">")] == inside
    assert [row["id"] for row in rows_of(saved(page, "Selected as CSV"))] == inside
    check(page)


def test_the_example_is_coloured_filtered_and_drawn(
    open_page: Opens, check: Callable[[Page], None], served: ServedProcess
) -> None:
    page = open_page("/map", dark=True)
    page.get_by_role("button", name="Example: 283 domains of CATH").click()
    page.locator("canvas.scatter").wait_for()
    assert page.get_by_label("Colour").input_value() == "class"
    wanted = asked(served, [row["sequence"] for row in domains()])
    points = rows_of(saved(page, "CSV"))
    found = [(float(point["pc1"]), float(point["pc2"])) for point in points]
    assert found == [pytest.approx(place, abs=1e-4) for place in wanted["coordinates"]]
    assert saved(page, "SVG").count("<title>") == 283

    legend = page.get_by_role("complementary", name="Legend")
    legend.get_by_role("checkbox", name="mainly alpha 93").uncheck()
    assert saved(page, "SVG").count("<title>") == 283 - 93
    page.get_by_label("Colour").select_option("superfamily")
    assert legend.get_by_role("checkbox").count() == 30
    page.get_by_label("Colour").select_option("length")
    page.get_by_text("From the 1st to the 99th percentile.").wait_for()
    check(page)


def test_everything_can_be_done_with_keys(open_page: Opens) -> None:
    page = open_page("/map")
    page.get_by_role("button", name="Example: 283 domains of CATH").press("Enter")
    canvas = page.locator("canvas.scatter")
    canvas.wait_for()
    page.get_by_role("searchbox").fill("2.60.40.10")
    page.get_by_role("button", name="Select 10").wait_for()
    page.get_by_role("searchbox").press("Enter")
    page.get_by_role("heading", name="10 selected of 283").wait_for()
    page.get_by_role("button", name="Select mainly beta").press("Enter")
    page.get_by_role("heading", name="94 selected of 283").wait_for()
    before = canvas.screenshot()
    canvas.press("+")
    canvas.press("ArrowLeft")
    page.wait_for_timeout(200)
    assert canvas.screenshot() != before
    canvas.press("Escape")
    page.get_by_role("heading", name="All 283 proteins").wait_for()


def test_the_nearest_of_a_protein_are_those_of_the_api(open_page: Opens, served: ServedProcess) -> None:
    page = open_page("/map")
    page.get_by_role("button", name="Example: 283 domains of CATH").click()
    known = domains()
    wanted = asked(served, [row["sequence"] for row in known], nearest=10)["nearest"][4]
    page.get_by_role("region", name="All 283 proteins").get_by_role("button", name=known[4]["id"]).first.click()
    rows = page.get_by_role("region", name=f"Nearest to {known[4]['id']}").locator("tbody tr")
    cells = [row.locator("td").all_inner_texts() for row in rows.all()]
    assert [(name, float(cosine)) for name, cosine, _ in cells] == [
        (known[near["item"]]["id"], pytest.approx(near["cosine"], abs=2e-4)) for near in wanted
    ]


def test_clusters_are_another_colour(open_page: Opens, served: ServedProcess) -> None:
    page = open_page("/map")
    page.get_by_role("button", name="Example: 283 domains of CATH").click()
    page.get_by_label("Method of clustering").select_option("leiden")
    page.get_by_role("button", name="Find clusters").click()
    page.locator("#colour option[value=cluster]").wait_for(state="attached")
    assert page.get_by_label("Colour").input_value() == "cluster"
    wanted = asked(served, [row["sequence"] for row in domains()], "cluster", method="leiden")["clusters"]
    assert [point["cluster"] for point in rows_of(saved(page, "CSV"))] == wanted


@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
def test_a_umap_is_drawn_where_it_is_installed(open_page: Opens, served: ServedProcess) -> None:
    pytest.importorskip("umap")
    page = open_page("/map")
    known = domains(40)
    drop(page, "set.fasta", fasta(known))
    page.get_by_label("Layout").select_option("umap")
    draw(page)
    points = rows_of(saved(page, "CSV"))
    wanted = asked(served, [row["sequence"] for row in known], method="umap")["coordinates"]
    assert [float(point["umap1"]) for point in points] == pytest.approx([x for x, _ in wanted], abs=0.05)


def test_rows_that_cannot_be_read_are_named_and_left_out_if_asked(open_page: Opens, check: Callable[..., None]) -> None:
    page = open_page("/map")
    lines = ["label;chain;kd", *(f"{row['id']};{row['sequence']};{at}" for at, row in enumerate(domains(20)))]
    name, sequence, number = lines[3].split(";")
    lines[3] = f"{name};1{sequence[1:]};{number}"
    drop(page, "measured.csv", "\n".join(lines))
    page.get_by_text("“1” at residue 1").wait_for()
    assert page.get_by_label("Column of sequences").input_value() == "chain"
    assert page.get_by_label("Column of names").input_value() == "label"
    assert page.get_by_role("button", name="Draw the map").is_disabled()
    page.get_by_label("Leave out this one, use the others").check()
    draw(page)
    points = rows_of(saved(page, "CSV"))
    assert len(points) == 19
    assert page.get_by_label("Colour").input_value() == "kd"
    check(page)


def test_work_is_seen_and_stopped(open_page: Opens) -> None:
    page = open_page("/map")
    page.route(f"**{MAP}", lambda route: None)  # never answered
    page.get_by_role("button", name="Example: 283 domains of CATH").click()
    page.get_by_text("Embedding 283 proteins with ESM-2 mini").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped; nothing was kept.").wait_for()
    assert page.get_by_role("button", name="Draw the map").is_enabled()


def test_a_link_holds_the_proteins_and_the_colour(open_page: Opens) -> None:
    page = open_page("/map")
    drop(page, "set.fasta", fasta(domains(30)))
    draw(page)
    page.get_by_label("Colour").select_option("length")
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("Copied.").wait_for()
    again = open_page(page.evaluate("navigator.clipboard.readText()"))
    again.get_by_role("heading", name="All 30 proteins").wait_for()
    assert again.get_by_label("Colour").input_value() == "length"


def test_code_says_the_same(open_page: Opens) -> None:
    page = open_page("/map")
    page.get_by_role("button", name="Example: 283 domains of CATH").click()
    page.get_by_role("button", name="As code").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="CLI").click()
    assert dialog.locator("code").inner_text() == (
        "esmkit map cath_domains.csv --model esm2-mini --id-column id --sequence-column sequence --color-by class "
        "--out map.csv --plot map.png"
    )


def test_the_example_of_the_page_is_that_of_the_repository() -> None:
    served = ROOT / "src" / "esmkit" / "web" / "static" / "examples" / "cath_domains.csv"
    assert served.read_bytes() == EXAMPLE.read_bytes()
