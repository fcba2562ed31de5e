"""Jobs: a file is dropped, computed, and comes back as the API gives it; what is wrong with it is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Errors
from tests.jobs_stand_in import fasta
from tests.server_process import ServedProcess

Opens = Callable[..., Page]


@pytest.fixture
def proteins(tmp_path: Path) -> Path:
    path = tmp_path / "proteins.fasta"
    path.write_bytes(fasta(40))
    return path


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_a_file_becomes_a_result(open_page: Opens, check: Callable[[Page], None], proteins: Path, phone: bool) -> None:
    page = open_page("/jobs", phone=phone, dark=phone)
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_disabled()
    page.get_by_label("File of proteins").set_input_files(proteins)
    page.get_by_label("Log-probability", exact=True).check()
    page.get_by_role("button", name="Send", exact=True).click()
    job = page.get_by_role("article", name="proteins.fasta").first
    expect(job.get_by_text("40 of 40 proteins")).to_be_visible(timeout=60_000)
    expect(job.get_by_text("mean, log_prob of esm2-mini as parquet")).to_be_visible()
    check(page)
    with page.expect_download() as download:
        job.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith(".parquet")
    table = pq.read_table(download.value.path())
    assert table.num_rows == 40
    assert {"mean_6", "log_prob"} <= set(table.column_names)
    job.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(job).to_have_count(0)


def test_a_dropped_file_with_a_bad_record_is_refused_with_its_place_or_skipped(
    open_page: Opens, check: Callable[[Page], None], errors: Errors
) -> None:
    page = open_page("/jobs")
    page.locator("#drop").evaluate(
        """(element) => {
            const data = new DataTransfer();
            data.items.add(new File([">a\\nMK\\n>b\\nM9\\n"], "bad.fasta"));
            for (const kind of ["dragover", "drop"])
                element.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
        }"""
    )
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text(
        "record 'b' (input, line 4), position 2: found '9'; remove digits and spaces from the sequence"
    )
    check(page)
    assert [text for text in errors if "400" not in text] == []
    errors.clear()
    page.get_by_label("Skip bad records, and list them").check()
    page.get_by_role("button", name="Send", exact=True).click()
    job = page.get_by_role("article", name="bad.fasta")
    expect(job.get_by_text("2 of 2 proteins, 1 without an answer")).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        job.get_by_role("link", name="Failures").click()
    assert '"position": 2' in download.value.path().read_text("utf-8")


def test_a_running_job_shows_how_far_it_is_and_is_cancelled(
    open_page: Opens, check: Callable[[Page], None], served: ServedProcess, tmp_path: Path
) -> None:
    path = tmp_path / "many.fasta"
    path.write_bytes(fasta(20_000, length=120))
    page = open_page("/jobs")
    page.get_by_label("File of proteins").set_input_files(path)
    page.get_by_role("button", name="Send", exact=True).click()
    job = page.get_by_role("article", name="many.fasta")
    expect(job.get_by_text("residues/s")).to_be_visible(timeout=60_000)
    check(page)
    job.get_by_role("button", name="Cancel").click()
    expect(job.get_by_text("cancelled")).to_be_visible(timeout=60_000)
    with served.client() as client:
        [found] = [each for each in client.get("/api/v3/jobs").json()["jobs"] if each["name"] == "many.fasta"]
    assert (found["state"], found["size_bytes"]) == ("cancelled", 0)


def test_the_same_as_code(open_page: Opens, proteins: Path) -> None:
    page = open_page("/jobs")
    page.get_by_label("File of proteins").set_input_files(proteins)
    page.get_by_role("button", name="As code").click()
    shown = page.get_by_role("dialog").locator("pre")
    expect(shown).to_contain_text("esmkit jobs submit proteins.fasta --model esm2-mini --include mean --format parquet")
    page.get_by_role("button", name="curl").click()
    expect(shown).to_contain_text("/api/v3/jobs?model=esm2-mini&outputs=mean&format=parquet")
