"""The workbench's views with an entry per residue: mutations, masked prediction, likelihood."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from esmkit.alphabet import STANDARD
from tests.server_process import ServedProcess

Open = Callable[..., Page]
BPTI = "RPDFCLEPPYTGPCKARIIRYFYNAKAGLCQTFVYGGCRAKRNNFKSAEDCMRTCGGA"
TOLERANCE = 2e-4
SIZES = pytest.mark.parametrize("phone", [False, True], ids=["desktop-light", "phone-dark"])


def analyse(page: Page, fasta: str) -> None:
    """Pastes proteins and begins."""
    page.get_by_label("Proteins, as FASTA or as one sequence").fill(fasta)
    page.get_by_role("button", name="Analyse").click()


def saved(page: Page, name: str) -> Path:
    """The file that a button of the tab in view offers."""
    with page.expect_download() as download:
        page.get_by_role("tabpanel").get_by_role("button", name=name, exact=True).click()
    return download.value.path()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def asked(served: ServedProcess, action: str, sequence: str, **params: Any) -> dict[str, Any]:
    """What the API answers about one protein."""
    body = {"items": [{"sequence": sequence}]} | ({"params": params} if params else {})
    with served.client() as client:
        answer = client.post(f"/api/v3/esm2-mini/{action}/", json=body)
    found: dict[str, Any] = answer.raise_for_status().json()["results"][0]
    return found


def softmax(logits: list[float]) -> np.ndarray[Any, Any]:
    weights = np.exp(np.array(logits) - max(logits))
    return np.asarray(weights / weights.sum())


def click_on_cell(page: Page, position: int, row: int) -> None:
    """A click into the heat map: rows from the top, in the first group."""
    width = page.locator(".heatmap").evaluate("(box) => box.clientWidth")
    cell = max(16, min(26, (width - 40) // len(BPTI)))
    page.locator(".heatmap-canvas").click(position={"x": 40 + cell * (position - 0.5), "y": 48 + 16 * (row + 0.5)})


@SIZES
def test_scan_fills_from_the_left_and_its_numbers_are_those_of_the_api(
    open_page: Open, served: ServedProcess, check: Callable[[Page], None], phone: bool
) -> None:
    page = open_page("/", phone=phone, dark=phone)
    sent: list[int] = []
    page.on(
        "request",
        lambda request: (
            sent.extend(json.loads(request.post_data or "")["params"]["positions"])
            if "/mutations/" in request.url
            else None
        ),
    )
    analyse(page, f">bpti Pancreatic trypsin inhibitor\n{BPTI}")
    expect(page.get_by_text("All 58 positions, 1,102 substitutions")).to_be_visible()
    assert sent == list(range(1, 59))

    scores = asked(served, "mutations", BPTI)["scores"]
    rows = rows_of(saved(page, "CSV"))
    assert len(rows) == 58 * 19
    for row in rows:
        at = int(row["position"]) - 1
        assert row["mutant"] == f"{BPTI[at]}{at + 1}{row['residue']}"
        wanted = scores[at][STANDARD.index(row["residue"])]
        assert float(row["masked_marginal"]) == pytest.approx(wanted, abs=TOLERANCE)
    check(page)


def test_click_and_keys_choose_substitutions_that_are_explained(open_page: Open, served: ServedProcess) -> None:
    page = open_page("/")
    analyse(page, BPTI)
    expect(page.get_by_text("All 58 positions")).to_be_visible()
    scores = asked(served, "mutations", BPTI)["scores"]
    others = sorted(
        (s for at, row in enumerate(scores) for s in np.delete(row, STANDARD.index(BPTI[at]))), reverse=True
    )

    click_on_cell(page, 2, 0)  # P2G
    details = page.get_by_role("region", name="Chosen substitution")
    expect(details.get_by_role("heading")).to_have_text("P2G")
    score = scores[1][STANDARD.index("G")]
    expect(details).to_contain_text(f"{abs(score):.3f} ln p(new)")
    rank = int(details.get_by_text(" of 1,102").inner_text().split(" of ")[0].replace(",", ""))
    assert rank == pytest.approx(1 + sum(other > score for other in others), abs=1)
    expect(details).to_contain_text("less likely" if score < 0 else "more likely")

    page.locator(".heatmap").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    expect(details.get_by_role("heading")).to_have_text("D3A")
    details.get_by_role("button", name="Copy mutant sequence").click()
    assert page.evaluate("navigator.clipboard.readText()") == "RPA" + BPTI[3:]

    page.get_by_role("button", name="Best", exact=True).click()
    best = page.get_by_role("region", name="Substitutions as a table").get_by_role("row").nth(1)
    expect(best).to_contain_text(f"{others[0]:.3f}")
    page.get_by_role("button", name="Most sensitive").click()
    page.get_by_role("button", name="A–Z").click()
    click_on_cell(page, 1, 0)
    means = [sum(row) / 19 for row in scores]
    lowest = int(np.argmin(means))
    expect(details.get_by_role("heading")).to_have_text(
        f"{BPTI[lowest]}{lowest + 1}" + ("" if BPTI[lowest] == "A" else "A")
    )


def test_pictures_are_png_and_svg_that_stand_alone(open_page: Open) -> None:
    page = open_page("/", dark=True)
    analyse(page, BPTI)
    expect(page.get_by_text("All 58 positions")).to_be_visible()
    assert saved(page, "PNG").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    picture = ElementTree.fromstring(saved(page, "SVG").read_bytes())
    names = [element.tag for element in picture.iter()]
    assert names.count("{http://www.w3.org/2000/svg}rect") >= 58 * 21
    assert names.count("{http://www.w3.org/2000/svg}circle") == 58
    assert "var(" not in ElementTree.tostring(picture, encoding="unicode")


def test_method_is_switched_and_kept_in_the_link(open_page: Open, served: ServedProcess) -> None:
    page = open_page("/")
    analyse(page, BPTI)
    page.get_by_role("button", name="One pass").click()
    expect(page.get_by_text("All 58 positions")).to_be_visible()
    page.get_by_role("button", name="Best substitution").click()
    click_on_cell(page, 1, 0)
    chosen = page.get_by_role("region", name="Chosen substitution").get_by_role("heading").inner_text()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Copied.")).to_be_visible()

    other = open_page(page.evaluate("navigator.clipboard.readText()"))
    expect(other.get_by_text("All 58 positions")).to_be_visible()
    expect(other.get_by_role("button", name="One pass")).to_have_attribute("aria-pressed", "true")
    expect(other.get_by_role("button", name="Best substitution")).to_have_attribute("aria-pressed", "true")
    expect(other.get_by_role("region", name="Chosen substitution").get_by_role("heading")).to_have_text(chosen)
    rows = rows_of(saved(other, "CSV"))
    scores = asked(served, "mutations", BPTI, method="wt_marginal")["scores"]
    assert float(rows[0]["wt_marginal"]) == pytest.approx(scores[0][STANDARD.index(rows[0]["residue"])], abs=TOLERANCE)


def test_scan_stops_and_goes_on(open_page: Open) -> None:
    page = open_page("/")
    analyse(page, BPTI * 8)
    expect(page.get_by_text(" of 464 positions, about")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped after")).to_be_visible()
    done = int(page.get_by_text("Stopped after").inner_text().split()[2])
    assert 0 < done < 464
    page.get_by_role("button", name="Continue").click()
    page.wait_for_function("(done) => document.querySelector('.progress-line progress').value > done", arg=done)
    page.get_by_role("button", name="Stop").click()


def test_scan_that_is_refused_says_why_and_goes_on_later(open_page: Open, errors: list[str]) -> None:
    page = open_page("/")
    answered: list[Route] = []

    def refused_once(route: Route) -> None:
        answered.append(route)
        if len(answered) == 2:
            route.fulfill(status=429, json={"error": "too many requests; wait a minute", "detail": "too many requests"})
        else:
            route.continue_()

    page.route("**/mutations/", refused_once)
    analyse(page, BPTI)
    expect(page.get_by_role("alert").filter(has_text="too many requests; wait a minute")).to_be_visible()
    expect(page.get_by_text("Interrupted after 4 of 58 positions")).to_be_visible()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("All 58 positions")).to_be_visible()
    assert [error for error in errors if "429" not in error] == []
    errors.clear()


def test_wrong_letter_is_marked_at_its_place(open_page: Open, check: Callable[[Page], None]) -> None:
    page = open_page("/")
    page.get_by_label("Proteins, as FASTA or as one sequence").fill(">mine\nMKTAY\nIA1QR")
    expect(page.locator(".mirror mark")).to_have_text("1")
    expect(page.get_by_role("button", name="Analyse")).to_be_disabled()
    page.get_by_role("button", name="mine: line 3, column 3: “1” is no amino acid").click()
    assert page.evaluate("getSelection().toString()") == "1"
    check(page)
    page.get_by_label("Proteins, as FASTA or as one sequence").fill(">mine\nMKTAYIAKQR")
    expect(page.get_by_role("button", name="Analyse")).to_be_enabled()


@SIZES
def test_masked_residues_are_predicted_and_a_link_brings_them_back(
    open_page: Open, served: ServedProcess, check: Callable[[Page], None], phone: bool
) -> None:
    page = open_page("/", phone=phone, dark=phone)
    analyse(page, BPTI)
    page.get_by_role("tab", name="Masked prediction").click()
    page.get_by_role("option", name="C5", exact=True).click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")  # L6
    page.get_by_label("Positions to mask").fill("10-11")
    page.get_by_role("button", name="Mask", exact=True).click()
    expect(page.get_by_text("4 of 58 masked: 5-6, 10-11.")).to_be_visible()
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("img", name="Logo of 4 masked positions")).to_be_visible()

    places = [4, 5, 9, 10]
    masked = "".join("<mask>" if at in places else residue for at, residue in enumerate(BPTI))
    logits = asked(served, "predict", masked)["logits"]
    rows = rows_of(saved(page, "CSV"))
    assert [int(row["position"]) for row in rows] == [5, 6, 10, 11]
    for row, at in zip(rows, places, strict=True):
        wanted = softmax(logits[at])
        assert [float(row[f"p_{letter}"]) for letter in STANDARD] == pytest.approx(wanted.tolist(), abs=TOLERANCE)
        assert row["predicted"] == STANDARD[int(wanted.argmax())]
        assert row["recovered"] == str(row["predicted"] == BPTI[at]).lower()
    recovered = sum(row["recovered"] == "true" for row in rows)
    expect(page.get_by_text(f"the original at {recovered} of 4 masked positions")).to_be_visible()
    about = json.loads(saved(page, "JSON").read_text())
    assert about["sequence"] == masked
    letters = ElementTree.fromstring(saved(page, "SVG").read_bytes()).iter("{http://www.w3.org/2000/svg}path")
    assert len(list(letters)) > 10
    check(page)

    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    other = open_page(page.evaluate("navigator.clipboard.readText()"), phone=phone)
    expect(other.get_by_role("img", name="Logo of 4 masked positions")).to_be_visible()
    expect(other.get_by_role("option", name="C5", exact=True)).to_have_attribute("aria-selected", "true")


def test_range_that_does_not_exist_is_explained(open_page: Open) -> None:
    page = open_page("/")
    analyse(page, BPTI)
    page.get_by_role("tab", name="Masked prediction").click()
    page.get_by_label("Positions to mask").fill("57-60")
    page.get_by_role("button", name="Mask", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("“57-60” is outside: positions run from 1 to 58")


def test_residue_is_handed_from_mutations_to_masked_prediction(open_page: Open) -> None:
    page = open_page("/")
    analyse(page, BPTI)
    expect(page.get_by_text("All 58 positions")).to_be_visible()
    click_on_cell(page, 3, 0)
    page.get_by_role("button", name="Mask this residue").click()
    expect(page.get_by_role("option", name="D3", exact=True)).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("img", name="Logo of 1 masked")).to_be_visible()


def test_unknown_residues_are_named_and_can_be_predicted(open_page: Open) -> None:
    page = open_page("/")
    analyse(page, "MKTXAYIAKQRU")
    expect(page.get_by_text("none of the 20 amino acids: X4, U12")).to_be_visible()
    page.get_by_role("tab", name="Masked prediction").click()
    page.get_by_role("option", name="X4").click()
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("cell", name="not defined")).to_be_visible()


@SIZES
def test_likelihood_sums_to_that_of_the_api(
    open_page: Open, served: ServedProcess, check: Callable[[Page], None], phone: bool
) -> None:
    page = open_page("/", phone=phone, dark=phone)
    analyse(page, BPTI)
    page.get_by_role("tab", name="Likelihood").click()
    expect(page.get_by_role("heading", name="The 10 least likely residues")).to_be_visible()
    total = asked(served, "log_prob", BPTI)["log_prob"]
    expect(page.get_by_text(f"−{abs(total):.2f} over 58 residues")).to_be_visible()
    rows = rows_of(saved(page, "CSV"))
    assert sum(float(row["log_prob"]) for row in rows) == pytest.approx(total, abs=1e-2)
    lowest = min(rows, key=lambda row: float(row["log_prob"]))
    page.get_by_role("button", name=f"{lowest['residue']}{lowest['position']}", exact=True).first.click()
    expect(page.locator(".readout")).to_contain_text(f"{lowest['residue']}{lowest['position']}: ln p")
    page.get_by_role("button", name="Entropy").click()
    expect(page.get_by_role("img", name="Entropy of every residue")).to_be_visible()
    check(page)
