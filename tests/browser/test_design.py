"""The page Design: what is shown and saved are the numbers of the API."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.fitted_predictor import served_with_predictor
from tests.server_process import ServedProcess

ROUND = Path(__file__).parents[2] / "examples" / "gb1_round1.csv"
GB1 = "MQYKLILNGKTLKGETTTEAVDAATAEKVFKQYANDNGVDGEWTYDDATKTFTVTE"
PEPTIDE = "MKTAYIAKQRQISFVKSHFSRQ"
Open = Callable[..., Page]
Check = Callable[[Page], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    with served_with_predictor(tmp_path_factory.mktemp("design")) as served:
        yield served


def saved(panel: Locator, button: str) -> str:
    """What a button of a panel gives as a file."""
    with panel.page.expect_download() as waiting:
        panel.get_by_role("button", name=button, exact=True).click()
    return Path(waiting.value.path()).read_text()


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def asked(server: ServedProcess, action: str, item: dict[str, Any], params: dict[str, Any]) -> Any:
    """What the API answers to one item."""
    with server.client() as api:
        answer = api.post(f"/api/v3/esm2-mini/{action}/", json={"items": [item], "params": params})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][0]


def proposing(page: Page, parent: str = PEPTIDE) -> Locator:
    """The panel that proposes, with a parent."""
    panel = page.locator("#panel-propose")
    panel.get_by_label("The parent").fill(f">mine\n{parent}")
    expect(panel.locator(".residues button")).to_have_count(len(parent))
    return panel


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_proposals_are_those_of_the_api(open_page: Open, check: Check, served: ServedProcess, phone: bool) -> None:
    page = open_page("/design", phone=phone)
    panel = proposing(page)
    panel.get_by_label("Positions that may change").fill("4-5, 8")
    panel.get_by_role("spinbutton", name="Proposals").fill("7")
    panel.get_by_label("Distance apart").fill("2")
    expect(panel.get_by_text("3 of 22 positions may change: 7,999 variants")).to_be_visible()
    panel.get_by_role("button", name="Propose variants").click()
    expect(panel.locator(".variants tbody tr")).to_have_count(7)
    item = {"sequence": PEPTIDE, "positions": [4, 5, 8]}
    wanted = asked(served, "design", item, {"proposals": 7, "min_distance": 2})["proposals"]
    assert panel.locator(".variants th[scope=row]").all_inner_texts() == [each["mutant"] for each in wanted]
    shown = panel.locator(".variants tbody td:nth-child(3)").all_inner_texts()
    assert [float(each) for each in shown] == pytest.approx([each["objective"] for each in wanted], abs=1e-3)
    first = panel.locator(".variants tbody tr").first.locator(".sequence")
    assert first.inner_text() == wanted[0]["sequence"]
    assert first.locator("mark").count() == len(wanted[0]["effects"])
    kept = rows(saved(panel, "CSV"))
    assert [float(each["objective"]) for each in kept] == [each["objective"] for each in wanted]
    assert [each["sequence"] for each in kept] == [each["sequence"] for each in wanted]
    check(page)


def test_residues_are_chosen_with_the_keyboard(open_page: Open) -> None:
    page = open_page("/design")
    panel = proposing(page)
    panel.get_by_role("button", name="None", exact=True).click()
    expect(panel.get_by_role("button", name="Propose variants")).to_be_disabled()
    panel.get_by_role("button", name="M1", exact=True).focus()
    for key in ("ArrowRight", "ArrowRight", "Space", "End", "Space", "Home", "ArrowDown", "Space"):
        page.keyboard.press(key)
    below = panel.locator(".residues button:focus").inner_text()
    numbers = panel.get_by_label("Positions that may change").input_value().split(", ")
    assert {"3", "22"} < set(numbers)
    assert len(numbers) == 3
    assert PEPTIDE[int(next(each for each in numbers if each not in {"3", "22"})) - 1] == below[0]
    expect(panel.get_by_role("button", name="T3", exact=True)).to_have_attribute("aria-pressed", "true")


def test_amino_acids_of_one_position_hold_there_only(open_page: Open, served: ServedProcess) -> None:
    page = open_page("/design")
    panel = proposing(page)
    panel.get_by_label("Positions that may change").fill("4, 8")
    panel.get_by_label("Mutations, at least").fill("2")
    panel.get_by_role("button", name="K8", exact=True).focus()
    panel.get_by_role("button", name="At K8").click()
    panel.get_by_role("button", name="Charged").click()
    expect(panel.get_by_text("K8: DEKR")).to_be_visible()
    expect(panel.get_by_text("57 variants keep to this")).to_be_visible()
    panel.get_by_role("button", name="Propose variants").click()
    item = {
        "sequence": PEPTIDE,
        "positions": [4, 8],
        "fewest": 2,
        "allowed_at": [{"position": 8, "residues": "DEKR"}],
    }
    wanted = [each["mutant"] for each in asked(served, "design", item, {})["proposals"]]
    expect(panel.locator(".variants th[scope=row]")).to_have_text(wanted)


def test_a_predictor_is_the_objective(open_page: Open, check: Check, server: ServedProcess) -> None:
    page = open_page("/design", url=server.url)
    panel = proposing(page)
    panel.get_by_label("Positions that may change").fill("4-9")
    panel.get_by_label("Predictor", exact=True).select_option("solubility")
    panel.get_by_label("Weight of the likelihood").fill("0.01")
    panel.get_by_label("at most", exact=True).fill("2")
    panel.get_by_role("button", name="Propose variants").click()
    expect(panel.locator(".variants tbody tr")).to_have_count(10)
    item = {"sequence": PEPTIDE, "positions": list(range(4, 10)), "most": 2}
    params = {"predictor": "solubility", "model_weight": 0.01}
    wanted = asked(server, "design", item, params)["proposals"]
    kept = rows(saved(panel, "CSV"))
    assert [each["mutant"] for each in kept] == [each["mutant"] for each in wanted]
    for name in ("masked_marginal", "prediction"):
        assert [float(each[name]) for each in kept] == pytest.approx([each["terms"][name] for each in wanted], abs=1e-6)
    check(page)


def test_errors_stand_at_their_field(open_page: Open, errors: list[str]) -> None:
    page = open_page("/design")
    panel = proposing(page)
    panel.get_by_label("Positions that may change").fill("4, 99")
    page.keyboard.press("Tab")
    expect(panel.get_by_text("position 99 does not exist: they run from 1 to 22")).to_be_visible()
    panel.get_by_label("Positions that may change").fill("4, 5")
    panel.get_by_label("Mutations, at least").fill("5")
    panel.get_by_role("button", name="Propose variants").click()
    field = panel.get_by_label("Mutations, at least")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(panel.get_by_text("see the marked field")).to_be_visible()
    assert errors
    assert all("400" in each for each in errors)
    errors.clear()  # the browser reports every refusal


def test_a_link_brings_the_design_back(open_page: Open) -> None:
    page = open_page("/design")
    panel = proposing(page)
    panel.get_by_label("Positions that may change").fill("4, 8")
    panel.get_by_role("spinbutton", name="Proposals").fill("3")
    page.keyboard.press("Tab")
    panel.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    again = open_page(page.evaluate("navigator.clipboard.readText()"))
    panel = again.locator("#panel-propose")
    expect(panel.get_by_label("Positions that may change")).to_have_value("4, 8")
    expect(panel.get_by_role("spinbutton", name="Proposals")).to_have_value("3")


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_the_next_round_is_that_of_the_api(open_page: Open, check: Check, served: ServedProcess, phone: bool) -> None:
    page = open_page("/design", phone=phone)
    page.get_by_role("tab", name="Next round").click()
    panel = page.locator("#panel-next")
    panel.get_by_label("Examples").select_option(label="Protein G B1, 96 variants at four sites")
    expect(panel.get_by_label("Positions that may change")).to_have_value("39-41, 54")
    expect(panel.get_by_text("96 measured variants")).to_be_visible()
    panel.get_by_role("button", name="Suggest the next round").click()
    expect(panel.locator(".variants tbody tr")).to_have_count(95)
    measured = [{"variant": each["mutant"], "value": float(each["fitness"])} for each in rows(ROUND.read_text())]
    item = {"sequence": GB1, "positions": [39, 40, 41, 54], "measured": measured}
    wanted = asked(served, "next_round", item, {"plate": 95})
    expect(panel.get_by_text(f"Spearman {wanted['spearman']:.2f}")).to_be_visible()
    kept = rows(saved(panel, "CSV"))
    assert [each["mutant"] for each in kept] == [each["mutant"] for each in wanted["suggestions"]]
    for name in ("predicted_mean", "predicted_sd"):
        assert [float(each[name]) for each in kept] == [each[name] for each in wanted["suggestions"]]
    assert {each["fitness"] for each in kept} == {""}
    check(page)


def test_a_plate_has_a_well_for_each_and_can_be_kept(open_page: Open, check: Check) -> None:
    page = open_page("/design")
    page.get_by_role("tab", name="Next round").click()
    panel = page.locator("#panel-next")
    panel.get_by_label("Examples").select_option(label="Protein G B1, 96 variants at four sites")
    panel.get_by_label("Learnt from").select_option("residues")
    panel.get_by_role("button", name="Suggest the next round").click()
    panel.get_by_role("button", name="Plate", exact=True).click()
    wells = panel.locator(".well:not(.vacant)")
    expect(wells).to_have_count(96)
    panel.get_by_role("button", name="A1: wild type").focus()
    page.keyboard.press("ArrowDown")
    expect(panel.locator(".well-about")).to_contain_text("B1: ")
    plate = rows(saved(panel, "Plate CSV"))
    assert [each["well"] for each in plate[:9]] == ["A1", "B1", "C1", "D1", "E1", "F1", "G1", "H1", "A2"]
    assert plate[0]["mutant"] == "WT"
    assert plate[0]["sequence"] == GB1
    fasta = saved(panel, "Plate FASTA")
    assert fasta.count(">") == 96
    assert f">plate1_B1 {plate[1]['mutant']}\n{plate[1]['sequence']}\n" in fasta
    panel.get_by_label("Filled").select_option("rows")
    assert [each["well"] for each in rows(saved(panel, "Plate CSV"))[:2]] == ["A1", "A2"]
    check(page)


def test_a_variant_that_cannot_be_read_is_named_by_its_row(open_page: Open, errors: list[str]) -> None:
    page = open_page("/design")
    page.get_by_role("tab", name="Next round").click()
    panel = page.locator("#panel-next")
    panel.get_by_label("Wild type", exact=True).fill(PEPTIDE)
    table = "mutant,value\nWT,1\nA4G,2\nA4K,\nK8R,3\nG8E,4\nA4L,1\n"
    panel.get_by_label("Table of measured").fill(table)
    panel.get_by_role("button", name="Suggest the next round").click()
    expect(panel.get_by_role("alert").filter(has_text="row 5 (G8E)")).to_be_visible()
    assert errors
    assert all("400" in each for each in errors)
    errors.clear()  # the browser reports every refusal
