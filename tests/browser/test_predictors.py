"""The page Predictors: what is shown and saved are the numbers of the API."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from esmkit.inputs import open_records
from tests.browser.fitted_predictor import SOLUBILITY, served_with_predictor
from tests.server_process import ServedProcess

ROOT = Path(__file__).parents[2]
Open = Callable[..., Page]
Check = Callable[[Page], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    with served_with_predictor(tmp_path_factory.mktemp("predictors")) as served:
        yield served


def saved(page: Page, button: str, panel: str) -> str:
    """What a button of a panel gives as a file."""
    with page.expect_download() as waiting:
        page.locator(panel).get_by_role("button", name=button, exact=True).click()
    return Path(waiting.value.path()).read_text()


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def example(number: int) -> str:
    """Sequences of the examples of the repository, by id."""
    return [each.sequence for each in open_records(str(ROOT / "examples/proteins.fasta"))][number]


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_predictions_are_those_of_the_api(open_page: Open, check: Check, server: ServedProcess, phone: bool) -> None:
    page = open_page("/predictors", url=server.url, phone=phone)
    expect(page.locator(".card")).to_contain_text("160 proteins, tested on 40")
    expect(page.locator(".card")).to_contain_text("baseline: composition")
    sequences = [example(0), example(2)]
    page.get_by_label("Proteins, as FASTA").fill("".join(f">p{at}\n{each}\n" for at, each in enumerate(sequences)))
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator(".predictions tbody tr")).to_have_count(2)
    with server.client() as api:
        body = {"items": [{"sequence": each} for each in sequences], "params": {"predictor": "solubility"}}
        wanted = [each["prediction"] for each in api.post("/api/v3/esm2-mini/property/", json=body).json()["results"]]
    shown = page.locator(".predictions tbody td:last-child").all_inner_texts()
    assert [float(each) for each in shown] == pytest.approx(wanted, abs=1e-4)
    kept = rows(saved(page, "CSV", "#panel-ask"))
    assert [(each["id"], each["sequence"]) for each in kept] == [("p0", sequences[0]), ("p1", sequences[1])]
    assert [float(each["prediction"]) for each in kept] == wanted
    check(page)


def test_code_of_a_prediction_names_this_server(open_page: Open, check: Check, server: ServedProcess) -> None:
    page = open_page("/predictors", url=server.url)
    page.get_by_role("button", name="Predict", exact=True).click()
    page.get_by_role("button", name="As code").click()
    expect(page.locator("dialog pre")).to_contain_text(f"curl {server.url}/api/v3/esm2-mini/property/")
    check(page)


def test_a_link_brings_the_proteins_back(open_page: Open, server: ServedProcess) -> None:
    page = open_page("/predictors", url=server.url)
    page.get_by_label("Proteins, as FASTA").fill(">mine\nMKTAYIAKQRQISFVKSHFSRQ")
    page.wait_for_url("**#s=*")
    page.get_by_role("button", name="Copy link").click()
    link = page.evaluate("navigator.clipboard.readText()")
    again = open_page(link, url=server.url)
    expect(again.get_by_label("Proteins, as FASTA")).to_have_value(">mine\nMKTAYIAKQRQISFVKSHFSRQ")


def test_a_server_without_predictors_says_how_to_make_one(open_page: Open, check: Check) -> None:
    page = open_page("/predictors")
    expect(page.get_by_text("No predictor is on this server yet")).to_be_visible()
    expect(page.locator(".commands")).to_contain_text("esmkit serve --predictor solubility")
    check(page)


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_a_fit_is_that_of_the_api(open_page: Open, check: Check, served: ServedProcess, phone: bool) -> None:
    page = open_page("/predictors", phone=phone)
    page.get_by_role("tab", name="Fit your own").click()
    panel = page.locator("#panel-fit")
    panel.get_by_label("Examples").select_option(label="The same, 20 of them not measured")
    expect(panel.get_by_text("180 rows with a measurement, numbers; 20 to predict.")).to_be_visible()
    panel.get_by_role("button", name="Fit and test").click()
    expect(panel.get_by_role("heading", name="Predicted for 20 rows")).to_be_visible()
    asked = json.loads(saved(page, "Request (JSON)", "#panel-fit"))
    with served.client() as api:
        (wanted,) = api.post("/api/v3/esm2-mini/fit/", json=asked).json()["results"]
    row = panel.locator(".scores tr", has_text="Spearman").locator("td")
    low, high = wanted["intervals"]["spearman"]
    assert row.first.inner_text().split() == [f"{wanted['scores']['spearman']:.3f}", f"{low:.3f}", "to", f"{high:.3f}"]
    assert row.last.inner_text() == f"{wanted['cross_validation']['spearman']:.3f}"
    assert panel.locator(".agreement circle").count() == wanted["test"] == 36
    kept = rows(saved(page, "CSV", "#panel-fit"))
    assert [float(each["predicted_solubility"]) for each in kept] == [
        each["prediction"] for each in wanted["tested"] + wanted["predictions"]
    ]
    measured = {each["gene"]: each["solubility"] for each in rows(SOLUBILITY.read_text())}
    for each in kept[:36]:
        assert float(each["measured_solubility"]) == float(measured[each["id"]])
    check(page)


def test_names_of_classes_get_a_table_of_confusions(open_page: Open, check: Check) -> None:
    page = open_page("/predictors")
    page.get_by_role("tab", name="Fit your own").click()
    panel = page.locator("#panel-fit")
    table = rows(SOLUBILITY.read_text())[:60]
    lines = [
        f"{each['gene']},{each['sequence']},{'low' if float(each['solubility']) < 0.6 else 'high'}" for each in table
    ]
    panel.get_by_label("Table of proteins").fill("\n".join(["gene,sequence,class", *lines]))
    expect(panel.get_by_text("60 rows with a measurement, 2 classes (high, low)")).to_be_visible()
    panel.get_by_role("button", name="Fit and test").click()
    cells = panel.locator(".confusion td")
    expect(cells).to_have_count(4)
    held = int(re.search(r"(\d+) held out", panel.locator(".scores thead").inner_text())[1])  # type: ignore[index]
    assert sum(map(int, cells.all_inner_texts())) == held
    check(page)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("sequence,label\nMKTAYIAKQRQISFVK,1\n", "1 rows have a label, 20 or more are needed"),
        ("sequence,label\nMKT1YIAKQRQISFVK,1\n", "is no protein sequence"),
        ("sequence,label\n" + "".join(f"MKTAYIAKQRQISFVK,class{at}\n" for at in range(30)), "30 classes, at most 5"),
        ("sequence,label\nMKTAYIAKQRQISFVK,1,2\n", "row 1 has 3 cells, the first line 2"),
    ],
)
def test_bounds_are_said_before_the_work(open_page: Open, table: str, said: str) -> None:
    page = open_page("/predictors")
    page.get_by_role("tab", name="Fit your own").click()
    page.locator("#panel-fit").get_by_label("Table of proteins").fill(table)
    expect(page.locator("#panel-fit .error", has_text=said)).to_be_visible()
    expect(page.get_by_role("button", name="Fit and test")).to_be_disabled()


def test_what_the_server_refuses_names_the_row(open_page: Open, errors: Any) -> None:
    page = open_page("/predictors")
    page.get_by_role("tab", name="Fit your own").click()
    panel = page.locator("#panel-fit")
    lines = [f"p{at},{'MKTAYIAKQRQISFVK' + 'J' * (at == 7)},{at}" for at in range(24)]
    panel.get_by_label("Table of proteins").fill("\n".join(["id,sequence,label", *lines]))
    panel.get_by_role("button", name="Fit and test").click()
    expect(panel.get_by_role("alert").filter(has_text="p7: position 17: 'J'")).to_be_visible()
    assert [each for each in errors if "400" in each] == errors
    errors.clear()  # the browser reports every refusal


@pytest.mark.parametrize("name", ["solubility.csv", "gb1_round1.csv"])
def test_examples_are_those_of_the_repository(name: str) -> None:
    copied = ROOT / "src/esmkit/web/static/examples" / name
    assert copied.read_bytes() == (ROOT / "examples" / name).read_bytes()
