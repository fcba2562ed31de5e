"""The example and test proteins are what their SOURCES.md say: real records, well formed, each with a source."""

import csv
import gzip
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
TEST_DATA = ROOT / "tests" / "data"
STANDARD = set("ACDEFGHIKLMNPQRSTVWY")


def records_of(text: str) -> dict[str, str]:
    """Header (without `>`) to sequence; a header that stands twice fails here."""
    blocks = [block.split("\n", 1) for block in text.removeprefix(">").split("\n>")]
    records = {header: lines.replace("\n", "") for header, lines in blocks}
    assert len(records) == len(blocks)
    return records


@pytest.fixture(scope="module")
def examples() -> dict[str, str]:
    return records_of((EXAMPLES / "proteins.fasta").read_text(encoding="ascii"))


def test_examples_are_48_proteins_of_standard_residues(examples: dict[str, str]) -> None:
    assert len(examples) == 48
    assert sum(map(len, examples.values())) == 14_079
    for header, sequence in examples.items():
        assert 30 <= len(sequence) <= 1000, header
        assert set(sequence) <= STANDARD, header


def test_example_headers_name_accession_protein_and_organism(examples: dict[str, str]) -> None:
    uniprot_or_pdb = re.compile(r"(?:[OPQ]\d[A-Z\d]{3}\d|\d[A-Z\d]{3}_[A-Z]) \S.*, [A-Z][a-z]+ \S+")
    assert [header for header in examples if not uniprot_or_pdb.match(header)] == []
    assert len({header.split()[0] for header in examples}) == 48
    assert len(set(examples.values())) == 48


def test_every_example_has_a_source(examples: dict[str, str]) -> None:
    named = re.findall(r"\b[A-Z\d]{6}\b|\b\d[A-Z\d]{3}_[A-Z]\b", (EXAMPLES / "SOURCES.md").read_text())
    ids = [header.split()[0] for header in examples]
    assert [number for number in ids if named.count(number) != 1] == []


@pytest.mark.parametrize(
    ("accession", "motif"),
    [
        ("P42212", "SYG"),  # the chromophore of GFP
        ("P0A334", "TVGYGD"),  # the selectivity filter of a potassium channel
        ("P0A7G6", "GPESSGKTT"),  # the Walker A motif of RecA
        ("P0AA25", "WCGPC"),  # the active site of thioredoxin
        ("P62593", "STFK"),  # the catalytic serine of a class A beta-lactamase
    ],
)
def test_example_carries_the_motif_it_is_known_for(examples: dict[str, str], accession: str, motif: str) -> None:
    (sequence,) = (found for header, found in examples.items() if header.startswith(accession))
    assert sequence.count(motif) == 1


def test_test_proteins_are_those_of_their_sources() -> None:
    records = records_of(gzip.decompress((TEST_DATA / "proteins.fasta.gz").read_bytes()).decode("ascii"))
    prefixes = [header.split(":")[0] for header in records]
    assert {prefix: prefixes.count(prefix) for prefix in prefixes} == {"sp": 66, "ur": 4, "mp": 130}
    assert sum(map(len, records.values())) == 59_747
    assert set().union(*records.values()) == STANDARD | {"B"}


@pytest.mark.parametrize(("name", "rows"), [("solubility", 200), ("secondary_structure", 28)])
def test_labelled_examples_are_different_proteins_with_a_source(name: str, rows: int) -> None:
    table = list(csv.DictReader((EXAMPLES / f"{name}.csv").read_text(encoding="ascii").splitlines()))
    assert len(table) == len({row["sequence"] for row in table}) == rows
    assert all(set(row["sequence"]) <= STANDARD for row in table)
    assert f"`{name}.csv`" in (EXAMPLES / "SOURCES.md").read_text(encoding="utf-8")
