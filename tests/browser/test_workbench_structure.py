"""Contacts, attention and embedding in the workbench: what is drawn and saved is what the API and the library say."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Locator, Page

from esmkit.inputs.structures import read_structure
from esmkit.training.precision import CONTACT, RANGES, TOPS, Truth, pairs, precision
from tests.server_process import ServedProcess

STRUCTURE = Path(__file__).parents[2] / "src/esmkit/web/static/examples/structures/2yad_A.pdb"
PROTEIN = "TTATFSIGSTGLVVYDYQQLLIAYKPAPGTCCYIMKIAPESIPSLEALTRKVHNFQMECS"
OTHER = "MTYKLILNGKTLKGETTTEAVDAATAEKVFKQYANDNGVDGEWTYDDATKTFTVTE"

Check = Callable[[Page], None]
Open = Callable[..., Page]
PHONE = pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])


def workbench(open_page: Open, tab: str, *, text: str = f">2YAD_A\n{PROTEIN}", **how: bool) -> Page:
    """The workbench with proteins analysed, and the panel of a tab that is ready."""
    page = open_page("/", **how)
    page.get_by_label("Proteins, as FASTA").fill(text)
    page.get_by_role("button", name="Analyse").click()
    page.get_by_role("tab", name=tab).click()
    page.locator(f"#tab-{tab.lower()} .dot.ready").wait_for()
    return page


def saved(page: Page, button: Locator) -> bytes:
    """The file that a button offers."""
    with page.expect_download() as download:
        button.click()
    return Path(download.value.path()).read_bytes()


def table(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode())))


def encoded(served: ServedProcess, params: dict[str, Any], *sequences: str) -> Any:
    body = {"items": [{"sequence": sequence} for sequence in sequences or (PROTEIN,)], "params": params}
    answer = httpx.post(f"{served.url}/api/v3/esm2-mini/encode/", json=body, timeout=60)
    return answer.raise_for_status().json()["results"]


def numbers(rows: list[list[str]], *, skip: int = 1) -> np.ndarray[Any, Any]:
    return np.array([[float(cell) for cell in row[skip:]] for row in rows[1:]])


def colours(page: Page, selector: str) -> int:
    """How many different colours a canvas shows, as Chromium painted it."""
    from PIL import Image

    picture = Image.open(io.BytesIO(page.locator(selector).first.screenshot()))
    return len(picture.convert("RGB").getcolors(1 << 24))


def shown_precision(page: Page) -> dict[str, list[float | None]]:
    rows = page.locator("table.precision tbody tr")
    rows.first.wait_for()
    found: dict[str, list[float | None]] = {}
    for row in rows.all():
        cells = row.locator("td").all_inner_texts()
        found[row.get_attribute("data-range") or ""] = [
            None if cell == "–" else float(cell.split()[0]) for cell in cells
        ]
    return found


def expected_precision(path: Path, contacts: list[list[float]], chain: str = "") -> dict[str, list[float | None]]:
    structure = read_structure(f"{path}{chain}")
    truth = Truth.of(structure)
    scores = np.array(contacts, dtype=np.float32)[pairs(len(structure.sequence))][truth.known]
    found = precision(truth, scores)
    return {
        name: [None if (share := found[name][top]) is None else round(100 * share, 1) for top in (*TOPS, "chance")]
        for name in RANGES
    }


@PHONE
def test_contact_map_is_drawn_and_its_tables_are_the_apis_numbers(
    open_page: Open, check: Check, served: ServedProcess, phone: bool
) -> None:
    page = workbench(open_page, "Contacts", phone=phone)
    (result,) = encoded(served, {"include": ["contacts"]})
    contacts = np.array(result["contacts"])
    whole = table(saved(page, page.get_by_role("button", name="CSV of the map")))
    assert whole[0] == ["position", *map(str, range(1, len(PROTEIN) + 1))]
    np.testing.assert_array_equal(numbers(whole).astype(np.float32), contacts.astype(np.float32))
    listed = table(saved(page, page.get_by_role("button", name="CSV", exact=True)))
    threshold = float(page.get_by_role("slider", name="Threshold").input_value())
    above = [(i, j) for i in range(len(PROTEIN)) for j in range(i + 6, len(PROTEIN)) if contacts[i, j] >= threshold]
    assert {(int(row[0]) - 1, int(row[2]) - 1) for row in listed[1:]} == set(above)
    assert [row[1] + row[3] for row in listed[1:]] == [
        PROTEIN[int(r[0]) - 1] + PROTEIN[int(r[2]) - 1] for r in listed[1:]
    ]
    probabilities = [float(row[5]) for row in listed[1:]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert page.locator("table.contact-list tbody tr").count() == len(above)
    assert colours(page, ".contacts .matrix canvas") > 20
    check(page)


def test_map_is_walked_by_keys_and_saved_as_pictures(open_page: Open) -> None:
    page = workbench(open_page, "Contacts")
    canvas = page.locator(".contacts .matrix canvas")
    canvas.focus()
    for key in ["ArrowRight", *["Shift+ArrowRight"] * 2, "ArrowDown", "+", "+"]:
        page.keyboard.press(key)
    said = page.locator(".contacts .matrix-said")
    assert said.inner_text().startswith("T2 – L21: p ")
    assert saved(page, page.get_by_role("button", name="PNG", exact=True)).startswith(b"\x89PNG")
    svg = saved(page, page.get_by_role("button", name="SVG", exact=True)).decode()
    assert "<image" in svg
    assert "Predicted contacts of 2YAD_A" in svg
    page.keyboard.press("Tab")
    canvas.focus()
    page.keyboard.press("Escape")
    assert said.inner_text() == ""


@PHONE
def test_structure_is_compared_as_the_library_does_and_drawn_in_3d(
    open_page: Open, check: Check, served: ServedProcess, phone: bool
) -> None:
    page = workbench(open_page, "Contacts", phone=phone)
    page.get_by_label("Open a structure").set_input_files(STRUCTURE)
    page.get_by_text("The sequence of the structure is the same: 60 of 60 residues").wait_for()
    (result,) = encoded(served, {"include": ["contacts"]})
    assert shown_precision(page) == expected_precision(STRUCTURE, result["contacts"])
    truth = Truth.of(read_structure(str(STRUCTURE)))
    near = set(zip(truth.first[truth.touch].tolist(), truth.second[truth.touch].tolist(), strict=True))
    page.get_by_role("slider", name="Threshold").fill("0.01")
    page.get_by_text("with p ≥ 0.01").wait_for()
    rows = table(saved(page, page.get_by_role("button", name="CSV", exact=True)))[1:]
    assert {(int(r[0]) - 1, int(r[2]) - 1) for r in rows if float(r[6]) < CONTACT} == {
        pair for pair in near if result["contacts"][pair[0]][pair[1]] >= 0.01
    }
    page.locator(".stage canvas").first.wait_for()
    page.wait_for_timeout(500)
    blank = colours(page, ".stage")
    assert blank > 50
    check(page)


def test_mmcif_of_several_chains_is_read_as_the_library_does(
    open_page: Open, served: ServedProcess, tmp_path: Path
) -> None:
    path = several_chains_with_a_break(tmp_path)
    page = workbench(open_page, "Contacts")
    page.get_by_label("Open a structure").set_input_files(path)
    page.get_by_text("52 of 60 residues of the protein are in chain B2").wait_for()
    assert page.get_by_label("Chain", exact=True).input_value() == "1"
    (result,) = encoded(served, {"include": ["contacts"]})
    assert shown_precision(page) == expected_precision(path, result["contacts"], ":B2")
    page.get_by_label("Chain", exact=True).select_option("0")
    page.get_by_role("alert").filter(has_text="is of another protein").wait_for()
    assert page.locator("table.precision").count() == 0


def several_chains_with_a_break(folder: Path) -> Path:
    """Alanines as chain A; as B2 the example without residues 21 to 28, its methionine 35 as selenomethionine."""
    import biotite.structure as bs
    from biotite.structure.io import pdb, pdbx

    atoms = pdb.PDBFile.read(STRUCTURE).get_structure(model=1)
    first = atoms[atoms.res_id <= 25].copy()
    first.res_name[:] = "ALA"
    second = atoms[(atoms.res_id < 21) | (atoms.res_id > 28)].copy()
    changed = second.res_id == 35
    second.res_name[changed] = "MSE"
    second.hetero[changed] = True
    second.coord += 80
    first.chain_id = np.full(len(first), "A")
    second.chain_id = np.full(len(second), "B2")
    file = pdbx.CIFFile()
    pdbx.set_structure(file, bs.concatenate([first, second]))
    path = folder / "several.cif"
    file.write(path)
    return path


def test_structure_of_a_variant_is_aligned_and_the_mismatch_said(open_page: Open) -> None:
    variant = PROTEIN[:10] + PROTEIN[14:30] + "WWWW" + PROTEIN[34:]
    page = workbench(open_page, "Contacts", text=variant)
    page.get_by_role("button", name="Example structure").click()
    said = page.get_by_text("The sequences differ: aligned, 9")
    said.wait_for()
    assert "Check that this is the right protein" in said.inner_text()
    assert "56 of 56 residues of the protein are in chain A" in said.inner_text()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.pdb", b"a text about a protein\n", "notes.pdb holds no atoms"),
        ("broken.cif", b"data_x\nloop_\n_atom_site.group_PDB\n_atom_site.id\n", "broken.cif holds no atoms"),
        (
            "cut.pdb",
            STRUCTURE.read_bytes()[:80] + b"\nATOM      2  CA  THR A   1     -12\n",
            "cut.pdb: atom CA of THR 1",
        ),
        ("packed.pdb.gz", b"no gzip at all", "packed.pdb.gz cannot be uncompressed"),
        ("large.pdb", b" " * 30_000_001, "large.pdb is larger than 30 MB"),
        (
            "water.pdb",
            b"HETATM    1  CA  HOH A   1       1.000   2.000   3.000  1.00  0.00           O\n",
            "no protein chain",
        ),
    ],
)
def test_wrong_file_is_refused_with_its_reason(open_page: Open, name: str, content: bytes, message: str) -> None:
    page = workbench(open_page, "Contacts")
    page.get_by_label("Open a structure").set_input_files({"name": name, "mimeType": "text/plain", "buffer": content})
    page.get_by_role("alert").filter(has_text=message).wait_for()
    assert page.locator(".stage").count() == 0


def test_pair_of_the_list_is_shown_on_the_map_and_in_3d(open_page: Open) -> None:
    page = workbench(open_page, "Contacts")
    page.get_by_role("button", name="Example structure").click()
    page.locator(".stage canvas").first.wait_for()
    page.locator(".contact-list button").first.wait_for()
    page.wait_for_timeout(400)
    before = page.locator(".stage").screenshot()
    page.locator(".contact-list button").first.click()
    assert page.locator(".matrix-said").first.inner_text().startswith("R50 – Q56: p 0.331")
    assert "Å in the structure" in page.locator(".matrix-said").first.inner_text()
    assert page.locator(".contact-list tr.chosen").count() == 1
    page.wait_for_timeout(400)
    assert page.locator(".stage").screenshot() != before
    page.locator(".contact-list button").first.press("ArrowDown")
    assert "P43 – R50" in page.locator(".contact-list tr.chosen").inner_text()


def test_residue_under_the_pointer_in_3d_is_named_and_chosen(open_page: Open) -> None:
    page = workbench(open_page, "Contacts")
    page.get_by_role("button", name="Example structure").click()
    page.locator(".stage canvas").first.wait_for()
    page.wait_for_timeout(500)
    box = page.locator(".stage").bounding_box()
    assert box
    said = page.locator(".tip:visible", has_text="of chain A: position")
    for step in range(1, 90):  # somewhere on these lines there is a residue
        x, y = box["x"] + box["width"] * (step % 30) / 30, box["y"] + box["height"] * (step // 30 + 1) / 4
        page.mouse.move(x, y)
        page.wait_for_timeout(120)
        if said.count():
            break
    name, position = re.findall(r"^(\w{3}) \d+ of chain A: position (\d+)$", said.inner_text())[0]
    before = page.locator(".contacts .matrix canvas").screenshot()
    page.mouse.down()
    page.mouse.up()
    page.wait_for_timeout(300)
    atoms = [line for line in STRUCTURE.read_text().splitlines() if line.startswith("ATOM")]
    assert {line[17:20] for line in atoms if int(line[22:26]) == int(position)} == {name}
    assert page.locator(".contacts .matrix canvas").screenshot() != before


@PHONE
def test_attention_maps_are_the_apis(open_page: Open, check: Check, served: ServedProcess, phone: bool) -> None:
    page = workbench(open_page, "Attention", phone=phone)
    page.get_by_text("Choose a map to see it large").wait_for()
    assert page.locator(".attention-grid button").count() == 60
    page.get_by_role("button", name="Layer 5, head 3").click()
    page.locator("[data-shown='5-3']").wait_for()
    (result,) = encoded(served, {"include": ["attentions"], "layers": [5], "heads": [3]})
    raw = np.array(result["attentions"], dtype=np.float32)[0, 0]
    button = page.get_by_role("button", name="CSV of the map")
    np.testing.assert_array_equal(numbers(table(saved(page, button))).astype(np.float32), raw)
    page.get_by_role("button", name="APC-corrected").click()
    both = raw.astype(np.float64) + raw.T
    expected = both - both.sum(1, keepdims=True) * both.sum(0, keepdims=True) / both.sum()
    np.testing.assert_allclose(numbers(table(saved(page, button))), expected, atol=1e-6)
    (result,) = encoded(served, {"include": ["attentions"]})
    received = table(saved(page, page.get_by_role("button", name="CSV of attention received")))
    np.testing.assert_allclose(numbers(received, skip=2), np.array(result["attentions"]).T, rtol=1e-5)
    assert colours(page, "section[aria-label='Large attention map'] canvas") > 20
    check(page)


def test_long_protein_shows_one_map_at_a_time(open_page: Open) -> None:
    page = workbench(open_page, "Attention", text=PROTEIN * 21)
    page.get_by_text("1260 residues: above 1200 residues small maps of every head are not fetched").wait_for()
    page.get_by_label("Head", exact=True).select_option("2")
    page.locator("[data-shown='6-2']").wait_for()
    page.wait_for_timeout(300)
    assert page.locator(".attention-grid button").count() == 0
    assert colours(page, "section[aria-label='Large attention map'] canvas") > 20


@PHONE
def test_embedding_is_saved_in_every_format(open_page: Open, check: Check, served: ServedProcess, phone: bool) -> None:
    page = workbench(
        open_page, "Embedding", text=f">first\n{PROTEIN}\n>second\n{OTHER}\n>third\n{OTHER[:40]}", phone=phone
    )
    page.get_by_role("combobox", name="Layer").select_option("3")
    page.get_by_text("mean over residues, layer 3").wait_for()
    results = encoded(served, {"include": ["mean"], "repr_layers": [3]}, PROTEIN, OTHER, OTHER[:40])
    vectors = np.array([result["embeddings"][0]["embedding"] for result in results], dtype=np.float32)
    assert page.get_by_text(f"{np.linalg.norm(vectors[0]):.3f}", exact=True).is_visible()
    page.get_by_role("combobox", name=re.compile("^Of")).select_option("all")
    found = {}
    for name in ("csv", "json", "npz", "safetensors", "arrow"):
        page.get_by_role("combobox", name="Format").select_option(name)
        found[name] = read_vectors(name, saved(page, page.get_by_role("button", name="Download")))
    for name, values in found.items():
        np.testing.assert_array_equal(values, vectors, err_msg=name)
    check(page)


def read_vectors(name: str, content: bytes) -> np.ndarray[Any, Any]:
    """Mean embeddings of layer 3 from a file, [proteins, width]."""
    if name == "csv":
        return numbers(table(content)).astype(np.float32)
    if name == "json":
        entries = json.loads(content)["results"]
        return np.array([entry["embeddings"][0]["embedding"] for entry in entries], dtype=np.float32)
    if name == "arrow":
        import pyarrow as pa

        return np.array(pa.ipc.open_stream(content).read_all()["mean_3"].to_pylist(), dtype=np.float32)
    if name == "npz":
        arrays: Any = np.load(io.BytesIO(content))
    else:
        from safetensors.numpy import load

        arrays = load(content)
    return np.stack([arrays[f"{index}/mean_3"] for index in range(3)])


def test_residues_are_saved_too_and_proteins_compared(open_page: Open, served: ServedProcess) -> None:
    page = workbench(open_page, "Embedding", text=f">first\n{PROTEIN}\n>second\n{OTHER}\n>third\n{OTHER[:40]}")
    page.get_by_role("combobox", name="What").select_option("residues")
    content = saved(page, page.get_by_role("button", name="Download"))
    (result,) = encoded(served, {"include": ["per_token"]})
    expected = np.array(result["per_token_embeddings"][0]["embeddings"], dtype=np.float32)
    np.testing.assert_allclose(numbers(table(content), skip=3), expected, rtol=1e-5, atol=1e-6)
    results = encoded(served, {"include": ["mean"]}, PROTEIN, OTHER, OTHER[:40])
    vectors = np.array([each["embeddings"][0]["embedding"] for each in results])
    for centred in (False, True):
        if centred:
            page.get_by_label("Centred on the mean of these").check()
            vectors = vectors - vectors.mean(0)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        shown = table(saved(page, page.get_by_role("button", name="CSV of similarities")))
        assert shown[0] == ["id", "first", "second", "third"]
        np.testing.assert_allclose(numbers(shown), unit @ unit.T, atol=1e-5)
        nearest = ["first", "second", "third"][1 + int(np.argmax((unit @ unit.T)[0, 1:]))]
        assert page.get_by_text("Nearest to first:").locator("b").inner_text() == nearest


def test_link_restores_tab_choices_and_example(open_page: Open) -> None:
    page = workbench(open_page, "Contacts")
    page.get_by_role("button", name="Example structure").click()
    page.locator("table.precision").wait_for()
    page.get_by_role("spinbutton", name="At least").fill("12")
    page.get_by_role("spinbutton", name="At least").press("Tab")
    page.get_by_text("|i − j| ≥ 12").wait_for()
    page.wait_for_timeout(300)
    again = open_page(page.url)
    again.get_by_text("|i − j| ≥ 12").wait_for()
    again.locator("table.precision").wait_for()
